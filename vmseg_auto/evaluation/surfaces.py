"""The surface of a mask, in small triangles, without the steps of its voxels.

The surface lies halfway between voxels inside and outside. Where slices are thick it runs straight from a slice's
outline to the next slice's, as in shape-based interpolation (Raya and Udupa, IEEE TMI 1990, 9:32), instead of in steps
as high as a slice. What is left of the steps is smoothed without shrinking the shape (Taubin, SIGGRAPH 1995:351); no
point moves by more than half a voxel along any axis, so that the surface never leaves what the mask says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.spatial import KDTree

from vmseg_auto.utils.components import label_components
from vmseg_auto.utils.geometry import Spacing

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THICK = 1.5
"""Slices are thick from this many of the smallest voxel sides on."""
SMOOTHING = (0.5, -0.53)
"""Steps towards the mean of the neighbours and away from it, by turns: waves longer than about 17 edges stay."""
ROUNDS = 10
FURTHEST = 0.5
"""How far smoothing may move a point, in voxels along each axis."""
LONGEST = 4.0
"""No side of a triangle is longer than this many of the smallest voxel sides."""
MARGIN = 3
"""Voxels about a mask annotated in part that its surface is drawn with, so that no end of what is drawn bends it."""

LEAF = 32
"""Triangles in a leaf of the tree: twice as fast as 10 where surfaces are far apart, and no slower where near."""


@dataclass(frozen=True)
class Surface:
    """A closed surface.

    Args:
        corners: of each triangle, float64 [N, 3, 3]: mm along (Z, Y, X) from the centre of the array's first voxel.
        components: which component of the mask each triangle belongs to, numbered as `label_components` does [N].
    """

    corners: Floats
    components: Ints

    @cached_property
    def middles(self) -> Floats:
        """The middle of each triangle, mm: [N, 3]."""
        return (self.corners[:, 0] + self.corners[:, 1] + self.corners[:, 2]) / 3

    @cached_property
    def areas(self) -> Floats:
        """The area of each triangle, mm2: [N]."""
        a, b, c = self.corners[:, 0], self.corners[:, 1], self.corners[:, 2]
        normals = np.cross(b - a, c - a)
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", normals, normals)) / 2)

    @cached_property
    def tree(self) -> KDTree:
        """A tree that finds the triangle whose middle is the nearest."""
        return KDTree(self.middles, leafsize=LEAF, balanced_tree=False, compact_nodes=False)

    def of(self, components: NDArray[np.integer]) -> Surface:
        """Return the part that belongs to these components."""
        chosen = np.isin(self.components, components)
        if chosen.all():
            return self
        return Surface(self.corners[chosen], self.components[chosen])


def surface_of(mask: Mask, spacing_mm: Spacing) -> Surface:
    """Draw the surface of a mask. The edge of the array is a surface too, as if all around it were empty.

    Args:
        mask: (Z, Y, X).
        spacing_mm: (Z, Y, X).

    Returns:
        The surface of all components (26 neighbours), without triangles where the mask is empty.

    Example:
        >>> cube = np.ones((10, 10, 10), dtype=bool)
        >>> round(float(surface_of(cube, (1.0, 1.0, 1.0)).areas.sum()))  # under 600 mm2, as its edges are rounded
        554
    """
    from skimage.measure import marching_cubes  # who only reads scores does not load it

    points, triangles, components, known = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)], 0
    for number, corner, lesion in _cut_out(mask):
        found, sides, _, _ = marching_cubes(_depth(np.pad(lesion, 1), spacing_mm), 0.0)
        points.append(found.astype(np.float64) - 1 + corner)
        triangles.append(sides.astype(np.int64) + known)
        components.append(np.full(len(sides), number))
        known += len(found)
    sides = np.concatenate(triangles)
    smooth = _smooth(np.concatenate(points), sides) * spacing_mm
    return _halve(smooth[sides], np.concatenate(components), LONGEST * min(spacing_mm))


def annotated_surface(mask: Mask, ignored: Mask, spacing_mm: Spacing) -> Surface:
    """Draw the part of a mask's surface that lies in annotated voxels.

    It is drawn as if each ignored voxel were what the nearest annotated one is, so that it runs straight on there, and
    no face closes a lesion where the annotation ends; then what lies in ignored voxels is left out.

    Args:
        mask: (Z, Y, X), with MARGIN voxels about it where the image has them; nothing of it is ignored.
        ignored: (Z, Y, X), not all of them.
        spacing_mm: (Z, Y, X).

    Example:
        >>> mask = np.zeros((7, 12, 12), dtype=bool)
        >>> mask[3, 3:9, 3:9] = True  # one slice is outlined, 6 x 6 mm, and 1 mm thick
        >>> ignored = np.arange(7)[:, None, None] != np.full((1, 12, 12), 3)
        >>> round(float(annotated_surface(mask, ignored, (1.0, 1.0, 1.0)).areas.sum()))  # 24 mm2 of rim
        23
    """
    if not mask.any():
        return surface_of(mask, spacing_mm)
    whole = surface_of(mask[_nearest(~ignored, spacing_mm)], spacing_mm)
    ends = np.array(mask.shape) - 1
    at = tuple(np.clip(np.rint(whole.middles / spacing_mm).astype(np.int64), 0, ends).T)
    kept = ~ignored[at]
    numbered, _ = label_components(mask)
    components = numbered[_nearest(mask, spacing_mm)][at].astype(np.int64)
    return Surface(whole.corners[kept], components[kept])


def _nearest(mask: Mask, spacing_mm: Spacing) -> tuple[Ints, ...]:
    """Return for each voxel where the nearest one of a mask that is not empty lies, as an index of [Z, Y, X]."""
    found = ndimage.distance_transform_edt(~mask, spacing_mm, return_distances=False, return_indices=True)
    return tuple(found)


def _cut_out(mask: Mask) -> Iterator[tuple[int, Ints, Mask]]:
    """Yield each component's number, first corner and own box: so that drawing takes memory for one box only."""
    numbered, _ = label_components(mask)
    for number, place in enumerate(ndimage.find_objects(numbered), 1):
        yield number, np.array([along.start for along in place]), numbered[place] == number


