"""Puts a mask on the grid of an image where both share their voxels: whole voxels are moved, none is resampled.

Programs save a mask on a part of the image's grid (3D Slicer), or with axes turned round (converters of DICOM). Such a
mask holds each voxel of the image exactly; any other would have to be resampled, which changes what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry, Shape

T = TypeVar("T")
TOLERANCE = 0.1
"""How far a voxel's centre may be from its counterpart, as a share of the shortest edge of a voxel."""
_REMEDY = "Draw or export it on the grid of this image; a resampled mask is no longer what was drawn."


@dataclass(frozen=True)
class Placement:
    """Where the voxels of one grid lie in another. All in the order (Z, Y, X).

    Args:
        axes: which axis of the source lies along each axis of the target.
        flips: whether it runs the other way there.
        size: of the source, so turned.
        start: index in the target of its first voxel, so turned; may be negative.
        shape: of the target.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    size: Shape
    start: tuple[int, int, int]
    shape: Shape

    @property
    def meets(self) -> bool:
        """Whether the grids share any voxel."""
        return all(
            begin < whole and begin + size > 0
            for begin, size, whole in zip(self.start, self.size, self.shape, strict=True)
        )

    def words(self) -> str:
        """Describe how the source fits, for a table."""
        turned = self.axes != (0, 1, 2) or any(self.flips)
        if self.size == self.shape and self.start == (0, 0, 0):
            return "axes turned" if turned else "same grid"
        return "part of the grid" + (", axes turned" if turned else "")


def placement(source: Geometry, target: Geometry) -> Placement:
    """Find how the source's voxels lie in the target's grid.

    Raises:
        InputError: they do not coincide with its voxels; says by what they differ.

    Example:
        >>> placement(Geometry((4, 8, 8), (4.0, 1.0, 1.0)), Geometry((4, 8, 8), (4.0, 1.0, 1.0))).words()
        'same grid'
    """
    own, theirs = source.affine[:3, :3], target.affine[:3, :3]
    steps = np.linalg.solve(theirs, own)
    first = np.linalg.solve(theirs, np.subtract(source.origin_mm, target.origin_mm))
    whole = np.rint(steps)
    if not np.array_equal(np.abs(whole) @ np.ones(3), np.ones(3)) or abs(round(np.linalg.det(whole))) != 1:
        raise InputError(_difference(source, target), remedy=_REMEDY)
    corners = np.array(list(product(*((0, size - 1) for size in source.shape[::-1]))), dtype=float).T
    off_mm = theirs @ ((steps - whole) @ corners + (first - np.rint(first))[:, None])
    if np.linalg.norm(off_mm, axis=0).max() > TOLERANCE * min(target.spacing_mm):
        raise InputError(_difference(source, target), remedy=_REMEDY)
    x_axes = np.abs(whole).argmax(axis=1)  # both in ITK's order (x, y, z)
    x_flips = whole[np.arange(3), x_axes] < 0
    sizes = np.array(source.shape[::-1])[x_axes]
    x_start = np.rint(first).astype(int) - np.where(x_flips, sizes - 1, 0)
    axes, flips, start = (2 - x_axes)[::-1], x_flips[::-1], x_start[::-1]
    size = sizes[::-1]
    return Placement(_three(axes, int), _three(flips, bool), _three(size, int), _three(start, int), target.shape)


def place(mask: NDArray[np.uint8], where: Placement) -> NDArray[np.uint8]:
    """Place the mask [Z, Y, X] on the target's grid; 0 where it does not reach.

    Raises:
        InputError: labelled voxels lie outside the target.
    """
    placed = np.zeros(where.shape, dtype=np.uint8)
    place_into(placed, mask, where)
    return placed


def place_into(placed: NDArray[np.uint8], mask: NDArray[np.uint8], where: Placement) -> None:
    """Place the labelled voxels of a mask [Z, Y, X] in what lies on the target's grid already, in place.

    Raises:
        InputError: some lie outside the target.
    """
    turned = np.flip(mask.transpose(where.axes), tuple(axis for axis in range(3) if where.flips[axis]))
    from_, to = [], []
    for begin, size, whole in zip(where.start, turned.shape, where.shape, strict=True):
        low, high = max(begin, 0), max(min(begin + size, whole), 0)
        from_.append(slice(low - begin, max(high - begin, low - begin)))
        to.append(slice(low, max(high, low)))
    part, there = turned[tuple(from_)], placed[tuple(to)]
    np.copyto(there, part, where=part != 0)
    if lost := int(np.count_nonzero(mask)) - int(np.count_nonzero(part)):
        raise InputError(
            f"{lost} of its voxels lie outside the image",
            remedy="Check that mask and image belong together; erase what lies outside.",
        )


def _difference(source: Geometry, target: Geometry) -> str:
    """Describe the first thing by which the grids do not fit."""
    cosines = np.array(target.direction).reshape(3, 3).T @ np.array(source.direction).reshape(3, 3)
    tilt = float(np.degrees(np.arccos(np.clip(np.abs(cosines).max(axis=0).min(), 0, 1))))
    if tilt > 0.05:
        return f"its axes are tilted by {tilt:.3g} degrees against the image's"
    sizes = tuple(source.spacing_mm[2 - axis] for axis in np.abs(cosines).argmax(axis=1))[::-1]
    if not np.allclose(sizes, target.spacing_mm, rtol=1e-3):
        return f"its voxels are {_mm(sizes)} mm, but the image's are {_mm(target.spacing_mm)} mm"
    steps = np.linalg.solve(target.affine[:3, :3], source.affine[:3, :3])
    first = np.linalg.solve(target.affine[:3, :3], np.subtract(source.origin_mm, target.origin_mm))
    ends = np.stack([first, first + steps @ (np.array(source.shape[::-1]) - 1)])
    parts = ", ".join(f"{value:.2g}" for value in np.abs(ends - np.rint(ends)).max(axis=0))
    return f"it is shifted by parts of a voxel ({parts} along x, y, z) against the image"


def _mm(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.4g}" for value in spacing[::-1])


def _three(values: NDArray[Any], kind: Callable[[Any], T]) -> tuple[T, T, T]:
    first, second, third = (kind(value) for value in values)
    return first, second, third
