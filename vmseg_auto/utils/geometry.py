"""Where an image lies in space. Arrays are (Z, Y, X); spacings are in mm in the same order."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.errors import InputError

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
Point = tuple[float, float, float]
"""A place in the world, (x, y, z) in mm."""
Direction = tuple[float, float, float, float, float, float, float, float, float]
"""Direction cosines row by row: of world (x, y, z) over voxel (i, j, k), which run along X, Y and Z."""
Axes = tuple[int, int, int]
"""An order of three axes, or for each of them an axis of something else."""
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open voxel ranges along (Z, Y, X)."""

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class NiftiForms:
    """The two ways in which a NIfTI header places its voxels, as it states them; what a mask of the scan states too.

    Args:
        codes: of qform and sform; a form of code 0 says nothing.
        handedness: pixdim[0], which of the qform's axes are mirrored.
        qform: the quaternion (b, c, d) and the place of the first voxel (x, y, z).
        sform: the matrix, row by row: of world (x, y, z) over voxel (i, j, k, 1).
        units: of lengths, NIfTI's code.
        placement: of the grid that they were read with; they say nothing of another.
    """

    codes: tuple[int, int]
    handedness: float
    qform: tuple[float, ...]
    sform: tuple[float, ...]
    units: int
    placement: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Geometry:
    """Grid of a volume.

    Args:
        shape: voxels along (Z, Y, X).
        spacing_mm: voxel size in mm along (Z, Y, X).
        origin_mm: position of the first voxel's centre, in world order (x, y, z), as ITK gives it.
        direction: the nine direction cosines, row by row, as ITK gives them.
        forms: how a NIfTI file states this grid; None of grids that come from elsewhere.
        doubts: in words, what the file's header leaves open or says twice, and was yet no reason to refuse it.
        spacing_given: the header tells no voxel size, and a person has given it.

    Example:
        >>> Geometry((20, 256, 256), (4.0, 0.5, 0.5)).voxel_ml
        0.001
    """

    shape: Shape
    spacing_mm: Spacing
    origin_mm: Point = (0.0, 0.0, 0.0)
    direction: Direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    forms: NiftiForms | None = field(default=None, compare=False, repr=False)
    doubts: tuple[str, ...] = field(default=(), compare=False, repr=False)
    spacing_given: bool = field(default=False, compare=False, repr=False)

    @property
    def affine(self) -> NDArray[np.float64]:
        """Return the matrix [4, 4] from a voxel's index to its place in the world.

        The index counts along X, Y and Z, and the world is (x, y, z) in mm to the patient's left, back and head, as
        ITK and DICOM have it; NIfTI's world has the other sign along x and y.

        >>> Geometry((2, 3, 4), (5.0, 1.0, 1.0), (10.0, 0.0, 0.0)).affine @ (3, 0, 1, 1)
        array([13.,  0.,  5.,  1.])
        """
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * self.spacing_mm[::-1]
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def cosines(self) -> NDArray[np.float64]:
        """Return where the axes (Z, Y, X) point in the world (x, y, z), as the columns of a matrix [3, 3]."""
        return np.reshape(self.direction, (3, 3))[:, ::-1]

    @property
    def placement(self) -> tuple[tuple[float, ...], ...]:
        """Spacing, origin and direction: all of the grid but its shape."""
        return self.spacing_mm, self.origin_mm, self.direction

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def patient_axes(self) -> Axes:
        """For each axis of (Z, Y, X), the patient's axis that it runs closest to.

        0 is right to left, 1 front to back, 2 feet to head: the world's x, y and z.
        """
        cosines = np.abs(self.cosines).T
        z, y, x = max(permutations(range(3)), key=lambda axes: sum(cosines[i, axis] for i, axis in enumerate(axes)))
        return z, y, x

    @property
    def reversed_axes(self) -> tuple[int, ...]:
        """The axes of (Z, Y, X) that run to the patient's right, front or feet, rather than the other way."""
        return tuple(i for i, axis in enumerate(self.patient_axes) if self.cosines[axis, i] < 0)

    def differences(self, other: Geometry) -> list[str]:
        """Describe what sets `other` apart from this grid; empty where both are the same grid.

        Tolerances: 0.1 % of the spacing, a tenth of the smallest voxel edge for the origin, 1e-3 for the cosines.

        >>> Geometry((20, 64, 64), (4.0, 1.0, 1.0)).differences(Geometry((20, 64, 64), (5.0, 1.0, 1.0)))
        ['spacing 1 x 1 x 4 mm against 1 x 1 x 5 mm']
        """
        found = []
        if self.shape != other.shape:
            found.append(f"size {_xyz(self.shape)} against {_xyz(other.shape)}")
        if not np.allclose(self.spacing_mm, other.spacing_mm, rtol=1e-3, atol=1e-5):
            found.append(f"spacing {_xyz(self.spacing_mm)} mm against {_xyz(other.spacing_mm)} mm")
        if not np.allclose(self.origin_mm, other.origin_mm, rtol=0, atol=0.1 * min(self.spacing_mm)):
            found.append(f"origin {_numbers(self.origin_mm)} mm against {_numbers(other.origin_mm)} mm")
        if not np.allclose(self.direction, other.direction, rtol=0, atol=1e-3):
            own, others = (np.array(grid.direction).reshape(3, 3) for grid in (self, other))
            angles = np.degrees(np.arccos(np.clip((own * others).sum(axis=0), -1, 1)))
            found.append(f"axes that point up to {angles.max():.3g} degrees apart")
        return found


def picked(values: tuple[N, N, N], order: Axes) -> tuple[N, N, N]:
    """Return what belongs to a scan's axes in another order of these."""
    return values[order[0]], values[order[1]], values[order[2]]


def order_along(own: Axes, wanted: Axes) -> Axes:
    """Return in which order a scan's axes are to be taken, so that they run along these of the patient's.

    Args:
        own: the scan's (`Geometry.patient_axes`).
        wanted: in the order in which they are wanted.

    >>> order_along((1, 2, 0), (2, 1, 0))
    (1, 0, 2)
    """
    first, second, third = (own.index(axis) for axis in wanted)
    return first, second, third


def require_spacing(spacing_mm: Spacing) -> None:
    """Refuse a voxel size that a person gives and that can be none, by an InputError."""
    if len(spacing_mm) != 3 or not all(0 < edge <= 1000 for edge in spacing_mm):
        raise InputError(f"the voxel size is {spacing_mm}", remedy="Give mm above 0, in the order Z Y X.")


def spacing_in_words(spacing_mm: Spacing) -> str:
    """Write a voxel size in the order in which plan.json has it, and --spacing takes it.

    >>> spacing_in_words((4.0, 0.5, 0.5))
    '4 x 0.5 x 0.5 mm (Z, Y, X)'
    """
    return f"{_numbers(spacing_mm, ' x ')} mm (Z, Y, X)"


def _numbers(values: tuple[float, ...], separator: str = ", ") -> str:
    return separator.join(f"{value:.6g}" for value in values)


def _xyz(values: tuple[float, ...]) -> str:
    """Write sizes as viewers show them: x first."""
    return _numbers(values[::-1], " x ")
