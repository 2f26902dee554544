"""Closed contours of a mask's slice, along the edges of its voxels.

A voxel belongs to the mask if its centre lies within a contour. No centre is nearer to a contour than half a voxel, so
whoever fills the contours gets the same voxels back, and contours enclose the very area of the voxels. Holes are joined
to what is around them by keyholes: a channel of no width through which the contour goes in and comes back (DICOM PS3.3,
C.8.8.6.3), so that any program shows them as holes, also one that knows no other rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Vertex = tuple[int, int]
"""Column and row of a corner between voxels; (0, 0) is the outer corner of voxel (0, 0)."""
Loop = list[Vertex]
"""Corners in order, a step of one voxel's edge each; the last is followed by the first."""


def slice_contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the closed contours of a slice.

    Args:
        mask: (Y, X).

    Returns:
        For each part whose voxels share edges an array [corners, 2] of columns and rows, in voxels; (0, 0) is the
        centre of voxel (0, 0), and corners lie half a voxel away from centres. The first corner is not repeated at the
        end.

    Example:
        >>> slice_contours(np.array([[False, True]]))[0].tolist()
        [[0.5, -0.5], [1.5, -0.5], [1.5, 0.5], [0.5, 0.5]]
    """
    padded = np.pad(mask, 1)
    outer: list[Loop] = []
    holes: list[Loop] = []
    for loop in _loops(padded):
        (outer if _area(loop) > 0 else holes).append(loop)
    return [_corners(contour) for contour in _joined(padded, outer, holes)]


def filled(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the voxels whose centres lie within a closed contour, those that a line to the left crosses an odd number
    of times.

    Args:
        corners: [corners, 2] of columns and rows in voxels, as `slice_contours` returns them.
        shape: of the slice (Y, X).

    Example:
        >>> filled(slice_contours(np.array([[False, True]]))[0], (1, 2)).tolist()
        [[False, True]]
    """
    inside = np.zeros(shape, dtype=np.bool_)
    (x1, y1), (x2, y2) = corners.T, np.roll(corners, -1, axis=0).T
    columns = np.arange(shape[1])
    first, last = np.ceil(corners[:, 1].min()), np.floor(corners[:, 1].max())
    for row in range(max(int(first), 0), min(int(last), shape[0] - 1) + 1):
        crossing = (np.minimum(y1, y2) <= row) & (row < np.maximum(y1, y2))
        at = x1[crossing] + (row - y1[crossing]) * (x2 - x1)[crossing] / (y2 - y1)[crossing]
        inside[row] = np.searchsorted(np.sort(at), columns) % 2 == 1
    return inside


def _loops(padded: NDArray[np.bool_]) -> Iterator[Loop]:
    """Yield the closed ways along the edges between mask and background, each touching no corner twice.

    The mask lies on the right of each as it is walked in a picture whose rows run downwards, so that the area of what
    is around a part is positive, and that of a hole negative.
    """
    following: dict[Vertex, list[Vertex]] = defaultdict(list)
    above, below = padded[:-1, 1:-1], padded[1:, 1:-1]
    for row, column in np.argwhere(below & ~above).tolist():
        following[column, row].append((column + 1, row))
    for row, column in np.argwhere(above & ~below).tolist():
        following[column + 1, row].append((column, row))
    left, right = padded[1:-1, :-1], padded[1:-1, 1:]
    for row, column in np.argwhere(left & ~right).tolist():
        following[column, row].append((column, row + 1))
    for row, column in np.argwhere(right & ~left).tolist():
        following[column, row + 1].append((column, row))
    for start in list(following):
        while following[start]:
            way = [start]
            places = {start: 0}
            while following[way[-1]]:
                vertex = _next(way, following[way[-1]])
                if vertex not in places:
                    places[vertex] = len(way)
                    way.append(vertex)
                    continue
                loop = way[places[vertex] :]  # closed; what led to it goes on
                yield loop
                del way[places[vertex] + 1 :]
                for passed in loop[1:]:
                    del places[passed]


def _next(way: Loop, ways: list[Vertex]) -> Vertex:
    """Take the next corner of a way: where two parts touch in a corner, the one that stays at the same voxel."""
    if len(ways) > 1 and len(way) > 1:
        (column, row), (before, above) = way[-1], way[-2]
        right = column - (row - above), row + (column - before)
        ways.remove(right)
        return right
    return ways.pop()


def _area(loop: Loop) -> float:
    columns, rows = np.array(loop).T
    return float(columns @ np.roll(rows, -1) - rows @ np.roll(columns, -1)) / 2


def _joined(padded: NDArray[np.bool_], outer: list[Loop], holes: list[Loop]) -> list[Loop]:
    """Return the outer loops, each with its holes joined to it.

    From the leftmost corner of a hole a channel goes left through the mask to the first edge there is. That belongs to
    the loop around the hole, or to another hole of it, which reaches farther left and so has been joined before.
    """
    joined = {number: loop for number, loop in enumerate(outer)}
    at: dict[Vertex, list[int]] = defaultdict(list)
    for number, loop in joined.items():
        for vertex in loop:
            at[vertex].append(number)
    for hole in sorted(holes, key=min):
        column, row = start = min(hole)
        while start not in at and padded[row : row + 2, column].all():
            column -= 1
            if (column, row) in at:
                break
        (number, *_) = at[column, row]
        contour, first, end = joined[number], hole.index(start), (column, row)
        place = contour.index(end)
        around = [*hole[first:], *hole[:first]]
        channel = [*around, start, end] if start != end else [*around[1:], start]
        joined[number] = [*contour[: place + 1], *channel, *contour[place + 1 :]]
        for vertex in hole:
            at[vertex].append(number)
    return list(joined.values())


def _corners(contour: Loop) -> NDArray[np.float64]:
    """Return where a contour turns, in voxels from the first one's centre."""
    vertices = np.array(contour)
    came, goes = (np.sign(step) for step in (vertices - np.roll(vertices, 1, 0), np.roll(vertices, -1, 0) - vertices))
    turns: NDArray[np.float64] = vertices[(came != goes).any(axis=1)] - 0.5
    return turns
