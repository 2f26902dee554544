"""Cross-entropy plus soft Dice and its relatives, with deep supervision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from vmseg_auto.inference.outputs import within
from vmseg_auto.utils.labels import IGNORE


class DiceCrossEntropy(nn.Module):
    """Cross-entropy minus soft Dice over the foreground classes (nnU-Net's DC_and_CE_loss), or a relative of it.

    Voxels whose target is IGNORE, which nobody has annotated, count for neither: cross-entropy is the mean over the
    others, and Dice sums over them. Where there is no other, cross-entropy is 0.

    Args:
        batch_dice: sum over the batch before dividing, rather than a sample at a time.
        smooth: added to Dice's numerator and denominator.
        tversky_alpha: of false positives against false negatives, which get the rest up to 1: one half is
            Dice, less is a Tversky index that would rather find too much (Salehi et al., MLMI 2017).
        focus: exponent gamma of the focal loss, which takes weight from voxels that are right already; 0 is
            cross-entropy (Lin et al., ICCV 2017).
        boundary_label_smoothing: share of a voxel's truth that is the mean truth of its 3 x 3 x 3 neighbours: within a
            lesion and far from it nothing changes, at its margin the truth becomes less sure (Islam and Glocker, IPMI
            2021).

    Example:
        >>> logits = torch.tensor([[9.0, -9.0], [-9.0, 9.0]]).reshape(1, 2, 1, 1, 2)  # two voxels, both sure
        >>> round(float(DiceCrossEntropy()(logits, torch.tensor([[[[0, 1]]]]))), 3)  # and right
        -1.0
    """

    def __init__(
        self,
        batch_dice: bool = False,
        smooth: float = 1e-5,
        tversky_alpha: float = 0.5,
        focus: float = 0.0,
        boundary_label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.batch_dice, self.smooth = batch_dice, smooth
        self.tversky_alpha, self.focus = tversky_alpha, focus
        self.boundary_label_smoothing = boundary_label_smoothing

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a float32 scalar, of logits [B, K, Z, Y, X] and target [B, Z, Y, X] int64."""
        logits = logits.float()  # bf16 sums stall at 256
        log_probabilities = functional.log_softmax(logits, dim=1)
        probabilities = log_probabilities.exp()
        share = self.boundary_label_smoothing
        annotated = (target != IGNORE).float()
        truth = smooth_boundary_labels(target, logits.shape[1], share) if share else None
        if self.focus:
            log_probabilities = (1 - probabilities) ** self.focus * log_probabilities
        if truth is None:
            entropies = _negative_log_likelihood(log_probabilities, target)
        else:
            entropies = -(truth * log_probabilities).sum()
        cross_entropy = entropies / annotated.sum().clamp_min(1)
        labels = range(1, logits.shape[1])
        wanted = ((target == label).float() if truth is None else truth[:, label] for label in labels)
        return cross_entropy - self.overlap(((probabilities[:, label] for label in labels), wanted), annotated)

    def overlap(
        self, pairs: tuple[Iterable[torch.Tensor], Iterable[torch.Tensor]], annotated: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean of the labels' soft Dice, or Tversky index.

        Args:
            pairs: of each label probabilities [B, Z, Y, X], and truths that are 0 where nobody has annotated.
            annotated: 1 where somebody has [B, Z, Y, X].
        """
        counts = []
        for probability, wanted in zip(*pairs, strict=True):
            guess = probability * annotated
            counts.append(torch.stack([_sum(guess * wanted), _sum(guess), _sum(wanted)], dim=-1))
        sums = torch.stack(counts, dim=1)
        hits, guessed, there = (sums.sum(0) if self.batch_dice else sums).unbind(-1)
        total = 2 * (self.tversky_alpha * guessed + (1 - self.tversky_alpha) * there)
        return ((2 * hits + self.smooth) / (total + self.smooth).clamp_min(1e-8)).mean()


class DiceBinaryCrossEntropy(DiceCrossEntropy):
    """Binary cross-entropy minus soft Dice over regions, which overlap (nnU-Net's DC_and_BCE_loss), or a relative.

    Voxels whose target is IGNORE count for neither. Binary cross-entropy is the mean over the others and over regions.
    nnU-Net takes the mean over regions too, but sums over them in a dataset with the label `ignore`.

    Args:
        regions: the values of targets that each output stands for.
        others: those of DiceCrossEntropy.

    Example:
        >>> logits = torch.tensor([[9.0, 9.0], [-9.0, 9.0]]).reshape(1, 2, 1, 1, 2)  # two regions, two voxels
        >>> loss = DiceBinaryCrossEntropy(((1, 2), (2,)))
        >>> round(float(loss(logits, torch.tensor([[[[1, 2]]]]))), 3)
        -1.0
    """

    def __init__(self, regions: Sequence[Sequence[int]], **others: Any) -> None:
        super().__init__(**others)
        self.regions = tuple(tuple(values) for values in regions)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a float32 scalar, of logits [B, R, Z, Y, X] and target [B, Z, Y, X] int64."""
        logits = logits.float()
        annotated = (target != IGNORE).float()
        truth = [self._truth(target, values) for values in self.regions]
        total = logits.new_zeros(())
        for index, wanted in enumerate(truth):
            entropy = functional.binary_cross_entropy_with_logits(logits[:, index], wanted, reduction="none")
            if self.focus:
                chance = logits[:, index].sigmoid()
                right = chance * wanted + (1 - chance) * (1 - wanted)
                entropy = (1 - right) ** self.focus * entropy
            total = total + (entropy * annotated).sum()
        entropies = total / (annotated.sum().clamp_min(1) * len(self.regions))
        return entropies - self.overlap((logits.sigmoid().unbind(1), truth), annotated)

    def _truth(self, target: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
        inside = within(target, values)
        if not self.boundary_label_smoothing:
            return inside.float()
        known = torch.where(target == IGNORE, target, inside.long())
        return smooth_boundary_labels(known, 2, self.boundary_label_smoothing)[:, 1]


def _negative_log_likelihood(log_probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the negative sum of [B, K, ...] over the annotated voxels, each at its class in target [B, ...]."""
    if not torch.are_deterministic_algorithms_enabled():
        return functional.nll_loss(log_probabilities, target, ignore_index=IGNORE, reduction="sum")
    # The same sum, for which CUDA has one order only.
    there = torch.stack([target == label for label in range(log_probabilities.shape[1])], dim=1)
    return -torch.where(there, log_probabilities, 0).sum()


def smooth_boundary_labels(target: torch.Tensor, classes: int, share: float) -> torch.Tensor:
    """Return truths that are less sure at the margins: [B, Z, Y, X] int64 -> float32 [B, K, Z, Y, X] that sum to 1.

    Voxels that nobody has annotated have no truth (0 for each class), and are no neighbours.

    Args:
        share: of a voxel's truth that is the mean of its neighbours'.

    Example:
        >>> target = torch.tensor([0, 0, 0, 1]).expand(1, 3, 3, 4)
        >>> smooth_boundary_labels(target, 2, 0.4)[0, 1, 1, 1]
        tensor([0.0000, 0.0000, 0.1333, 0.8000])
    """
    annotated = (target != IGNORE)[:, None].float()
    sure = functional.one_hot(target.where(target != IGNORE, 0), classes).movedim(-1, 1) * annotated
    rim = (1, 1, 1, 1, 1, 1)  # padded here, as the pooling refuses an axis of one or two voxels
    inside = functional.avg_pool3d(functional.pad(annotated, rim), 3, stride=1)
    around = functional.avg_pool3d(functional.pad(sure, rim), 3, stride=1) / inside.clamp_min(1 / 27)
    return torch.lerp(sure, around, share) * annotated


class DeepSupervision(nn.Module):
    """A loss at every decoder level, weighted 1/2^level and normalised; the coarsest level counts 0.

    Args:
        loss: (logits [B, K, ...], target [B, ...]) -> scalar.
        finest_only: leave every other level out.
    """

    def __init__(self, loss: nn.Module, finest_only: bool = False) -> None:
        super().__init__()
        self.loss, self.finest_only = loss, finest_only

    def forward(self, outputs: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a float32 scalar, of each level's logits [B, K, ...], the finest first, and [B, Z, Y, X]."""
        weights = [0.5**level for level in range(len(outputs))]
        if self.finest_only:
            weights[1:] = [0.0] * (len(outputs) - 1)
        elif len(outputs) > 1:
            weights[-1] = 0.0
        total = outputs[0].new_zeros((), dtype=torch.float32)
        for weight, logits in zip(weights, outputs, strict=True):
            if weight:
                total = total + weight / sum(weights) * self.loss(logits, downsample(target, logits.shape[2:]))
        return total


def downsample(target: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return the nearest labels of [B, Z, Y, X] on a coarser grid of `shape`.

    Example:
        >>> downsample(torch.tensor([[[[0, 0, 2, 2]]]]), torch.Size((1, 1, 2)))
        tensor([[[[0, 2]]]])
    """
    if target.shape[1:] == shape:
        return target
    return functional.interpolate(target[:, None].float(), size=shape, mode="nearest-exact")[:, 0].long()


def _sum(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).sum(1)
