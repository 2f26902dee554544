"""Venous malformations of the phantom: where they sit, how large they are, and how they look inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.ops.phantom_canvas import Array, Canvas, Point, Region, Tissue

Floats = NDArray[np.float64]


class Site(NamedTuple):
    """Where lesions grow.

    Args:
        share: of all lesions.
        center: in the head's frame (x left, y back, z up), mm, on the left side.
        spread: standard deviation of the centre, mm.
        shape: length along x, y, z relative to each other.
        largest_mm: no longer than this.
    """

    share: float
    center: Point
    spread: Point
    shape: Point
    largest_mm: float


SITES = {
    "cheek": Site(0.28, (50, -58, -47), (3, 6, 7), (0.62, 1.0, 0.85), 85.0),
    "lip": Site(0.26, (9, -93, -66), (5, 1, 6), (1.0, 0.62, 0.68), 66.0),
    "masseter": Site(0.18, (57, -12, -52), (1.5, 3, 6), (0.6, 0.8, 1.0), 80.0),
    "neck": Site(0.09, (44, 6, -105), (4, 6, 7), (0.7, 0.8, 1.0), 90.0),
    "tongue": Site(0.07, (8, -42, -68), (4, 5, 2), (0.75, 1.0, 0.7), 60.0),
    "parotid": Site(0.07, (59, 14, -45), (2, 3, 5), (0.7, 0.8, 1.0), 70.0),
    "orbit": Site(0.05, (42, -72, 20), (2, 2, 3), (1.0, 0.75, 0.8), 50.0),
}

SMALL_SHARE = 0.61
SMALL_MM = (33.0, 48.0)
LARGE_MM = (53.0, 82.0)
MULTIFOCAL_SHARE = 0.34
SATELLITES = (1, 4)
SATELLITE_MM = (17.0, 30.0)
SATELLITE_DISTANCE_MM = (10.0, 24.0)
"""Gap between the main focus's border and the satellite's, roughly."""
SERPIGINOUS_SHARE = 0.4
INFILTRATING_SHARE = 0.4
PHLEBOLITH_SHARE = 0.45
PHLEBOLITHS = (1, 5)
PHLEBOLITH_MM = (1.8, 3.6)

LOBULES = (9, 17)
CHANNEL_LINKS = (5, 9)
CHANNELS = (4, 7)
SEPTUM_MM = (0.7, 1.3)
SEPTUM_LEVEL = 0.38
BRIGHTNESS = (0.76, 1.02)
LOBULE_SPREAD = 0.09
SHARP_MM, SOFT_MM = 1.6, 6.5
ROUGH_MM, INFILTRATING_ROUGH_MM = 0.7, 2.2
BULGE_COVER_MM = 3.0
"""How much skin and fat covers a lesion that pushes the surface outwards."""
MARGIN_MM = 9.0


@dataclass(frozen=True)
class Focus:
    """One connected lesion.

    Args:
        site: a key of SITES.
        center: in the head's frame, mm.
        links: centre (x, y, z) relative to `center` and radius of each sphere, array [N, 4], mm as the scanner measures.
        groups: lobule or channel that each sphere belongs to, array [N].
        phleboliths: centre relative to `center` and radius, array [M, 4], mm.
        brightness: signal, where cerebrospinal fluid has 1.
        septum_mm: half the thickness of the walls between lobules.
        edge_mm: width over which the margin fades.
        rough_mm: how far noise moves the margin.
    """

    site: str
    center: Point
    links: Floats
    groups: NDArray[np.int64]
    phleboliths: Floats
    brightness: float
    septum_mm: float
    edge_mm: float
    rough_mm: float


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


def draw_lesions(rng: np.random.Generator) -> tuple[Focus, ...]:
    """Draw the foci of one patient, the main one first."""
    names = tuple(SITES)
    site = names[int(rng.choice(len(names), p=[SITES[name].share for name in names]))]
    side = rng.choice((-1.0, 1.0))
    length = rng.uniform(*(SMALL_MM if rng.random() < SMALL_SHARE else LARGE_MM))
    middle = np.asarray(SITES[site].center) + np.asarray(SITES[site].spread) * np.clip(rng.standard_normal(3), -2, 2)
    look = _Look(
        serpiginous=rng.random() < SERPIGINOUS_SHARE,
        infiltrating=rng.random() < INFILTRATING_SHARE,
        stones=int(rng.integers(*PHLEBOLITHS)) if rng.random() < PHLEBOLITH_SHARE else 0,
        brightness=rng.uniform(*BRIGHTNESS),
    )
    foci = [_draw_focus(rng, site, side, middle, min(length, SITES[site].largest_mm), look)]
    count = int(rng.integers(*SATELLITES)) if rng.random() < MULTIFOCAL_SHARE else 0
    for _ in range(count):
        size = rng.uniform(*SATELLITE_MM)
        away = length / 2 * 0.9 + size / 2 + rng.uniform(*SATELLITE_DISTANCE_MM)
        place = middle + away * _tangent(rng, middle)
        foci.append(_draw_focus(rng, site, side, place, size, look))
    return tuple(foci)


def grow(canvas: Canvas, focus: Focus, axis_mm: tuple[Array, Array, Array]) -> Growth:
    """Work out a focus on the canvas.

    Args:
        canvas: gives head coordinates, where the focus's centre is looked for, and noise.
        focus: what to grow.
        axis_mm: position of the canvas's planes, rows and columns along (Z, Y, X), mm as the scanner measures.
    """
    x, y, z = (np.float32(v) for v in focus.center)
    away = (canvas.x - x) ** 2 + (canvas.y - y) ** 2 + (canvas.z - z) ** 2
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
    distance += np.float32(focus.rough_mm) * canvas.folds[block] + np.float32(0.4 * focus.rough_mm) * canvas.grain[block]
    stones = focus.phleboliths[:, [2, 1, 0, 3]].astype(np.float32)
    stones[:, :3] += middle
    stone = np.zeros_like(distance)
    for link in stones:
        stone = np.maximum(stone, canvas.cover(_sphere(axes, link)))
    return Growth(focus, block, distance, wall, shade, stone)


def implant(canvas: Canvas, growth: Growth, wall: Tissue, stone: Tissue) -> Array:
    """Paint a grown focus where soft tissue is, and give the share of each voxel it fills, over `growth.region`."""
    region, focus = growth.region, growth.focus
    fade = np.clip(np.float32(0.5) - growth.distance / np.float32(focus.edge_mm), 0, 1)
    cover = fade * fade * (3 - 2 * fade) * (1 - canvas.solid[region])
    pieces, count = ndimage.label(cover > 0.5)
    if count > 1:
        largest = 1 + int(np.argmax(ndimage.sum_labels(cover > 0.5, pieces, np.arange(1, count + 1))))
        cover = cover * ~ndimage.binary_dilation((pieces > 0) & (pieces != largest), iterations=2)
    whole = Tissue(focus.brightness, 0.05)
    signal = canvas.signal[region]
    canvas.paint(region, cover * growth.shade, whole)
    signal += cover * (1 - growth.shade) * (np.float32(0) - 0)
    canvas.paint(region, cover * growth.wall, wall)
    canvas.paint(region, np.clip(cover * 2, 0, 1) * growth.stone, stone)
    return cover
