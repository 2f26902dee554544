"""Looks at a network in training: whole-case Dice on the same few cases of either side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from vmseg_auto.data.preprocessed_record import PreparedCase
from vmseg_auto.evaluation.overlap import mean_dice
from vmseg_auto.inference.argmax import strongest
from vmseg_auto.inference.ensemble import Ensemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.inference.windows import air_level, count_windows
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import Recipe
from vmseg_auto.utils.devices import autocast
from vmseg_auto.utils.distributed import ALONE, Ranks
from vmseg_auto.utils.errors import VmsegError

STEP = 1.0
"""Distance of windows as a share of the patch: side by side, overlapping only as far as they must."""
PASSES = 3
"""Forward passes that one training sample is worth: the backward pass costs twice the forward one."""
LOOKS_WANTED = 10
"""In a training, before a look takes more cases."""
MOST_LOOKS = 100


class GapMonitor:
    """Predicts a fixed handful of training and of validation cases whole, un-augmented, every few epochs.

    Which cases, and after which epochs, follows from recipe, plan and cases alone, so that all looks together cost at
    most `recipe.gap_share` of the training's work, counted in forward passes; a single look, after the last epoch, is
    always taken. No random state is advanced, and the network is left in the mode in which it came.

    Args:
        recipe: gap_cases (on each side; 0 for no looks), gap_share, and the training's length.
        plan: patch and batch size.
        train, val: the fold's cases, labelled; without a lesion on either side there are no looks.
    """

    def __init__(self, recipe: Recipe, plan: Plan, train: Sequence[PreparedCase], val: Sequence[PreparedCase]) -> None:
        self.patch = plan.patch
        self.train: list[PreparedCase] = []
        self.val: list[PreparedCase] = []
        self.due = range(0)
        self._classes: int | None = None
        sides = [_by_lesion_size(cases) for cases in (train, val)] if recipe.gap_cases else []
        if not sides or not all(sides):
            return
        passes = recipe.gap_share * PASSES * recipe.epochs * recipe.steps * plan.batch_size

        def windows(case: PreparedCase) -> int:
            """Forward passes of a look at a case, at most."""
            return count_windows(case.image.shape[1:], plan.patch, STEP)

        wanted, looks = min(LOOKS_WANTED, recipe.epochs), 0
        for count in range(recipe.gap_cases, 0, -1):
            self.train, self.val = (_spread(side, count) for side in sides)
            looks = int(passes / sum(windows(case) for case in (*self.train, *self.val)))
            if looks >= wanted:
                break
        every = math.ceil(recipe.epochs / min(max(looks, 1), MOST_LOOKS))
        self.due = range((recipe.epochs - 1) % every + 1, recipe.epochs + 1, every)

    def look(
        self, epoch: int, network: nn.Module, device: torch.device, dtype: torch.dtype | None, ranks: Ranks = ALONE
    ) -> tuple[float, float]:
        """Mean Dice over the training cases and over the validation cases; NaN where no look is due, or in vain.

        Args:
            epoch: the number of epochs done.
            network: on `device`; maps [B, C, Z, Y, X] to [B, K, Z, Y, X] in eval mode.
            device: where to compute.
            dtype: 16-bit type for the network; None for float32.
            ranks: who share the cases among them.
        """
        if epoch not in self.due:
            return math.nan, math.nan
        mode = network.training
        network.eval()
        ensemble = Ensemble([network], self._known_classes(network, device, dtype), (), device, dtype, stays=True)
        dice = ranks.whole(self._dice(case, ensemble) for case in ranks.part([*self.train, *self.val]))
        network.train(mode)
        if not np.isfinite(dice).all():
            return math.nan, math.nan
        return float(np.mean(dice[: len(self.train)])), float(np.mean(dice[len(self.train) :]))

    def _dice(self, case: PreparedCase, ensemble: Ensemble) -> float:
        """Mean over the classes that the case holds, on the prepared grid; NaN where there was nothing to be seen."""
        image = torch.tensor(np.asarray(case.image))
        try:
            (logits,) = predict_logits(ensemble, image, self.patch, step=STEP, air_below=air_level(image))
        except VmsegError:  # logits that are not finite, as can happen in 16 bits
            return math.nan
        mask = strongest(logits).cpu().numpy()
        return mean_dice(mask, np.asarray(case.label), {str(value): value for value in case.foreground})

    @torch.inference_mode()
    def _known_classes(self, network: nn.Module, device: torch.device, dtype: torch.dtype | None) -> int:
        if self._classes is None:
            with autocast(device, dtype):
                logits = network(torch.zeros(1, len(self.train[0].image), *self.patch, device=device))
            self._classes = logits.shape[1]
        return self._classes


def _by_lesion_size(cases: Sequence[PreparedCase]) -> list[PreparedCase]:
    """The cases that hold foreground, by its voxels."""
    sizes = {case.id: 0 if case.label is None else np.count_nonzero(case.label) for case in cases}
    return sorted((case for case in cases if sizes[case.id]), key=lambda case: (sizes[case.id], case.id))


def _spread(cases: Sequence[PreparedCase], count: int) -> list[PreparedCase]:
    """The middle one of each of `count` equal parts; all where there are no more."""
    count = min(count, len(cases))
    return [cases[(2 * part + 1) * len(cases) // (2 * count)] for part in range(count)]
