"""Channels that are taken away at random in training, so that a network learns to do without (ModDrop: Neverova et al.,
IEEE TPAMI 2016, 38:1692). Imports no torch.

A channel that a case lacks is 0 everywhere, and stays so, whatever is drawn: nothing of the augmentation is left in it,
as there is nothing in it when a scan is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import numpy as np

from vmseg_auto.contracts import Augment, DeviceAugment, Patch

if TYPE_CHECKING:
    import torch

_STREAM = 7
"""Sets these draws apart from those of the augmentation, which has the same seeds."""


@dataclass(frozen=True)
class ChannelDropout:
    """What `augment` does, and then channels set to 0.

    Args:
        augment: makes the patch.
        probability: of each channel; but never all of those that are there.
        channels: how many of the image's channels, the first ones, are of scans.
    """

    augment: Augment
    probability: float
    channels: int

    def __call__(self, patch: Patch, seed: int) -> Patch:
        """Return image [C, Z, Y, X] and label [Z, Y, X]; `seed` fixes every random number."""
        there = np.array([channel.any() for channel in patch[0][: self.channels]])
        image, label = self.augment(patch, seed)
        dropped, kept = drawn(seed, self.channels, self.probability)
        lost = np.zeros(len(image), dtype=bool)
        lost[: self.channels] = ~there
        lost[list(dropped)] |= there[list(kept)].any()
        return np.where(lost[:, None, None, None], np.float32(0), image), label


@dataclass(frozen=True)
class BatchChannelDropout:
    """The same for whole batches, after `augment`, on any device, which is never waited for."""

    augment: DeviceAugment
    probability: float
    channels: int

    @property
    def stands_for(self) -> ChannelDropout:
        return ChannelDropout(self.augment.stands_for, self.probability, self.channels)

    def __call__(
        self, image: torch.Tensor, label: torch.Tensor, seeds: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image [B, C, Z, Y, X] and label [B, Z, Y, X]."""
        there = image[:, : self.channels].flatten(2).any(-1)
        images, labels = self.augment(image, label, seeds)
        for sample, own, seed in zip(images, there, seeds, strict=True):
            dropped, kept = drawn(seed, self.channels, self.probability)
            others = reduce(or_, (own[number] for number in kept))
            for number in range(self.channels):
                lost = ~own[number] | others if number in dropped else ~own[number]
                sample[number].masked_fill_(lost, 0.0)
        return images, labels


def drawn(seed: int, channels: int, probability: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw which channels are dropped, and which are kept: at least one.

    >>> drawn(0, 2, 0.0), sum(len(drawn(seed, 2, 1.0)[1]) for seed in range(9))
    (((), (0, 1)), 9)
    """
    rng = np.random.default_rng([seed, _STREAM])
    lost = rng.random(channels) < probability
    if lost.all():
        lost[rng.integers(channels)] = False
    return tuple(np.flatnonzero(lost).tolist()), tuple(np.flatnonzero(~lost).tolist())
