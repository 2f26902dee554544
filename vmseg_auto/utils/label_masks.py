"""Masks of label values: which values one may hold, and what counts where nobody has annotated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.errors import InputError, NoMaskError
from vmseg_auto.utils.labels import IGNORE, IGNORE_LABEL, mask_values, values_of, values_without

_ROUNDING = 1e-4
"""How far from a whole number a label may lie."""
_MOST_LABELS = 64
"""In a mask; one may have more where each lesion has a value of its own."""


def with_ignored(mask: NDArray[np.uint8], labels: Mapping[str, int]) -> NDArray[np.uint8]:
    """Return a mask [Z, Y, X] with IGNORE where its file has the value of the label `ignore`.

    >>> with_ignored(np.array([[[0, 1, 2]]], np.uint8), {"background": 0, "lesion": 1, "ignore": 2})
    array([[[  0,   1, 255]]], dtype=uint8)
    """
    if IGNORE_LABEL not in labels:
        return mask
    return np.where(mask == labels[IGNORE_LABEL], np.uint8(IGNORE), mask)


def mask_of(mask: NDArray[np.uint8], labels: Mapping[str, int], name: str) -> NDArray[np.bool_]:
    """Return the voxels of a mask of label values that are in a label, of whatever shape.

    >>> mask_of(np.array([0, 1, 2], np.uint8), {"background": 0, "lesion": 1, "vein": 2}, "vein")
    array([False, False,  True])
    """
    return within(mask, values_of(labels, name))


def within(mask: NDArray[np.uint8], values: Sequence[int]) -> NDArray[np.bool_]:
    """Return the voxels of a mask that hold one of these values.

    >>> within(np.array([0, 1, 2], np.uint8), (1, 2))
    array([False,  True,  True])
    """
    first, *others = values
    inside: NDArray[np.bool_] = mask == first
    for value in others:
        inside |= mask == value
    return inside


def take_out(mask: NDArray[np.uint8], voxels: NDArray[np.bool_], labels: Mapping[str, int], name: str) -> None:
    """Take voxels out of a label, in the mask itself; they stay in other regions where that can be.

    >>> mask = np.array([1, 1, 2], np.uint8)
    >>> take_out(mask, np.array([True, False, True]), {"lesion": 1, "vein": 2}, "lesion")
    >>> mask
    array([0, 1, 2], dtype=uint8)
    """
    places = [(voxels & (mask == value), other) for value, other in values_without(labels, name).items()]
    for place, other in places:
        mask[place] = other


def foreground_of(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the voxels of a mask as it was read that hold a class beside the background.

    >>> foreground_of(np.array([0, 1, 255], np.uint8))
    array([False,  True, False])
    """
    inside: NDArray[np.bool_] = (mask != 0) & (mask != IGNORE)
    return inside


def without_ignored(
    predicted: NDArray[np.uint8], reference: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a prediction and its reference with 0 wherever the reference holds IGNORE, so that it counts for neither.

    Args:
        predicted: label values [Z, Y, X], or probabilities in steps of 1/255 of each label [labels, Z, Y, X].
        reference: label values [Z, Y, X].

    >>> without_ignored(np.array([1, 1], np.uint8), np.array([1, 255], np.uint8))
    (array([1, 0], dtype=uint8), array([1, 0], dtype=uint8))
    """
    ignored = reference == IGNORE
    if not ignored.any():
        return predicted, reference
    return np.where(ignored, np.uint8(0), predicted), np.where(ignored, np.uint8(0), reference)


def looks_like_intensities(voxels: NDArray[Any]) -> bool:
    """Return whether voxels [Z, Y, X] are those of a scan, or of a map, rather than of a mask.

    A mask has few values, or, where each lesion has its own, equal ones side by side: neighbours along X that are not
    0 are mostly alike. Ours, no published rule.

    >>> looks_like_intensities(np.arange(120).reshape(4, 5, 6)), looks_like_intensities(np.ones((4, 5, 6)))
    (True, False)
    """
    values = np.unique(voxels) if voxels.dtype != np.uint8 else np.flatnonzero(np.bincount(voxels.ravel()))  # faster
    if len(values) <= _MOST_LABELS:
        return False
    left, right = voxels[..., :-1], voxels[..., 1:]
    inside = (left != 0) & (right != 0)
    return 2 * int(np.count_nonzero(inside & (left == right))) < int(np.count_nonzero(inside))


def whole_labels(voxels: NDArray[Any], segments: bool = False) -> NDArray[np.uint8]:
    """Return the label values of a mask as it was read; what is whole but for rounding (a slope of 1/255) counts.

    Args:
        voxels: [Z, Y, X] of any type, or [Z, Y, X, L] of layers; finite.
        segments: whether the file names what is drawn in it, and so is a mask however many values it holds.

    Raises:
        NoMaskError: it looks like a scan or a map.
        InputError: values that are no whole numbers from 0 to 255.
    """
    if voxels.dtype.kind == "f":
        mask: NDArray[np.uint8] = np.clip(np.rint(voxels), 0, 255).astype(np.uint8)
        odd_ones = np.abs(voxels - mask) > _ROUNDING
    else:
        mask = voxels.astype(np.uint8)
        odd_ones = mask != voxels
    odd = odd_ones.any()
    if not segments and looks_like_intensities(voxels if odd else mask):
        raise NoMaskError(
            f"it looks like a scan or a map, not like a mask: it holds {len(np.unique(voxels))} different values",
            remedy="Name the mask drawn on the scan; resample masks with nearest-neighbour interpolation only.",
        )
    if odd:
        values = np.unique(voxels[odd_ones])
        shown = ", ".join(f"{value:.6g}" for value in values[:5]) + (", ..." if len(values) > 5 else "")
        raise InputError(
            f"the mask holds {shown}, but labels are whole numbers from 0 to 255",
            remedy="Save it as whole numbers; resample masks with nearest-neighbour interpolation only.",
        )
    return mask


def label_values(mask: NDArray[np.uint8], labels: Mapping[str, int]) -> NDArray[np.uint8]:
    """Return a mask of no other values than the labels'; with one label beside the background, 255 is read as 1.

    Args:
        mask: [Z, Y, X] as it was read.
        labels: name -> value; the background's 0 need not be named.

    Raises:
        InputError: it holds a value that no label has.

    Example:
        >>> label_values(np.array([[[0, 255]]], np.uint8), {"lesion": 1})
        array([[[0, 1]]], dtype=uint8)
    """
    values, known = {int(value) for value in np.unique(mask)}, {0, *mask_values(labels)}
    if known == {0, 1} and 255 in values <= {0, 255}:
        return np.minimum(mask, 1)
    if odd := sorted(values - known):
        names = ", ".join(f"{name} {'+'.join(map(str, values_of(labels, name)))}" for name in labels)
        raise InputError(
            f"the mask holds {', '.join(map(str, odd))}, which is no label ({names})",
            remedy="Name the value under labels in dataset.json, or mend the mask.",
        )
    return mask