def _depth(mask: Mask, spacing_mm: Spacing) -> NDArray[np.float32]:
    """Return how deep each voxel lies inside (above 0) or outside, in its slice where slices are thick; else 1 or -1.

    No voxel counts as deeper than a slice is thick, as the next slice may be of the other kind.
    """
    thick, thin = max(spacing_mm), min(spacing_mm)
    depth = np.where(mask, np.float32(thick), np.float32(-thick))
    if thick < THICK * thin:
        return depth
    axis = spacing_mm.index(thick)
    plane = [mm for along, mm in enumerate(spacing_mm) if along != axis]
    for inside, deep in zip(np.moveaxis(mask, axis, 0), np.moveaxis(depth, axis, 0), strict=True):
        if inside.any():
            deep[inside] = np.minimum(ndimage.distance_transform_edt(inside, plane)[inside], thick)
            deep[~inside] = -np.minimum(ndimage.distance_transform_edt(~inside, plane)[~inside], thick)
    return depth


def _smooth(points: Floats, triangles: Ints) -> Floats:
    """Return points in voxels [N, 3], smoothed along the triangles that join them."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    links = sparse.csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (len(points), len(points)))
    neighbours = np.diff(links.indptr)
    links.data = 1 / np.repeat(neighbours, neighbours)  # a row times the points is the mean of the neighbours
    low, high = points - FURTHEST, points + FURTHEST
    for _ in range(ROUNDS):
        for step in SMOOTHING:
            points = np.clip(points + step * (links @ points - points), low, high)
    return points


def _halve(corners: Floats, components: Ints, longest_mm: float) -> Surface:
    """Halve triangles across their longest side until no side is longer."""
    done: list[tuple[Floats, Ints]] = []
    while len(corners):
        sides = corners - corners[:, [1, 2, 0]]
        squares = np.einsum("ijk,ijk->ij", sides, sides)
        long = (squares > longest_mm**2) @ np.ones(3, dtype=bool)
        done.append((corners[~long], components[~long]))
        first = (squares[long].argmax(axis=1)[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(corners[long], first[:, :, None], axis=1), 1, 0)
        middle = (a + b) / 2
        corners = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
        components = np.tile(components[long], 2)
    if not done:
        return Surface(corners, components)
    return Surface(np.concatenate([one for one, _ in done]), np.concatenate([number for _, number in done]))
