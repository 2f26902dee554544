"""A scan's way to the network's grid and its logits' way back, shared by training and prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from vmseg_auto.planning.network import Int3
from vmseg_auto.planning.plan import Plan
from vmseg_auto.preprocessing.content import require_contrast
from vmseg_auto.preprocessing.normalise import normalize
from vmseg_auto.preprocessing.resample import new_shape, resample_image, resample_logits, resample_mask
from vmseg_auto.utils.argmax import argmax, last_of
from vmseg_auto.utils.components import mask_box
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Box, Geometry, Shape, Spacing, picked

T = TypeVar("T", bound=np.generic)
_MOST_VOXELS = 2**29
"""Of a resampled scan, as of one in a file."""


def nonzero_box(image: NDArray[np.float32]) -> Box:
    """Return the smallest box that holds every voxel that is not 0 in some channel.

    Args:
        image: [C, Z, Y, X].

    Raises:
        InputError: every voxel is 0.

    Example:
        >>> nonzero_box(np.pad(np.ones((1, 1, 2, 3), np.float32), ((0, 0), (1, 1), (1, 1), (1, 1))))
        ((1, 2), (1, 3), (1, 4))
    """
    box = mask_box((image != 0).any(axis=0))
    if box is None:
        raise InputError("the image is empty: every voxel is 0", remedy="Replace the scan, or remove the case.")
    return box


def box_slices(box: Box) -> tuple[slice, slice, slice]:
    """Return the slices that cut a box out of an array [Z, Y, X]."""
    return slice(*box[0]), slice(*box[1]), slice(*box[2])


def preprocess_image(image: NDArray[np.float32], geometry: Geometry, plan: Plan) -> tuple[NDArray[np.float32], Box]:
    """Crop to the non-zero region, normalise, turn to the plan's axes and directions and resample to its spacing.

    Args:
        image: [C, Z, Y, X] as in the file.
        geometry: the file's grid.
        plan: whose numbers are used.

    Returns:
        The image [C, Z, Y, X] in the plan's axes and spacing, and the box that was kept, in the file's axes.

    Raises:
        InputError: the image is empty, its contrast is lost in float32, or the number of channels is not the plan's.
    """
    if len(image) != len(plan.normalization):
        raise InputError(
            f"the scan has {len(image)} channels, but the plan wants {len(plan.normalization)}",
            remedy="Give one file for each channel.",
        )
    box = nonzero_box(image)
    require_contrast(image)
    _refuse_too_large(box, geometry, plan)
    cropped = image[(slice(None), *box_slices(box))]
    inside = None
    if any(scheme.scheme == "zscore_in_mask" for scheme in plan.normalization):
        # Beyond the box there is nothing to enclose a hole with: filling the crop is filling the whole.
        inside = binary_fill_holes((cropped != 0).any(axis=0))
    normalized = _to_plan(normalize(cropped, plan.normalization, inside), geometry, plan)
    return resample_image(normalized, *_spacings(geometry, plan)), box


def _refuse_too_large(box: Box, geometry: Geometry, plan: Plan) -> None:
    """Refuse, before memory is taken for it, a scan whose voxel size is wrong."""
    shape = new_shape(picked(_size(box), plan.axes_of(geometry)), *_spacings(geometry, plan))
    if math.prod(shape) <= _MOST_VOXELS:
        return
    size, made = (" x ".join(f"{n:g}" for n in numbers[::-1]) for numbers in (geometry.spacing_mm, shape))
    raise InputError(
        f"its voxels are {size} mm, so that the network would be given {made} of them (up to {_MOST_VOXELS:,} can be)",
        remedy="Mend the voxel size in its header, or crop the scan.",
    )


def preprocess_mask(mask: NDArray[np.uint8], geometry: Geometry, crop_box: Box, plan: Plan) -> NDArray[np.uint8]:
    """Bring a mask to the grid that `preprocess_image` gave.

    Args:
        mask: [Z, Y, X] as in the file.
        geometry: the file's grid.
        crop_box: what `preprocess_image` kept.
        plan: whose numbers are used.
    """
    cropped = _to_plan(mask[box_slices(crop_box)], geometry, plan)
    return resample_mask(cropped, *_spacings(geometry, plan))


def restore_logits(logits: NDArray[np.float32], geometry: Geometry, crop_box: Box, plan: Plan) -> NDArray[np.float32]:
    """Bring logits back to the scan's own grid.

    Args:
        logits: [K, Z, Y, X] in the plan's axes and spacing.
        geometry: the file's grid.
        crop_box: what `preprocess_image` kept.
        plan: whose numbers were used.

    Returns:
        Logits [K, Z, Y, X] of the crop box, in the file's axes.
    """
    return np.ascontiguousarray(_from_plan(_restore(logits, geometry, crop_box, plan), geometry, plan))


def restore_labels(
    logits: NDArray[np.float32], geometry: Geometry, crop_box: Box, plan: Plan, label_values: Sequence[int]
) -> NDArray[np.uint8]:
    """Return the mask of the logits on the scan's own grid: the greatest logit wins, the first on a tie.

    Where labels overlap (the plan has regions), the last label whose logit is above 0 counts.

    Args:
        logits, geometry, crop_box, plan: as in `restore_logits`.
        label_values: the value in files of the background, then of each label (utils/labels.py:written_values).

    Returns:
        [Z, Y, X] as in the file; background beyond the crop box.
    """
    if len(label_values) != len(logits) + bool(plan.regions):
        raise ValueError(f"{len(label_values)} label values for {len(logits)} outputs")
    classes = _classes(logits, geometry, crop_box, plan)
    values = np.asarray(label_values, dtype=np.uint8)
    mask = np.full(geometry.shape, values[0], dtype=np.uint8)
    mask[box_slices(crop_box)] = values[_from_plan(classes, geometry, plan)]
    return mask


def _classes(logits: NDArray[np.float32], geometry: Geometry, crop_box: Box, plan: Plan) -> NDArray[np.uint8]:
    """Return class indices in the plan's axes, one class at a time: all of them at full size may not fit in memory."""
    if plan.regions:
        return last_of(_restore(one[None], geometry, crop_box, plan)[0] > 0 for one in logits)
    if len(logits) == 2:
        # Resampling is linear, so the difference can be resampled in place of both.
        difference: NDArray[np.float32] = _restore(logits[1:] - logits[:1], geometry, crop_box, plan)[0]
        return (difference > 0).astype(np.uint8)
    return argmax(_restore(logits[at : at + 1], geometry, crop_box, plan)[0] for at in range(len(logits)))[0]


