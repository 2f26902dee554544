"""Clicks that a reader could make, drawn from the true mask of a training patch. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.preprocessing.click_channels import Click, with_clicks
from vmseg_auto.utils.geometry import Spacing
from vmseg_auto.utils.label_masks import foreground_of

Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]
NONE = 0.5
"""Share of the patches without a click, so that the network stays as good where nobody clicks (DeepEdit's)."""
MOST, ONE_MORE = 8, 0.6
"""Clicks in a patch at most, and how probable after each one is another."""
FOREGROUND = 0.7
"""Share of clicks on lesion, in patches that hold one."""
NEAR_MM = 20.0
"""A click beside a lesion lies at most so far from it."""
_STREAM = 0xC11C


@dataclass(frozen=True)
class WithClicks:
    """An augmentation, and after it two channels with clicks: so they lie where the patch's voxels have come to.

    Args:
        augment: is done first.
        spacing: of the patch, in mm along (Z, Y, X).
        simulated: whether there are clicks; otherwise both channels are 0.
    """

    augment: Callable[[Patch, int], Patch]
    spacing: Spacing
    simulated: bool = True

    def __call__(self, patch: Patch, seed: int) -> Patch:
        """Return image [C + 2, Z, Y, X] and label [Z, Y, X]; `seed` fixes every random number."""
        image, label = self.augment(patch, seed)
        clicks = simulated_clicks(label, self.spacing, np.random.default_rng([seed, _STREAM])) if self.simulated else []
        return with_clicks(image, clicks, self.spacing), label


def simulated_clicks(label: NDArray[np.uint8], spacing: Spacing, rng: np.random.Generator) -> list[Click]:
    """Return none or up to MOST clicks: on lesions, the rather the further within; or beside them.

    Clicks from the true mask during training are those of DeepEdit (Diaz-Pinto et al., 2023, arXiv:2305.10655) and of
    Sakinis et al. (2019, arXiv:1903.08205); these put further ones where the network is wrong, which would take another
    forward pass a step. Each lesion is clicked as often as any other, however small.

    Args:
        label: [Z, Y, X].
        spacing: mm along (Z, Y, X).
        rng: all the randomness.
    """
    if rng.random() < NONE:
        return []
    count = min(MOST, int(rng.geometric(1 - ONE_MORE)))
    lesion = foreground_of(label)
    numbered, lesions = ndimage.label(lesion, np.ones((3, 3, 3)))
    beside = _beside(label, lesion, spacing)
    clicks = []
    for _ in range(count):
        foreground = bool(lesions) and (rng.random() < FOREGROUND or not beside.any())
        if foreground:
            clicks.append(Click(_within(numbered == 1 + int(rng.integers(lesions)), spacing, rng), True))
        elif beside.any():
            clicks.append(Click(_any_of(beside, rng), False))
    return clicks


def _beside(label: NDArray[np.uint8], lesion: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.bool_]:
    """Return the background near lesions; all of it where there is none."""
    background: NDArray[np.bool_] = label == 0
    if lesion.any():
        background &= ndimage.distance_transform_edt(~lesion, spacing) <= NEAR_MM
    return background


def _within(lesion: NDArray[np.bool_], spacing: Spacing, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw a voxel of a lesion, as often as it lies far from its margin."""
    depth = ndimage.distance_transform_edt(np.pad(lesion, 1), spacing)[1:-1, 1:-1, 1:-1]
    ends = np.cumsum(depth)
    return _place(int(np.searchsorted(ends, rng.random() * ends[-1], side="right")), lesion.shape)


def _any_of(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int, int]:
    there = np.flatnonzero(mask)
    return _place(int(there[int(rng.integers(len(there)))]), mask.shape)


def _place(number: int, shape: tuple[int, ...]) -> tuple[int, int, int]:
    z, y, x = np.unravel_index(number, shape)
    return int(z), int(y), int(x)
