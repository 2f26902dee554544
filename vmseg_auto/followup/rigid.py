"""Rigid transforms between two scans: where a voxel of one lies in the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.utils.geometry import Geometry, Spacing

_BOX_MM = 12.0
"""Edge of the boxes within which scans are compared."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RigidTransform:
    """A rigid transform: what lies at p in the first scan's world lies at rotation * p + shift in the second's.

    Args:
        rotation: the nine numbers of the matrix, row by row.
        shift_mm: in world order (x, y, z).

    Example:
        >>> RigidTransform((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)).degrees
        90.0
    """

    rotation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    shift_mm: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def degrees(self) -> float:
        """The angle turned, about whatever axis."""
        trace = self.rotation[0] + self.rotation[4] + self.rotation[8]
        return math.degrees(math.acos(min(1.0, max(-1.0, (trace - 1) / 2))))

    @property
    def inverse(self) -> RigidTransform:
        """From the second scan's world to the first's."""
        back = np.array(self.rotation).reshape(3, 3).T
        return RigidTransform(tuple(back.ravel().tolist()), tuple((-back @ self.shift_mm).tolist()))


def voxel_map(source: Geometry, target: Geometry, transform: RigidTransform) -> tuple[Floats, Floats]:
    """Return the matrix [3, 3] and offset [3] that take voxel indices (Z, Y, X) of `source` to those of `target`.

    Args:
        transform: takes a place in the source's world to that of the same tissue in the target's.
    """
    from_index, from_origin = _world(source)
    to_index, to_origin = _world(target)
    rotation, shift = np.array(transform.rotation).reshape(3, 3), np.array(transform.shift_mm)
    back = np.linalg.inv(to_index)
    return back @ rotation @ from_index, back @ (rotation @ from_origin + shift - to_origin)


def mapped(voxels: NDArray[Any], source: Geometry, target: Geometry, transform: RigidTransform) -> Floats:
    """Map voxels [N, 3] of `source` to indices [N, 3] (Z, Y, X; not whole) in `target`."""
    matrix, offset = voxel_map(source, target, transform)
    found: Floats = voxels @ matrix.T + offset
    return found


def placed(voxels: NDArray[Any], geometry: Geometry, transform: RigidTransform) -> Floats:
    """Return where voxels [N, 3] (Z, Y, X) of a grid come to lie in the other scan's world [N, 3] (x, y, z; mm)."""
    index, origin = _world(geometry)
    rotation = np.array(transform.rotation).reshape(3, 3)
    found: Floats = (voxels @ index.T + origin) @ rotation.T + transform.shift_mm
    return found


def in_view(indices: Floats, geometry: Geometry) -> NDArray[np.bool_]:
    """Return which of these indices [N, 3] (Z, Y, X) lie within a grid.

    >>> in_view(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 9.0]]), Geometry((4, 4, 4), (1.0, 1.0, 1.0)))
    array([ True, False])
    """
    inside = (indices >= -0.5) & (indices < np.array(geometry.shape) - 0.5)
    return np.asarray(inside.all(axis=1))


def resample(
    image: NDArray[np.float32], grid: Geometry, onto: Geometry, transform: RigidTransform, outside: float
) -> NDArray[np.float32]:
    """Resample a scan to another scan's grid, by linear interpolation.

    Args:
        image: (Z, Y, X) on `grid`.
        onto: the grid wanted.
        transform: takes a place in the world of `onto` to that of the same tissue in the world of `grid`.
        outside: value of voxels that the scan does not hold.
    """
    matrix, offset = voxel_map(onto, grid, transform)
    moved: NDArray[np.float32] = ndimage.affine_transform(
        image, matrix, offset, onto.shape, order=1, mode="constant", cval=outside
    )
    return moved


def local_ncc(fixed: NDArray[np.float32], moved: NDArray[np.float32], spacing_mm: Spacing) -> float:
    """Return how alike two scans on one grid are, 0 to 1: the mean squared correlation within small boxes (local NCC).

    Boxes count by how much both scans vary in them, so that air counts for little. Correlation within boxes does not
    mind coils and contrast (Avants et al., Medical Image Analysis 2008, 12:26). Scans of different patients, brought
    together as far as they can be, have the same outline but not the same details.

    Args:
        fixed, moved: (Z, Y, X); NaN in `moved` where it holds nothing.

    Example:
        >>> scan = np.random.default_rng(0).random((8, 8, 8), dtype=np.float32)
        >>> round(local_ncc(scan, 2 * scan + 1, (2.0, 2.0, 2.0)), 2)
        1.0
    """
    seen = np.isfinite(moved)
    if not seen.any():
        return 0.0
    size = [max(3, 2 * round(_BOX_MM / mm / 2) + 1) for mm in spacing_mm]
    weight = np.maximum(ndimage.uniform_filter(seen.astype(np.float32), size, mode="constant"), 1e-6)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = ndimage.uniform_filter(values, size, mode="constant") / weight
        return found

    a, b = (_standardised(image, seen) for image in (fixed, moved))
    mean_a, mean_b = mean(a), mean(b)
    varied = np.maximum(mean(a * a) - mean_a**2, 0) * np.maximum(mean(b * b) - mean_b**2, 0)
    squared = (mean(a * b) - mean_a * mean_b) ** 2 / np.maximum(varied, 1e-8)
    counted = np.sqrt(varied) * seen
    return float((squared * counted).sum() / max(float(counted.sum()), 1e-12))


def _standardised(image: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scale a scan to mean 0 and deviation 1 where both scans are, 0 elsewhere."""
    inside = image[seen]
    result: NDArray[np.float32] = np.where(seen, (image - inside.mean()) / max(float(inside.std()), 1e-12), 0)
    return result.astype(np.float32)


def _world(geometry: Geometry) -> tuple[Floats, Floats]:
    """Return the matrix [3, 3] from voxel indices (Z, Y, X) to mm in the world (x, y, z), and the origin there."""
    return geometry.affine[:3, 2::-1], geometry.affine[:3, 3]
