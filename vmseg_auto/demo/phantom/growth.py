"""Grows a drawn malformation in the head of a phantom patient: margins, septa, phleboliths, bulging skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vmseg_auto.demo.phantom.canvas import Array, Canvas, Region, join
from vmseg_auto.demo.phantom.lesions import SITES, Focus

LOBULE_SPREAD = 0.09
"""How much the brightness of lobules differs, relative."""
SEPTUM_LEVEL = 0.38
STONE_LEVEL = 0.05
GRAIN = 0.05
MERGE_MM = 4.0
"""Lobules blend over this width."""
HULL_SIGMA = 3.0
BULGE_COVER_MM = -1.0
BULGE_BLEND_MM = 12.0
"""The skin follows the smoothed lesion (sigma in voxels), this far from it, blending over this width."""
MARGIN_MM = 9.0


@dataclass(frozen=True)
class Growth:
    """A focus on a canvas: everything over the block of voxels `region`.

    Args:
        distance: signed distance (mm, negative inside) to the margin.
        wall: share of septum in each voxel.
        shade: relative brightness of each voxel's lobule.
        stone: share of phlebolith in each voxel.
    """

    focus: Focus
    region: Region
    distance: Array
    wall: Array
    shade: Array
    stone: Array


def grow(canvas: Canvas, body: Array, focus: Focus, axis_mm: tuple[Array, Array, Array]) -> Growth:
    """Work out a focus on the canvas.

    Args:
        canvas: gives head coordinates, where the focus's centre is looked for, and noise.
        body: signed distance to the surface of the head, mm, over the canvas (Z, Y, X).
        focus: what to grow.
        axis_mm: position of the canvas's planes, rows and columns along (Z, Y, X), mm as the scanner measures.
    """
    x, y, z = (np.float32(v) for v in focus.center)
    away = (canvas.x - x) ** 2 + (canvas.y - y) ** 2 + (canvas.z - z) ** 2
    away += np.float32(1e6) * (body > -np.float32(SITES[focus.site].depth_mm))
    nearest = np.unravel_index(int(away.argmin()), away.shape)
    middle = np.array([axis[i] for axis, i in zip(axis_mm, nearest, strict=True)])
    links = focus.links[:, [2, 1, 0, 3]].astype(np.float32)
    links[:, :3] += middle
    low = (links[:, :3] - links[:, 3:]).min(0) - MARGIN_MM
    high = (links[:, :3] + links[:, 3:]).max(0) + MARGIN_MM
    ranges = [np.searchsorted(axis, (a, b)) for axis, a, b in zip(axis_mm, low, high, strict=True)]
    region = tuple(slice(int(a), int(b)) for a, b in ranges)
    block: Region = (region[0], region[1], region[2])
    axes = [axis[part] for axis, part in zip(axis_mm, block, strict=True)]
    distance, wall, shade = _lobules(axes, links, focus)
    distance += (
        np.float32(focus.rough_mm) * canvas.folds[block] + np.float32(0.4 * focus.rough_mm) * canvas.grain[block]
    )
    stones = focus.phleboliths[:, [2, 1, 0, 3]].astype(np.float32)
    stones[:, :3] += middle
    stone = np.zeros_like(distance)
    for link in stones:
        stone = np.maximum(stone, canvas.cover(_sphere(axes, link)))
    return Growth(focus, block, distance, wall, shade, stone)


def bulge(body: Array, growth: Growth) -> None:
    """Push the surface `body` (signed distance, mm; changed in place) outwards where the lesion lies under it."""
    hull = ndimage.gaussian_filter(growth.distance, HULL_SIGMA) + np.float32(BULGE_COVER_MM)
    body[growth.region] = join(body[growth.region], hull, BULGE_BLEND_MM)


def implant(canvas: Canvas, growth: Growth) -> Array:
    """Paint a grown focus where soft tissue is, and give the share of each voxel it fills, over `growth.region`."""
    fade = np.clip(np.float32(0.5) - growth.distance / np.float32(growth.focus.edge_mm), 0, 1)
    cover = fade * fade * (3 - 2 * fade) * (1 - canvas.solid[growth.region])
    cover = _largest_piece(cover)
    signal = canvas.signal[growth.region]
    content = growth.focus.brightness * growth.shade * (1 + np.float32(GRAIN) * canvas.grain[growth.region])
    content += growth.wall * (np.float32(SEPTUM_LEVEL) - content)
    content += growth.stone * (np.float32(STONE_LEVEL) - content)
    signal += cover * (content - signal)
    return cover


def _largest_piece(cover: Array) -> Array:
    pieces, count = ndimage.label(cover > 0.5)
    if count < 2:
        return cover
    largest = 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    others = ndimage.binary_dilation((pieces > 0) & (pieces != largest), iterations=2)
    kept: Array = np.where(others & (pieces != largest), np.float32(0), cover)
    return kept


def _lobules(axes: list[Array], links: Array, focus: Focus) -> tuple[Array, Array, Array]:
    """Return the distance to the margin, share of septum, and relative brightness of the nearest lobule."""
    shape = tuple(len(axis) for axis in axes)
    first, second = np.full(shape, 1e3, np.float32), np.full(shape, 1e3, np.float32)
    shade = np.ones(shape, np.float32)
    for group in np.unique(focus.groups):
        distance = np.full(shape, 1e3, np.float32)
        for link in links[focus.groups == group]:
            distance = np.minimum(distance, _sphere(axes, link))
        nearer = distance < first
        second = np.where(nearer, first, np.minimum(second, distance))
        first = np.where(nearer, distance, first)
        shade[nearer] = 1 + LOBULE_SPREAD * np.float32(np.cos(2.4 * float(group) + links[0, 3]))
    wall = np.clip(1 - (second - first) / np.float32(4 * focus.septum_mm), 0, 1)
    merged = join(first, second, MERGE_MM)
    return merged, wall, shade


def _sphere(axes: list[Array], link: Array) -> Array:
    z, y, x = (axis - center for axis, center in zip(axes, link[:3], strict=True))
    squares = (z * z)[:, None, None] + (y * y)[None, :, None] + (x * x)[None, None, :]
    distance: Array = np.sqrt(squares) - link[3]
    return distance
