"""Random changes of the masks that a cascade's second stage is given, so that it trusts them no more than they deserve.

nnU-Net's: masks of training cases are better in places, and worse in others, than those of new scans. Imports no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MORPHED, REMOVED = 0.4, 0.2
"""How often a sample's masks grow, shrink, are opened or closed; and lose a component."""
LABEL = 0.5
"""How often each label then is."""
RADIUS = (1.0, 8.0)
"""Of the ball, in voxels, by which they do so."""
LARGEST = 0.15
"""Share of a patch that a component which is removed may take, at most."""


def changed_masks(masks: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return masks [K - 1, Z, Y, X], one of each label, as nnU-Net changes them for a cascade.

    Where one grows into another, the other gives way.

    >>> mask = np.zeros((1, 1, 9, 9), bool); mask[0, 0, 4, 4] = True
    >>> {int(changed_masks(mask, np.random.default_rng(seed)).sum()) for seed in range(4)} >= {1}
    True

    Args:
        masks: they stay as they are.
        rng: all the randomness.
    """
    changed = masks.copy()
    if rng.random() < MORPHED:
        for label in _some(len(masks), rng):
            grown = _morphed(changed[label], int(rng.integers(4)), rng.uniform(*RADIUS))
            changed[:, grown & ~changed[label]] = False
            changed[label] = grown
    if rng.random() < REMOVED:
        for label in _some(len(masks), rng):
            _remove_component(changed[label], rng)
    return changed


def _some(count: int, rng: np.random.Generator) -> list[int]:
    """Return some of the labels, in random order."""
    return [int(label) for label in rng.permutation(count) if rng.random() < LABEL]


def _morphed(mask: NDArray[np.bool_], operation: int, radius: float) -> NDArray[np.bool_]:
    match operation:
        case 0:
            return _dilated(mask, radius)
        case 1:
            return ~_dilated(~mask, radius)
        case 2:
            return ~_dilated(~_dilated(mask, radius), radius)
        case _:
            return _dilated(~_dilated(~mask, radius), radius)


def _dilated(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Dilate by a ball: what lies within its radius, in voxels."""
    if not mask.any():
        return mask
    within: NDArray[np.bool_] = ndimage.distance_transform_edt(~mask) <= radius
    return within


def _remove_component(mask: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Remove a random component (26 neighbours) that is not too large, in place."""
    numbered, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(numbered.ravel())[1:]
    small = [number for number in range(1, count + 1) if sizes[number - 1] < LARGEST * mask.size]
    if small:
        mask[numbered == small[int(rng.integers(len(small)))]] = False
