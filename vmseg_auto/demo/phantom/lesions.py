"""Draws the venous malformations of a phantom patient: where they sit, how large and of which kind they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.demo.phantom.canvas import Floats, Point


class Site(NamedTuple):
    """Where lesions grow.

    Args:
        share: of all lesions.
        center: in the head's frame (x left, y back, z up), mm, on the left side.
        spread: standard deviation of the centre, mm.
        shape: length along x, y, z relative to each other.
        largest_mm: no longer than this.
        depth_mm: the centre lies at least this deep under the skin.
    """

    share: float
    center: Point
    spread: Point
    shape: Point
    largest_mm: float
    depth_mm: float


SITES = {
    "cheek": Site(0.28, (50, -58, -47), (3, 6, 7), (0.62, 1.0, 0.85), 85.0, 11.0),
    "lip": Site(0.26, (9, -94, -65), (5, 1, 6), (1.0, 0.56, 0.66), 62.0, 6.0),
    "masseter": Site(0.18, (58, -13, -52), (1.5, 3, 6), (0.68, 0.85, 1.0), 80.0, 10.0),
    "neck": Site(0.09, (44, 6, -105), (4, 6, 7), (0.7, 0.8, 1.0), 90.0, 11.0),
    "tongue": Site(0.07, (8, -42, -68), (4, 5, 2), (0.75, 1.0, 0.7), 60.0, 15.0),
    "parotid": Site(0.07, (59, 14, -45), (2, 3, 5), (0.7, 0.8, 1.0), 70.0, 11.0),
    "orbit": Site(0.05, (45, -70, 24), (2, 2, 3), (1.0, 0.75, 0.8), 45.0, 6.0),
}

SMALL_SHARE = 0.61
SMALL_MM = (40.0, 50.0)
LARGE_MM = (54.0, 84.0)
MULTIFOCAL_SHARE = 0.36
SATELLITES = (1, 4)
SATELLITE_MM = (22.0, 34.0)
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
SEPTUM_MM = (0.45, 0.85)
BRIGHTNESS = (1.35, 1.7)
SHARP_MM, SOFT_MM = 1.6, 5.0
ROUGH_MM, INFILTRATING_ROUGH_MM = 0.6, 1.6


@dataclass(frozen=True)
class Focus:
    """One connected lesion.

    Args:
        site: a key of SITES.
        center: in the head's frame, mm.
        links: centre (x, y, z) relative to `center` and radius of each sphere, array [N, 4];
            mm in the scanner, whatever the size of the head.
        groups: lobule or channel that each sphere belongs to, array [N].
        phleboliths: centre relative to `center` and radius, array [M, 4], mm.
        brightness: signal, in the unit of Tissue.level.
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


def draw_lesions(rng: np.random.Generator) -> tuple[Focus, ...]:
    """Draw the foci of one patient, the main one first."""
    names = tuple(SITES)
    site = names[int(rng.choice(len(names), p=[SITES[name].share for name in names]))]
    side = rng.choice((-1.0, 1.0))
    length = rng.uniform(*(SMALL_MM if rng.random() < SMALL_SHARE else LARGE_MM))
    middle = np.asarray(SITES[site].center) + np.asarray(SITES[site].spread) * np.clip(rng.standard_normal(3), -2, 2)
    traits = _Traits(
        serpiginous=rng.random() < SERPIGINOUS_SHARE,
        infiltrating=rng.random() < INFILTRATING_SHARE,
        stones=int(rng.integers(*PHLEBOLITHS)) if rng.random() < PHLEBOLITH_SHARE else 0,
        brightness=rng.uniform(*BRIGHTNESS),
    )
    foci = [_draw_focus(rng, site, side, middle, min(length, SITES[site].largest_mm), traits)]
    count = int(rng.integers(*SATELLITES)) if rng.random() < MULTIFOCAL_SHARE else 0
    for _ in range(count):
        size = rng.uniform(*SATELLITE_MM)
        away = length / 2 * 0.9 + size / 2 + rng.uniform(*SATELLITE_DISTANCE_MM)
        place = middle + away * _tangent(rng, middle)
        foci.append(_draw_focus(rng, site, side, place, size, traits))
    return tuple(foci)


