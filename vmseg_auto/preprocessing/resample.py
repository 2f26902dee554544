"""Resampling between voxel sizes, in nnU-Net's way but along one axis at a time.

An interpolation on a regular grid is separable: along each axis it is a small matrix, the same for every line of
voxels. The matrices come from scipy.ndimage.zoom of the identity, so that together they give what
skimage.transform.resize(mode="edge", anti_aliasing=False) gives. They are sparse, and are kept so: a sparse product
is as fast as a dense one, gives the same bits on every machine, and leaves threads to the caller (BLAS starts its
own, which several cases at once fight over).

Where one axis is more than three times coarser than another (Isensee et al., Nature Methods 2021, 18:203), slices
are resampled in-plane and the nearest of them is taken along the coarse axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, zoom
from scipy.sparse import csr_array

from vmseg_auto.utils.geometry import Shape, Spacing

ANISOTROPY = 3.0
"""Ratio of spacings beyond which the coarse axis is resampled apart."""
SMALLEST_WEIGHT = 1e-8
"""Below it a weight counts as 0: a cubic spline reaches over the whole line, but fades fourfold with each voxel."""

TIE = 1e-5
"""Shares of two labels that differ by less are equal, but for rounding."""


def new_shape(shape: Shape, spacing: Spacing, target: Spacing) -> Shape:
    """Return how many voxels lie along each axis when `spacing` (mm) becomes `target` (mm): round(n * old / new), at
    least 1.

    >>> new_shape((20, 256, 256), (4.0, 0.5, 0.5), (2.0, 1.0, 1.0))
    (40, 128, 128)
    """
    z, y, x = (max(1, round(old / new * n)) for n, old, new in zip(shape, spacing, target, strict=True))
    return z, y, x


def coarse_axis(current: Spacing, target: Spacing) -> int | None:
    """Return the axis that is resampled apart, if there is one: judged by the current spacing, else by the target's.

    Two or three equally coarse axes are never taken apart.

    >>> coarse_axis((4.0, 0.5, 0.5), (4.0, 0.5, 0.5)), coarse_axis((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    (0, None)
    """
    for spacing in (current, target):
        if max(spacing) / min(spacing) > ANISOTROPY:
            coarsest = [axis for axis, mm in enumerate(spacing) if mm == max(spacing)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def resample_image(image: NDArray[np.float32], spacing: Spacing, target: Spacing) -> NDArray[np.float32]:
    """Resample intensities with cubic splines, clipped to the range they came from.

    Args:
        image: [C, Z, Y, X].
        spacing: voxel size in mm, in the image's axes.
        target: wanted voxel size in mm.

    Example:
        >>> resample_image(np.zeros((1, 20, 64, 64), np.float32), (4.0, 0.5, 0.5), (4.0, 1.0, 1.0)).shape
        (1, 20, 32, 32)
    """
    shape = new_shape(_shape(image), spacing, target)
    apart = coarse_axis(spacing, target)
    return np.stack([_resample(channel, shape, 3, apart) for channel in image])


def resample_mask(mask: NDArray[np.uint8], spacing: Spacing, target: Spacing) -> NDArray[np.uint8]:
    """Resample labels: linearly one by one, then the greatest share wins; on a tie the nearest voxel's, as in nnU-Net
    with batchgenerators 0.25.5.

    Args:
        mask: [Z, Y, X].
        spacing, target: as in `resample_image`.
    """
    shape = new_shape(_shape(mask), spacing, target)
    if shape == mask.shape:
        return mask.copy()
    apart = coarse_axis(spacing, target)
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=1))
    if len(values) == 1:
        return np.full(shape, values[0], dtype=np.uint8)
    nearest = _nearest_labels(mask, shape, apart)
    if len(values) == 2:
        low, high = values
        share = _resample((mask == high).astype(np.float32), shape, 1, apart)
        share += np.where(nearest == high, TIE, -TIE).astype(np.float32)
        return np.where(share >= 0.5, high, low).astype(np.uint8)
    result, best, own = nearest.copy(), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for value in values:
        share = _resample((mask == value).astype(np.float32), shape, 1, apart)
        result[share > best] = value
        np.maximum(best, share, out=best)
        np.copyto(own, share, where=nearest == value)
    return np.where(own >= best - TIE, nearest, result)


def _nearest_labels(mask: NDArray[np.uint8], shape: Shape, apart: int | None) -> NDArray[np.uint8]:
    """Return the label of the voxel that each new one lies nearest to."""
    for axis, new in enumerate(shape):
        old = mask.shape[axis]
        if new != old:
            mask = mask.take(_nearest(old, new) if axis == apart else _nearest_in_plane(old, new), axis=axis)
    return mask


def resample_logits(
    logits: NDArray[np.float32], spacing: Spacing, target: Spacing, shape: Shape
) -> NDArray[np.float32]:
    """Resample logits linearly.

    Args:
        logits: [K, Z, Y, X].
        spacing: voxel size of the logits in mm.
        target: voxel size wanted, in mm.
        shape: voxels (Z, Y, X) wanted.
    """
    apart = coarse_axis(spacing, target)
    if len(logits) == 1:
        return _resample(logits[0], shape, 1, apart)[None]
    result = np.empty((len(logits), *shape), dtype=np.float32)
    for index, channel in enumerate(logits):
        result[index] = _resample(channel, shape, 1, apart)
    return result


def _resample(volume: NDArray[np.float32], shape: Shape, order: int, apart: int | None) -> NDArray[np.float32]:
    """Resample one volume; the axes that shrink come first, which leaves least to do for the others."""
    if volume.shape == shape:
        return volume
    axes = [axis for axis in range(3) if shape[axis] != volume.shape[axis]]
    slices = (0, 1, 2) if apart is None else tuple(axis for axis in range(3) if axis != apart)
    limits = None
    for axis in sorted(axes, key=lambda a: shape[a] / volume.shape[a]):
        if axis == apart:
            picked = _nearest(volume.shape[axis], shape[axis])
            volume = volume.take(picked, axis=axis)
            limits = None if limits is None else (limits[0].take(picked, axis), limits[1].take(picked, axis))
            continue
        if order > 1 and limits is None:
            limits = volume.min(axis=slices, keepdims=True), volume.max(axis=slices, keepdims=True)
        volume = _along(volume, shape[axis], order, axis)
    return volume if limits is None else np.clip(volume, *limits, out=volume)


def _along(volume: NDArray[np.float32], new: int, order: int, axis: int) -> NDArray[np.float32]:
    """Interpolate along one axis."""
    weights = _weights(volume.shape[axis], new, order)
    if axis == 0:
        flat: NDArray[np.float32] = weights @ volume.reshape(volume.shape[0], -1)
        return flat.reshape(new, *volume.shape[1:])
    result = np.empty((*volume.shape[:axis], new, *volume.shape[axis + 1 :]), dtype=np.float32)
    for index, layer in enumerate(volume):
        result[index] = weights @ layer if axis == 1 else (weights @ layer.T).T
    return result


@lru_cache(maxsize=64)
def _weights(old: int, new: int, order: int) -> csr_array:
    """Return the weights of spline interpolation along one axis, [new, old]."""
    matrix = zoom(np.eye(old), (new / old, 1.0), order=order, mode="nearest", grid_mode=True)
    matrix[np.abs(matrix) < SMALLEST_WEIGHT] = 0
    return csr_array(matrix.astype(np.float32))


@lru_cache(maxsize=64)
def _nearest_in_plane(old: int, new: int) -> NDArray[np.intp]:
    """Return which of `old` voxels each of `new` lies nearest to, [new], by the routine that halves are rounded by."""
    picked = zoom(np.arange(old, dtype=np.float64), new / old, order=0, mode="nearest", grid_mode=True)
    return np.asarray(picked, dtype=np.intp)


@lru_cache(maxsize=64)
def _nearest(old: int, new: int) -> NDArray[np.intp]:
    """Return which of `old` slices each of `new` takes, [new]."""
    at = old / new * (np.arange(new) + 0.5) - 0.5
    picked = map_coordinates(np.arange(old, dtype=np.float64), [at], order=0, mode="nearest")
    return np.asarray(picked, dtype=np.intp)


def _shape(array: NDArray[np.float32] | NDArray[np.uint8]) -> Shape:
    sizes: Sequence[int] = array.shape[-3:]
    return sizes[0], sizes[1], sizes[2]
