"""What is shown of a scan: turned as radiologists look at it, and cut to the surroundings of lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.figures.slices import MARGIN_MM, View, Window, near_lesions
from vmseg_auto.utils.components import mask_box
from vmseg_auto.utils.geometry import Box, Geometry


@dataclass(frozen=True)
class Volume:
    """A scan with its mask, or a part of it.

    Args:
        image: intensities (Z, Y, X), or (slices, rows, columns) once turned.
        mask: values of the same shape.
        geometry: the grid.
        start: index of the first slice in what it was cut from.
    """

    image: NDArray[Any]
    mask: NDArray[np.uint8]
    geometry: Geometry
    start: int = 0


def turned(volume: Volume, view: View) -> Volume:
    """Turn a volume as the view shows it; every voxel stays where it is in the world."""
    steps = [slice(None)] * 3
    for axis, flip in zip(view.order, view.flipped, strict=True):
        steps[axis] = slice(None, None, -1 if flip else 1)
    return _rearranged(volume, tuple(steps), view.order)


def around_lesions(volume: Volume, shown: NDArray[np.bool_], margin_mm: float = MARGIN_MM) -> Volume:
    """Return the box around `shown`, with black and no mask where it is farther away.

    Args:
        volume: of grey levels.
        shown: bool, of the volume's shape, at least one voxel True.
        margin_mm: how far around.
    """
    box = mask_box(shown)
    assert box is not None, "something must be shown"
    spacing = volume.geometry.spacing_mm
    (z, y, x) = (
        (max(0, start - int(margin_mm // mm)), min(size, stop + int(margin_mm // mm)))
        for (start, stop), mm, size in zip(box, spacing, shown.shape, strict=True)
    )
    part = cut(volume, (z, y, x))
    inside = shown[slice(*z), slice(*y), slice(*x)]
    near = near_lesions(inside, spacing, margin_mm)
    return replace(part, image=part.image * near, mask=part.mask * near)


def cut(volume: Volume, box: Box) -> Volume:
    """Cut a box of voxel ranges out of a volume."""
    part = _rearranged(volume, tuple(slice(start, stop) for start, stop in box), (0, 1, 2))
    return replace(part, start=volume.start + box[0][0])


def coarser(volume: Volume, factor: int) -> Volume:
    """Join blocks of factor x factor voxels of each slice: their mean intensity, and the mask in their middle."""
    z, y, x = volume.image.shape
    tall, wide = min(factor, y), min(factor, x)
    rows, columns = y // tall, x // wide
    blocks = volume.image[:, : rows * tall, : columns * wide].reshape(z, rows, tall, columns, wide)
    image = np.rint(blocks.mean(axis=(2, 4))).astype(volume.image.dtype)
    mask = volume.mask[:, tall // 2 : rows * tall : tall, wide // 2 : columns * wide : wide]
    dz, dy, dx = volume.geometry.spacing_mm
    origin = _position(volume.geometry, (0.0, (tall - 1) / 2, (wide - 1) / 2))
    geometry = Geometry((z, rows, columns), (dz, dy * tall, dx * wide), origin, volume.geometry.direction)
    return replace(volume, image=image, mask=mask, geometry=geometry)


def grey_levels(image: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Scale intensities to 0 (black, at or below the window's lower end) to 255.

    >>> grey_levels(np.array([0.0, 50.0, 200.0]), (0.0, 100.0))
    array([  0, 128, 255], dtype=uint8)
    """
    low, high = window
    scaled = (np.asarray(image, dtype=np.float32) - low) * (255.0 / (high - low))
    grey: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return grey


def _rearranged(volume: Volume, steps: tuple[slice, ...], order: Sequence[int]) -> Volume:
    """Cut and mirror axes, then put them in another order."""
    grid = volume.geometry
    ranges = [step.indices(size) for step, size in zip(steps, grid.shape, strict=True)]
    directions = grid.cosines * np.array([stride for _, _, stride in ranges])
    image = volume.image[steps].transpose(order)
    spacing = [grid.spacing_mm[axis] for axis in order]
    geometry = Geometry(
        (image.shape[0], image.shape[1], image.shape[2]),
        (spacing[0], spacing[1], spacing[2]),
        _position(grid, tuple(float(start) for start, _, _ in ranges)),
        tuple(directions[:, order][:, ::-1].ravel().tolist()),
    )
    return replace(volume, image=image, mask=volume.mask[steps].transpose(order), geometry=geometry)


def _position(grid: Geometry, index: tuple[float, ...]) -> tuple[float, float, float]:
    """Return where a voxel (z, y, x) lies in the world."""
    x, y, z, _ = grid.affine @ (*index[::-1], 1)
    return float(x), float(y), float(z)
