"""Uncertainty of a prediction: how far passes over the windows of a scan agree.

Compared are one network's passes in opposite mirrorings, and all networks' passes in one mirroring. Every window
counts for its core alone, where its logits count most; the cores of all windows share a scan out. So no pass needs a
volume of its own: sums over cores do, and the probabilities of a window's first pass until those of the others are
there.

The uncertainty is one minus the soft Dice of a network's probabilities p in one mirroring and its mask m in the
opposite one, 2 sum(p m) / (sum p + sum m): the Dice that the mask has on average where the truth is drawn from p. It
grows with disagreement and with doubt alike, and is 1 where nothing is found. A prediction that lies scattered in many
components is often wrong though each pass is sure of it; so that is measured too. Voxel by voxel, `undecided` is the
entropy of the mean of all passes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from vmseg_auto.evaluation.confidence import Confidence
from vmseg_auto.inference.outputs import masks_of_logits, masks_of_probabilities, probabilities
from vmseg_auto.inference.windows import Tile
from vmseg_auto.utils.components import component_volumes
from vmseg_auto.utils.geometry import Shape


@dataclass
class _Window:
    """The core of one window after the passes so far.

    Args:
        waiting: probabilities in the mirroring whose opposite is still to come, float16 [labels, n].
        votes: network -> mask of each label, bool [labels, n]; empty once all networks have voted.
    """

    waiting: torch.Tensor | None = None
    votes: dict[int, torch.Tensor] = field(default_factory=dict)


class UncertaintyEstimator:
    """Estimates the uncertainty of a sliding-window prediction from its passes: update, finalize, then `confidence`.

    Args:
        networks: how many the ensemble has.
        mirrored: whether windows that count get more than one mirroring.
        overlap: whether the outputs are regions, which overlap.
    """

    def __init__(self, networks: int, mirrored: bool, overlap: bool = False) -> None:
        self.networks, self.mirrored, self.overlap = networks, mirrored, overlap
        self._windows: dict[Shape, _Window] = {}
        self._pairs: dict[int, list[torch.Tensor]] = {}
        self._shared: list[torch.Tensor] = []
        self._scatter = 1.0

    def update(self, tile: Tile, logits: torch.Tensor, mirroring: int, network: int, first: bool) -> None:
        """Add a pass: of the network that a window runs first all mirrorings count, of others the first one.

        Args:
            tile: the window.
            logits: float32 [K, Z, Y, X] of all of it.
            mirroring: number of the mirroring among those of the window; 1 is the opposite of 0, 3 of 2, and so on.
            network: number of the network.
            first: whether it is the network that the window runs first.
        """
        if mirroring and not first:
            return
        core = tuple(slice(c.start - b.start, c.stop - b.start) for b, c in zip(tile.box, tile.core, strict=True))
        likely = probabilities(logits[(slice(None), *core)].flatten(1), self.overlap)
        window = self._windows.setdefault(tile.place, _Window())
        if first and mirroring % 2 == 0:
            window.waiting = likely.half()
        elif first and window.waiting is not None:
            self._pairs.setdefault(mirroring // 2, []).append(self._sums(window.waiting.float(), likely))
            window.waiting = None
        if mirroring == 0 and self.networks > 1:
            window.votes[network] = masks_of_probabilities(likely, self.overlap)
            if len(window.votes) == self.networks:
                self._shared.append(_overlaps(window.votes))
                window.votes.clear()

    def finalize(self, logits: torch.Tensor) -> None:
        """Add the logits [K, Z, Y, X] of all passes together."""
        masks = masks_of_logits(logits, self.overlap).cpu().numpy()
        self._scatter = float(np.mean([_scatter(mask) for mask in masks]))

    def reset(self) -> None:
        """Drop all passes: the prediction begins anew."""
        self._windows.clear()
        self._pairs.clear()
        self._shared.clear()

    def confidence(self) -> Confidence:
        """Return what all passes and their sum came to."""
        waiting = [window.waiting.float() for window in self._windows.values() if window.waiting is not None]
        lone = [self._sums(p, p) for p in waiting]
        pairs = [[*compared, *lone] for compared in self._pairs.values()] or [lone]
        if not pairs[0]:
            return Confidence(1.0, self._scatter, self.mirrored)
        sums = torch.stack([torch.stack(compared).cpu().double().sum(0) for compared in pairs]).numpy()
        shared, soft, masks = sums[..., 0:2], sums[..., 2:4], sums[..., 4:6]
        dice = np.where(masks > 0, 2 * shared / np.maximum(soft + masks, 1), 0.0)
        uncertainty = float(np.clip(1 - dice.mean(), 0, 1))
        return Confidence(uncertainty, self._scatter, self.mirrored, self._fold_agreement())

    def _sums(self, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """Return for each label the sums over voxels that two soft Dice need, with P and Q the masks of p and q.

        Args:
            p, q: probabilities in opposite mirrorings, [labels, n].

        Returns:
            [labels, 6]: p Q, q P, p, q, Q, P.
        """
        mask_p, mask_q = (masks_of_probabilities(one, self.overlap).float() for one in (p, q))
        sums = (p * mask_q).sum(1), (q * mask_p).sum(1), *(x.sum(1) for x in (p, q, mask_q, mask_p))
        return torch.stack(sums, dim=1)

    def _fold_agreement(self) -> float | None:
        """Return the mean Dice over pairs of networks, then over the labels that any of them finds."""
        if not self._shared:
            return None
        agreements = []
        for shared in torch.stack(self._shared).cpu().double().sum(0).numpy():
            sizes = np.diagonal(shared)
            if sizes.any():
                pairs = itertools.combinations(range(self.networks), 2)
                dice = [2 * shared[a, b] / (sizes[a] + sizes[b]) if sizes[a] + sizes[b] else 1.0 for a, b in pairs]
                agreements.append(np.mean(dice))
        return float(np.mean(agreements)) if agreements else None


def undecided(probabilities: NDArray[np.float32], overlap: bool = False) -> NDArray[np.float32]:
    """Return the entropy of the mean probabilities of all passes, as a share of the highest there is.

    It is 0 where all passes are sure of the same class, and 1 where all classes are equally likely: because each pass
    is in doubt, or because passes that are sure contradict each other.

    Args:
        probabilities: [K, Z, Y, X], background first, the mean of all passes.
        overlap: whether labels are regions: of each it is then whether it is there that is in doubt, and the greatest
            doubt counts.

    Returns:
        [Z, Y, X], in steps of a thousandth, which pack well.

    Example:
        >>> undecided(np.array([[1.0, 0.5], [0.0, 0.5]], np.float32).reshape(2, 1, 1, 2))
        array([[[0., 1.]]], dtype=float32)
    """
    if overlap:
        each = (undecided(np.stack([1 - one, one])) for one in probabilities[1:])
        return reduce(np.maximum, each)
    entropy = np.zeros(probabilities.shape[1:], dtype=np.float32)
    for one in probabilities:
        entropy -= one * np.log(np.maximum(one, np.finfo(np.float32).tiny))
    share: NDArray[np.float32] = np.round(entropy / np.float32(np.log(len(probabilities))), 3).clip(0, 1)
    return share


def _scatter(mask: NDArray[np.bool_]) -> float:
    """Return the share of a mask (Z, Y, X) outside its largest component; 1 where it is empty."""
    sizes = component_volumes(mask)
    return 1 - sizes[0] / sum(sizes) if sizes else 1.0


def _overlaps(votes: dict[int, torch.Tensor]) -> torch.Tensor:
    """Return the voxels that each two networks share, for each label: float32 [labels, F, F]."""
    masks = torch.stack([votes[network] for network in sorted(votes)], dim=1).float()
    return masks @ masks.mT