class _Traits(NamedTuple):
    serpiginous: bool
    infiltrating: bool
    stones: int
    brightness: float


def _draw_focus(
    rng: np.random.Generator, site: str, side: float, middle: Floats, length: float, traits: _Traits
) -> Focus:
    shape = np.asarray(SITES[site].shape) * rng.uniform(0.85, 1.15, 3)
    half = length / 2 * shape / shape.max()
    links, groups = (_channels if traits.serpiginous else _lobule_cluster)(rng, half)
    links = links * (length / _longest(links))
    chosen = rng.choice(len(links), size=traits.stones)
    stones = np.c_[links[chosen, :3], rng.uniform(*PHLEBOLITH_MM, traits.stones)]
    return Focus(
        site=site,
        center=(float(side * middle[0]), float(middle[1]), float(middle[2])),
        links=links * _mirror(side),
        groups=groups,
        phleboliths=stones * _mirror(side),
        brightness=traits.brightness * float(rng.uniform(0.95, 1.05)),
        septum_mm=float(rng.uniform(*SEPTUM_MM)),
        edge_mm=SOFT_MM if traits.infiltrating else SHARP_MM,
        rough_mm=INFILTRATING_ROUGH_MM if traits.infiltrating else ROUGH_MM,
    )


def _lobule_cluster(rng: np.random.Generator, half: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Draw overlapping spheres filling an ellipsoid of half axes `half`: each is a lobule."""
    count = int(rng.integers(*LOBULES))
    radii = rng.uniform(0.36, 0.58, count) * half.min() ** 0.7 * half.max() ** 0.3
    centers = _in_ball(rng, count) * np.maximum(half - 0.75 * radii.mean(), 1.0)
    return np.c_[centers, radii], np.arange(count)


def _channels(rng: np.random.Generator, half: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Draw winding chains of spheres within an ellipsoid of half axes `half`: each chain is a channel."""
    links, groups = [], []
    for channel in range(int(rng.integers(*CHANNELS))):
        radius = rng.uniform(0.3, 0.42) * half.min() ** 0.7 * half.max() ** 0.3
        place, heading = _in_ball(rng, 1)[0] * half * 0.5, _in_ball(rng, 1)[0]
        for _ in range(int(rng.integers(*CHANNEL_LINKS))):
            links.append([*place, radius * rng.uniform(0.85, 1.15)])
            groups.append(channel)
            inward = -place / half * (np.linalg.norm(place / half) > 0.7)
            heading = heading + 0.7 * _in_ball(rng, 1)[0] + inward
            heading = heading / np.linalg.norm(heading)
            place = place + radius * heading
    return np.asarray(links), np.asarray(groups)


def _in_ball(rng: np.random.Generator, count: int) -> Floats:
    """Draw points spread evenly through the unit ball, array [count, 3]."""
    points = rng.standard_normal((count, 3))
    scale = np.cbrt(rng.random((count, 1))) / np.linalg.norm(points, axis=1, keepdims=True)
    spread: Floats = points * scale
    return spread


def _tangent(rng: np.random.Generator, middle: Floats) -> Floats:
    """Draw a random direction along the surface of the head, mostly up or down."""
    outward = np.array([middle[0] / 70, middle[1] / 90, 0.0])
    outward /= np.linalg.norm(outward)
    heading = rng.standard_normal(3)
    heading -= (heading @ outward) * outward
    unit: Floats = heading / np.linalg.norm(heading)
    return unit


def _longest(links: Floats) -> float:
    gaps = np.linalg.norm(links[:, None, :3] - links[None, :, :3], axis=-1)
    return float((gaps + links[:, None, 3] + links[None, :, 3]).max())


def _mirror(side: float) -> Floats:
    return np.array([side, 1.0, 1.0, 1.0])
