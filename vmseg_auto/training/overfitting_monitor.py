"""The overfitting monitor: whole-case Dice of a network in training, on the same few cases of either side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.evaluation.metrics.overlap import overlap
from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.outputs import masks_of_logits
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.inference.windows import air_level, count_windows
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.preprocessing.click_channels import with_clicks
from vmseg_auto.utils.devices import autocast
from vmseg_auto.utils.distributed import ALONE, Ranks
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.label_masks import foreground_of, within
from vmseg_auto.utils.labels import IGNORE

STEP = 1.0
"""Distance of windows as a share of the patch: side by side, overlapping only as far as they must."""
PASSES = 3
"""Forward passes that one training sample is worth: the backward pass costs twice the forward one."""
CHECKS_WANTED = 10
"""In a training, before a check takes more cases."""
MOST_CHECKS = 100


class OverfittingMonitor:
    """Predicts a fixed handful of training and of validation cases whole, un-augmented, every few epochs.

    Which cases, and after which epochs, follows from config, plan and cases alone, so that all checks together cost at
    most `config.monitor_share` of the training's work, counted in forward passes; a single check, after the last epoch,
    is always made. No random state is advanced, and the network is left in the mode in which it came.

    Args:
        config: monitor_cases (on each side; 0 for no checks), monitor_share, and the training's length.
        plan: patch and batch size.
        train, val: the fold's cases, labelled; without a lesion on either side there are no checks.
    """

    def __init__(
        self, config: TrainingConfig, plan: Plan, train: Sequence[PreprocessedCase], val: Sequence[PreprocessedCase]
    ) -> None:
        self.plan, self.patch, self.clicks = plan, plan.patch, config.clicks
        self.train: list[PreprocessedCase] = []
        self.val: list[PreprocessedCase] = []
        self.due = range(0)
        self._outputs: int | None = None
        sides = [_by_lesion_size(cases) for cases in (train, val)] if config.monitor_cases else []
        if not sides or not all(sides):
            return
        passes = config.monitor_share * PASSES * config.epochs * config.iterations_per_epoch * plan.batch_size

        def windows(case: PreprocessedCase) -> int:
            """Return the forward passes of a check at a case, at most."""
            return count_windows(case.image.shape[1:], plan.patch, STEP)

        wanted, checks = min(CHECKS_WANTED, config.epochs), 0
        for count in range(config.monitor_cases, 0, -1):
            self.train, self.val = (_spread(side, count) for side in sides)
            checks = int(passes / sum(windows(case) for case in (*self.train, *self.val)))
            if checks >= wanted:
                break
        every = math.ceil(config.epochs / min(max(checks, 1), MOST_CHECKS))
        self.due = range((config.epochs - 1) % every + 1, config.epochs + 1, every)

    def check(
        self, epoch: int, network: nn.Module, device: torch.device, dtype: torch.dtype | None, ranks: Ranks = ALONE
    ) -> tuple[float, float]:
        """Return the mean Dice over the training and over the validation cases; NaN where no check is due, or in vain.

        Args:
            epoch: the number of epochs done.
            network: on `device`; maps [B, C, Z, Y, X] to [B, K, Z, Y, X] in eval mode.
            device: where to compute.
            dtype: 16-bit type for the network; None for float32.
            ranks: the processes that share the cases.
        """
        if epoch not in self.due:
            return math.nan, math.nan
        mode = network.training
        network.eval()
        outputs, regions = self._known_outputs(network, device, dtype), bool(self.plan.regions)
        ensemble = FoldEnsemble([network], outputs, (), device, dtype, stays=True, overlap=regions)
        dice = ranks.gather_in_order(self._dice(case, ensemble) for case in ranks.part([*self.train, *self.val]))
        network.train(mode)
        if not np.isfinite(dice).all():
            return math.nan, math.nan
        return float(np.mean(dice[: len(self.train)])), float(np.mean(dice[len(self.train) :]))

    def _dice(self, case: PreprocessedCase, ensemble: FoldEnsemble) -> float:
        """Return the mean over the classes that the case holds, on the preprocessed grid; NaN where it has no score."""
        image = torch.tensor(self._seen(case))
        try:
            (logits,) = predict_logits(
                ensemble, image, self.patch, step=STEP, air_below=air_level(image[: len(case.image)])
            )
        except VmsegError:  # logits that are not finite, as can happen in 16 bits
            return math.nan
        label = np.asarray(case.label)
        masks = masks_of_logits(logits, ensemble.overlap).cpu().numpy() & (label != IGNORE)
        values = self.plan.label_values(len(logits))
        pairs = ((masks[index - 1], within(label, values[index - 1])) for index in case.foreground)
        return float(np.mean([overlap(ours, theirs, label.size)["dice"] for ours, theirs in pairs]))

    def _seen(self, case: PreprocessedCase) -> NDArray[np.float32]:
        """Return a case's channels as the network is given them: without clicks."""
        image = np.asarray(case.image)
        return with_clicks(image, (), self.plan.spacing_mm) if self.clicks else image

    @torch.inference_mode()
    def _known_outputs(self, network: nn.Module, device: torch.device, dtype: torch.dtype | None) -> int:
        if self._outputs is None:
            with autocast(device, dtype):
                logits = network(torch.zeros(1, len(self._seen(self.train[0])), *self.patch, device=device))
            self._outputs = logits.shape[1]
        return self._outputs


def _by_lesion_size(cases: Sequence[PreprocessedCase]) -> list[PreprocessedCase]:
    """Return the cases that hold foreground, by its voxels."""
    sizes = {case.id: 0 if case.label is None else np.count_nonzero(foreground_of(case.label)) for case in cases}
    return sorted((case for case in cases if sizes[case.id]), key=lambda case: (sizes[case.id], case.id))


def _spread(cases: Sequence[PreprocessedCase], count: int) -> list[PreprocessedCase]:
    """Return the middle one of each of `count` equal parts; all where there are no more."""
    count = min(count, len(cases))
    return [cases[(2 * part + 1) * len(cases) // (2 * count)] for part in range(count)]