def _restore(logits: NDArray[np.float32], geometry: Geometry, crop_box: Box, plan: Plan) -> NDArray[np.float32]:
    own, target = _spacings(geometry, plan)
    return resample_logits(logits, target, own, picked(_size(crop_box), plan.axes_of(geometry)))


def _spacings(geometry: Geometry, plan: Plan) -> tuple[Spacing, Spacing]:
    """Return a scan's own spacing and the one it is resampled to, in mm, in the plan's order of axes."""
    own = picked(geometry.spacing_mm, plan.axes_of(geometry))
    return own, plan.target_spacing(own)


def _to_plan(array: NDArray[T], geometry: Geometry, plan: Plan) -> NDArray[T]:
    """Turn the last three axes to the plan's order and directions."""
    lead = array.ndim - 3
    turned = np.flip(array, _turned(lead, geometry, plan))
    return np.ascontiguousarray(turned.transpose(*range(lead), *(lead + axis for axis in plan.axes_of(geometry))))


def _from_plan(array: NDArray[T], geometry: Geometry, plan: Plan) -> NDArray[T]:
    """Turn the last three axes back to those of the file."""
    lead = array.ndim - 3
    back = array.transpose(*range(lead), *(lead + axis for axis in _inverse(plan.axes_of(geometry))))
    return np.flip(back, _turned(lead, geometry, plan))


def _turned(lead: int, geometry: Geometry, plan: Plan) -> tuple[int, ...]:
    """Return the axes, after `lead` others, along which a scan runs the other way in the plan."""
    return () if plan.left_right is None else tuple(lead + axis for axis in geometry.reversed_axes)


def _inverse(axes: Int3) -> Int3:
    return axes.index(0), axes.index(1), axes.index(2)


def _size(box: Box) -> Shape:
    return box[0][1] - box[0][0], box[1][1] - box[1][0], box[2][1] - box[2][0]
