"""Distances between two surfaces, over their area."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vmseg_auto.evaluation.surfaces import Floats, Ints, Surface

SAMPLES = 20_000
"""Triangles, equally spread over a surface's area, that stand for all where there are more."""
ROUNDING = 1e-5
"""How far apart, as a share, headers in float32 put lengths that are equal."""


@dataclass(frozen=True)
class Distances:
    """From one surface to the other.

    Args:
        mm: of points on it, in ascending order [N].
        areas: that the points stand for, mm2 [N].
    """

    mm: Floats
    areas: Floats

    @property
    def mean(self) -> float:
        """The mean over the area, mm."""
        return self.integral / self.area

    @property
    def area(self) -> float:
        """The area of the whole surface, mm2."""
        return float(self.areas.sum())

    @property
    def integral(self) -> float:
        """Distance times area, mm3."""
        return float((self.mm * self.areas).sum())

    def percentile(self, percent: float) -> float:
        """Return the distance within which so much of the area lies, mm."""
        reached = np.cumsum(self.areas)
        return float(self.mm[np.searchsorted(reached[:-1], percent / 100 * reached[-1])])

    def area_within(self, tolerance_mm: float) -> float:
        """Return the mm2 that lie within a tolerance; a distance equal to it is within it."""
        return float(self.areas[self.mm <= tolerance_mm * (1 + ROUNDING)].sum())


def distances_between(one: Surface, other: Surface) -> tuple[Distances, Distances]:
    """Measure the distances from one surface to the other, and back. Neither may be empty."""
    return _distances(one, other), _distances(other, one)


def _distances(start: Surface, goal: Surface) -> Distances:
    points, areas = start.middles, start.areas
    if len(points) > SAMPLES:
        chosen = _spread(areas)
        points, areas = points[chosen], np.full(SAMPLES, areas.sum() / SAMPLES)
    mm = _to_nearest(points, goal)
    order = np.argsort(mm)
    return Distances(mm[order], areas[order])


def _spread(areas: Floats) -> Ints:
    """Choose SAMPLES triangles at equal steps of area."""
    reached = np.cumsum(areas)
    return np.asarray(np.searchsorted(reached[:-1], (np.arange(SAMPLES) + 0.5) / SAMPLES * reached[-1]))


def largest_distance(start: Surface, goal: Surface, known_mm: float) -> float:
    """Return the largest distance from any triangle of one surface to the other, mm.

    Only those are measured that may lie further than `known_mm`, which some triangle does lie off. How far a triangle
    may lie is known from a coarse grid: as far as the next cell that the other surface passes, and across both cells.
    """
    points, passing = start.middles.T, goal.middles.T
    low = np.array([min(one.min(), other.min()) for one, other in zip(points, passing, strict=True)])[:, None]
    extent = np.array([max(one.max(), other.max()) for one, other in zip(points, passing, strict=True)])[:, None] - low
    side = max(known_mm / 4, float(np.prod(extent + 1)) ** (1 / 3) / 60, 1e-3)
    passed = np.zeros(tuple((extent[:, 0] / side).astype(int) + 1), dtype=bool)
    passed[tuple(((passing - low) / side).astype(int))] = True
    cells = ndimage.distance_transform_edt(~passed)[tuple(((points - low) / side).astype(int))]
    further = start.middles[side * (cells + math.sqrt(3)) > known_mm]
    return max(known_mm, float(_to_nearest(further, goal).max(initial=0.0)))


def _to_nearest(points: Floats, goal: Surface) -> Floats:
    """Return the distance from each point to the triangle whose middle is the nearest."""
    to_middle, nearest = goal.tree.query(points)
    return np.asarray(np.minimum(to_middle, _to_triangles(points, goal.corners[nearest])))


def _to_triangles(points: Floats, corners: Floats) -> Floats:
    """Return distances from points [N, 3] to their triangles [N, 3, 3].

    After Ericson, Real-Time Collision Detection, 2005, 5.1.5.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    bb, bc, cc, pb, pc = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac), _dot(ap, ab), _dot(ap, ac)
    size = bb * cc - bc * bc
    along_b, along_c = cc * pb - bc * pc, bb * pc - bc * pb
    above = (along_b >= 0) & (along_c >= 0) & (along_b + along_c <= size) & (size > 0)
    normal = np.cross(ab, ac)
    square = _dot(ap, normal) ** 2 / np.where(size > 0, size, 1)
    beside = ~above
    p, a, b, c = points[beside], a[beside], b[beside], c[beside]
    square[beside] = np.minimum(np.minimum(_to_line(p, a, b), _to_line(p, b, c)), _to_line(p, c, a))
    return np.asarray(np.sqrt(square))


def _to_line(points: Floats, start: Floats, end: Floats) -> Floats:
    """Return the square of the distance from each point to the line from start to end, all [N, 3]."""
    line, there = end - start, points - start
    length = _dot(line, line)
    part = np.clip(_dot(there, line) / np.where(length > 0, length, 1), 0, 1)
    rest = there - part[:, None] * line
    return _dot(rest, rest)


def _dot(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->i", one, other))
