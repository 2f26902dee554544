"""Scans as they are looked at: slices turned the way a radiologist expects, cut to the surroundings of lesions.

Arrays are (Z, Y, X) or, once turned, (Z, rows, columns). Slices stay those along the file's Z, in the file's order, so
that their numbers are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.core.geometry import Box, Geometry
from vmseg_auto.ops.components import label_components, mask_box

MARGIN_MM = 20.0
"""How far around a lesion a picture reaches."""
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""What lies at the low and the high end of the world's x, y and z."""


@dataclass(frozen=True)
class Edges:
    """Letters at the edges of a slice: R, L, A, P, I or S."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True)
class Volume:
    """A scan, or a part of it.

    Args:
        image: intensities (Z, rows, columns).
        mask: label values of the same shape.
        geometry: the grid.
        first_slice: number of the first slice in the file, counted from 1.
    """

    image: NDArray[Any]
    mask: NDArray[np.uint8]
    geometry: Geometry
    first_slice: int = 1


def turned(volume: Volume) -> tuple[Volume, Edges]:
    """The volume with its slices turned as radiologists look at them, and the letters at their edges.

    Patient's right is on the left, and front or head on top; in sagittal slices the face looks to the left. An oblique
    slice counts as what it is nearest to.
    """
    directions = _directions(volume.geometry)
    world = max(permutations(range(3)), key=lambda order: sum(abs(directions[w, i]) for i, w in enumerate(order)))
    rows, columns = (1, 2) if world[1] > world[2] else (2, 1)
    steps: list[slice] = [slice(None)] * 3
    for axis, wanted in ((rows, -1 if world[rows] == 2 else 1), (columns, 1)):
        if directions[world[axis], axis] * wanted < 0:
            steps[axis] = slice(None, None, -1)
    order = (0, rows, columns)
    left, right = _LETTERS[world[columns]]
    bottom, top = _LETTERS[world[rows]] if world[rows] == 2 else _LETTERS[world[rows]][::-1]
    return _rearranged(volume, tuple(steps), order), Edges(left, right, top, bottom)


def around_lesions(volume: Volume, shown: NDArray[np.bool_], margin_mm: float = MARGIN_MM) -> Volume:
    """The box around `shown`, blackened where it is farther away than the margin: enough to see a lesion, no face.

    Args:
        volume: its blackened voxels get the lowest intensity of the box.
        shown: bool (Z, rows, columns), at least one voxel True.
        margin_mm: how far around.
    """
    box = mask_box(shown)
    assert box is not None, "something must be shown"
    spacing = volume.geometry.spacing_mm
    pads = [int(margin_mm // mm) for mm in spacing]
    wide = tuple(
        (max(0, start - pad), min(size, stop + pad))
        for (start, stop), pad, size in zip(box, pads, shown.shape, strict=True)
    )
    part = cut(volume, wide)  # type: ignore[arg-type]
    inside = shown[tuple(slice(start, stop) for start, stop in wide)]
    far = ndimage.distance_transform_edt(~inside, sampling=spacing) > margin_mm
    return replace(part, image=np.where(far, part.image.min(), part.image), mask=np.where(far, 0, part.mask))


def largest_lesions(mask: NDArray[np.uint8], most: int) -> list[NDArray[np.bool_]]:
    """The largest components of each label value in a mask (Z, rows, columns), together at most so many."""
    found = []
    for value in np.unique(mask[mask != 0]):
        numbered, count = label_components(mask == value)
        sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
        found += [(int(size), numbered == number) for number, size in enumerate(sizes, 1)]
    found.sort(key=lambda lesion: -lesion[0])
    return [lesion for _, lesion in found[:most]]


def cut(volume: Volume, box: Box) -> Volume:
    """The part of a volume within a box of voxel ranges."""
    steps = tuple(slice(start, stop) for start, stop in box)
    part = _rearranged(volume, steps, (0, 1, 2))
    return replace(part, first_slice=volume.first_slice + box[0][0])


def coarser(volume: Volume, factor: int) -> Volume:
    """Blocks of factor x factor voxels of each slice in one: their mean intensity, and the label in their middle."""
    if factor == 1:
        return volume
    z, y, x = volume.image.shape
    rows, columns = max(1, y // factor), max(1, x // factor)
    tall, wide = min(factor, y), min(factor, x)
    image = volume.image[:, : rows * tall, : columns * wide].reshape(z, rows, tall, columns, wide).mean(axis=(2, 4))
    mask = volume.mask[:, tall // 2 : rows * tall : tall, wide // 2 : columns * wide : wide]
    grid = volume.geometry
    dz, dy, dx = grid.spacing_mm
    origin = _position(grid, (0.0, (tall - 1) / 2, (wide - 1) / 2))
    geometry = Geometry((z, rows, columns), (dz, dy * tall, dx * wide), origin, grid.direction)
    return replace(volume, image=image, mask=mask, geometry=geometry)


def grey_levels(image: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Intensities as 0 (black, at or below the window's lower end) to 255."""
    low, high = window
    scaled = (np.asarray(image, dtype=np.float32) - low) * (255.0 / max(high - low, 1e-6))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def grey_window(image: NDArray[Any]) -> tuple[float, float]:
    """Intensities to show as black and as white: the 0.5th and 99.5th percentile."""
    low, high = np.percentile(image, (0.5, 99.5))
    return float(low), float(high)


def _rearranged(volume: Volume, steps: tuple[slice, ...], order: Sequence[int]) -> Volume:
    """Parts and mirrored axes, then the axes in another order; every voxel stays where it is in the world."""
    grid = volume.geometry
    first, signs = [], []
    for step, size in zip(steps, grid.shape, strict=True):
        start, _, stride = step.indices(size)
        first.append(float(start))
        signs.append(stride)
    directions = _directions(grid) * np.array(signs)
    image = volume.image[steps].transpose(order)
    geometry = Geometry(
        (image.shape[0], image.shape[1], image.shape[2]),
        tuple(grid.spacing_mm[axis] for axis in order),  # type: ignore[arg-type]
        _position(grid, tuple(first)),
        tuple(directions[:, order][:, ::-1].ravel().tolist()),  # type: ignore[arg-type]
    )
    return replace(volume, image=image, mask=volume.mask[steps].transpose(order), geometry=geometry)


def _directions(grid: Geometry) -> NDArray[np.float64]:
    """Column a is the direction of array axis a in the world's x, y, z."""
    return np.array(grid.direction).reshape(3, 3)[:, ::-1]


def _position(grid: Geometry, index: tuple[float, ...]) -> tuple[float, float, float]:
    """Where a voxel (z, y, x) lies in the world."""
    x, y, z = np.array(grid.origin_mm) + _directions(grid) @ (np.array(index) * np.array(grid.spacing_mm))
    return float(x), float(y), float(z)
