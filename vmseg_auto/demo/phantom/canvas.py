"""Soft-edged shapes painted into a volume whose voxels know where they lie in the head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
Region = tuple[slice, slice, slice]
Point = tuple[float, float, float]
"""In the head's own frame, mm, world order: x to the left, y to the back, z up."""

_TINY = np.float32(1e-3)


class Tissue(NamedTuple):
    """How a tissue shows in T2.

    Args:
        level: signal in fat-suppressed T2, in the unit in which lesions have 1.35 to 1.7.
        grain: relative strength of its texture.
        solid: true where no soft-tissue lesion can grow (bone, air, brain, eye).
    """

    level: float
    grain: float = 0.04
    solid: bool = False


@dataclass
class Canvas:
    """A volume being painted.

    Args:
        x, y, z: head coordinates of every voxel in mm, arrays (Z, Y, X).
        edge_mm: width over which the border of a shape fades, about one voxel.
        grain: smooth noise (Z, Y, X) of unit variance, the texture of all tissues.
        folds: coarser smooth noise (Z, Y, X) of unit variance, whose zero surface draws sulci and fat planes.
    """

    x: Array
    y: Array
    z: Array
    edge_mm: float
    grain: Array
    folds: Array

    def __post_init__(self) -> None:
        self.signal: Array = np.zeros_like(self.x)
        self.solid: Array = np.zeros_like(self.x)
        axes = ((self.z, (1, 2)), (self.y, (0, 2)), (self.x, (0, 1)))
        self._spans = [(c.min(axis=others), c.max(axis=others)) for c, others in axes]

    def region(self, low: Point, high: Point) -> Region | None:
        """Return the smallest block of voxels that holds all points between two corners; None if it is out of view."""
        slices = []
        for (least, most), a, b in zip(self._spans, low[::-1], high[::-1], strict=True):
            hit = np.flatnonzero((most >= a - self.edge_mm) & (least <= b + self.edge_mm))
            if not hit.size:
                return None
            slices.append(slice(int(hit[0]), int(hit[-1]) + 1))
        return slices[0], slices[1], slices[2]

    def cover(self, distance: Array) -> Array:
        """Return the share of each voxel inside a shape, by the signed distance (mm, negative inside) to its border."""
        share: Array = np.clip(np.float32(0.5) - distance / np.float32(self.edge_mm), 0, 1)
        return share

    def paint(self, region: Region, cover: Array, tissue: Tissue) -> None:
        """Lay a tissue over what is there; `cover` in [0, 1] has the region's shape."""
        signal, solid = self.signal[region], self.solid[region]
        shade = np.float32(tissue.level) * (1 + np.float32(tissue.grain) * self.grain[region])
        signal += cover * (shade - signal)
        solid += cover * (np.float32(tissue.solid) - solid)

    def ellipsoid(self, region: Region, center: Point, radii: Point) -> Array:
        """Return the signed distance (mm, close to exact near the border) to an ellipsoid."""
        squares, slopes = np.float32(0), np.float32(0)
        for values, middle, radius in zip((self.x, self.y, self.z), center, radii, strict=True):
            square = np.square((values[region] - np.float32(middle)) * np.float32(1 / radius))
            squares = squares + square
            slopes = slopes + square * np.float32(1 / radius**2)
        reach = np.sqrt(squares)
        distance: Array = reach * (reach - 1) / (np.sqrt(slopes) + _TINY)
        return distance

    def tube(self, region: Region, start: Point, end: Point, radius: float) -> Array:
        """Return the signed distance (mm) to a straight tube with round ends."""
        along = np.subtract(end, start).astype(np.float32)
        offsets = [c[region] - np.float32(s) for c, s in zip((self.x, self.y, self.z), start, strict=True)]
        share = sum(o * a for o, a in zip(offsets, along, strict=True)) / np.float32((along**2).sum())
        share = np.clip(share, 0, 1)
        squares = sum((o - share * a) ** 2 for o, a in zip(offsets, along, strict=True))
        distance: Array = np.sqrt(np.asarray(squares, dtype=np.float32)) - np.float32(radius)
        return distance

    def paint_ellipsoid(self, tissue: Tissue, center: Point, radii: Point, wobble_mm: float = 0.0) -> None:
        """Paint an ellipsoid whose border the folds move by about `wobble_mm`."""
        reach = _point(np.add(radii, 2 * wobble_mm))
        if (region := self.region(*corners(center, reach))) is not None:
            distance = self.ellipsoid(region, center, radii) + np.float32(wobble_mm) * self.folds[region]
            self.paint(region, self.cover(distance), tissue)

    def paint_tube(self, tissue: Tissue, start: Point, end: Point, radius: float) -> None:
        """Paint a straight tube with round ends."""
        lows, highs = np.minimum(start, end) - radius, np.maximum(start, end) + radius
        if (region := self.region(_point(lows), _point(highs))) is not None:
            self.paint(region, self.cover(self.tube(region, start, end, radius)), tissue)


def join(a: Array, b: Array, blend_mm: float) -> Array:
    """Return the union of two shapes given by signed distances, their seam rounded over `blend_mm`.

    Source of the method: the polynomial smooth minimum (I. Quilez, "Smooth minimum").
    """
    mix = np.clip(np.float32(blend_mm) - np.abs(a - b), 0, None)
    joined: Array = np.minimum(a, b) - mix * mix / np.float32(4 * blend_mm)
    return joined


def sides(point: Point) -> Iterator[Point]:
    """Yield a point and its mirror image.

    >>> list(sides((30.0, -10.0, 5.0)))
    [(30.0, -10.0, 5.0), (-30.0, -10.0, 5.0)]
    """
    x, y, z = point
    yield point
    yield -x, y, z


def corners(center: Point, radii: Point) -> tuple[Point, Point]:
    """Return two opposite corners of the box round an ellipsoid.

    >>> corners((0.0, 0.0, 10.0), (5.0, 5.0, 2.0))
    ((-5.0, -5.0, 8.0), (5.0, 5.0, 12.0))
    """
    return _point(np.subtract(center, radii)), _point(np.add(center, radii))


def _point(values: Floats) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z
