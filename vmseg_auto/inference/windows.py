"""Windows over a volume: where they lie, how they are weighted, and their weighted sum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional

from vmseg_auto.preprocessing import air
from vmseg_auto.utils.geometry import Shape

Slices = tuple[slice, slice, slice]
AIR_LOGIT = 10.0
"""Of the background, against 0 of the rest, where no window was looked at."""


def window_starts(size: int, patch: int, step: float) -> list[int]:
    """Return the first voxels of evenly spread windows along one axis, at most `step` x patch apart (nnU-Net's rule),
    none twice.

    Args:
        size: voxels along the axis, at least `patch`.
        patch: voxels of a window.
        step: as a share of the patch, above 0 and at most 1.

    Example:
        >>> window_starts(100, 40, 0.5)
        [0, 20, 40, 60]
    """
    count = min(math.ceil((size - patch) / (patch * step)), size - patch) + 1
    if count == 1:
        return [0]
    return [round((size - patch) / (count - 1) * i) for i in range(count)]


def count_windows(shape: Sequence[int], patch: Shape, step: float) -> int:
    """Return how many windows cover a volume of this shape (Z, Y, X), padded to the patch where it is smaller.

    >>> count_windows((24, 96, 96), (12, 40, 48), 0.5)
    36
    """
    return math.prod(
        len(window_starts(max(size, length), length, step)) for size, length in zip(shape, patch, strict=True)
    )


@dataclass(frozen=True)
class Tile:
    """One window.

    Args:
        place: its number along each axis.
        box: what it covers of (Z, Y, X).
        core: the middle of it, which lies in the middle of no other; at the volume's edge it reaches there.
    """

    place: Shape
    box: Slices
    core: Slices


def tiling(shape: Shape, patch: Shape, step: float) -> list[Tile]:
    """List all windows over a volume that is at least as large as the patch; see `window_starts`."""
    axes = []
    for size, length in zip(shape, patch, strict=True):
        starts = window_starts(size, length, step)
        margin = math.floor(length * (1 - step) / 2)
        lows = [0, *(start + margin for start in starts[1:])]
        highs = [*(start + length - margin for start in starts[:-1]), size]
        axes.append(
            [
                (number, slice(start, start + length), slice(low, high))
                for number, (start, low, high) in enumerate(zip(starts, lows, highs, strict=True))
            ]
        )
    tiles = []
    for parts in itertools.product(*axes):
        place, box, core = zip(*parts, strict=True)
        tiles.append(Tile(place, box, core))
    return tiles


def gaussian_weight(patch: Shape) -> torch.Tensor:
    """Return a window's weights, float32 [Z, Y, X]: a Gaussian of sigma patch / 8, never 0 (nnU-Net)."""
    # An axis at a time: the filter over a whole window would cost more than a network's look at it.
    z, y, x = (gaussian_filter1d(np.eye(1, n, n // 2)[0], n / 8, mode="constant") for n in patch)
    weight = z[:, None, None] * y[:, None] * x
    weight /= weight.max()
    smallest = weight[weight > 0].min()
    return torch.from_numpy(np.maximum(weight, smallest).astype(np.float32))


class WeightedSum:
    """Logits [K, Z, Y, X] of overlapping windows, summed with weights."""

    def __init__(self, total: torch.Tensor, weights: torch.Tensor) -> None:
        self.total, self.weights = total, weights

    @classmethod
    def zeros(cls, classes: int, shape: Shape, device: torch.device) -> WeightedSum:
        return cls(torch.zeros((classes, *shape), device=device), torch.zeros(shape, device=device))

    def copy(self) -> WeightedSum:
        return WeightedSum(self.total.clone(), self.weights.clone())

    def add(self, box: Slices, logits: torch.Tensor, weight: torch.Tensor) -> None:
        self.total[(slice(None), *box)] += logits * weight
        self.weights[box] += weight

    def mean(self) -> torch.Tensor:
        """Return the weighted mean; background where nothing was added."""
        return WeightedSum(self.total.clone(), self.weights).finish()

    def finish(self) -> torch.Tensor:
        """Return the weighted mean in the place of the sum, which is lost: a large scan would need its memory twice."""
        mean = self.total.div_(self.weights.clamp_min(torch.finfo(torch.float32).tiny))
        mean[0].masked_fill_(self.weights == 0, AIR_LOGIT)
        return mean


def maxima(volume: torch.Tensor, parts: Sequence[Slices]) -> list[float]:
    """Return the highest value in each part of [Z, Y, X]; a GPU is waited for only once."""
    found: list[float] = torch.stack([volume[part].amax() for part in parts]).tolist()
    return found


def air_level(image: torch.Tensor) -> float:
    """Return an intensity that air stays below and any tissue in a window of many voxels exceeds somewhere.

    Args:
        image: [C, Z, Y, X]; the highest of the channels counts, of those that are not 0 everywhere if there are any.
    """
    there = image.flatten(1).any(1)
    values = (image[there] if there.any() else image).amax(dim=0).flatten()
    return float(air.air_level(values[:: max(1, len(values) // 10**6)].numpy(), air.SURELY_AIR))


def pad(image: torch.Tensor, patch: Shape) -> tuple[torch.Tensor, Slices]:
    """Zero-pad [C, Z, Y, X] evenly to at least the patch; also gives where the image lies in it.

    >>> padded, inside = pad(torch.zeros(1, 3, 8, 8), (4, 8, 8))
    >>> tuple(padded.shape), inside
    ((1, 4, 8, 8), (slice(0, 3, None), slice(0, 8, None), slice(0, 8, None)))
    """
    missing = [max(0, p - n) for p, n in zip(patch, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    pads = [n for b, m in zip(reversed(before), reversed(missing), strict=True) for n in (b, m - b)]
    z, y, x = (slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    return functional.pad(image, pads), (z, y, x)
