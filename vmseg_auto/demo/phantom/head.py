"""Paints the phantom's anatomy, and the bright things in it that are no lesion."""

from __future__ import annotations

import numpy as np

from vmseg_auto.demo.phantom import atlas as atlas
from vmseg_auto.demo.phantom.atlas import Part
from vmseg_auto.demo.phantom.canvas import Array, Canvas, Point, Tissue, corners, join, sides

SKIN_MM = 2.2
FAT_MM = 5.5
SCALP_FAT_MM = 3.0
SCALP_Z = 15.0
MUSCLE_WOBBLE_MM, FACE_WOBBLE_MM = 1.4, 0.7
FAT_PLANE = 0.2
"""Fat lies where the folds' noise is nearer to zero than this, between unnamed muscles."""
SULCUS = 0.2
CORTEX = 0.8
SULCUS_DEPTH_MM = 24.0
SUBARACHNOID_MM = 2.0
FISSURE_MM, FISSURE_Z = 2.5, 16.0
CEREBELLUM_Y, CEREBELLUM_Z = 26.0, 10.0
BRAIN_BOTTOM_Z = -42.0

SPINE_TOP_Z = -34.0
SPINE_Y = 25.0
LORDOSIS_MM = 4.0
VERTEBRA_MM = 18.0
DISC_MM = 5.0
VERTEBRA_RADII = (14.0, 11.0)
CANAL_Y, CANAL_RADII, CORD_RADII = 47.0, (12.0, 8.5), (6.6, 4.8)

FLUID_LEVEL_CHANCE = 0.2
CYST_CHANCE = 0.3
SPHENOID_CHANCE = 0.15
MASTOID_CHANCE = 0.15
TORNWALDT_CHANCE = 0.15
NODES = (3, 9)
FAT_SPOTS = (2, 6)


def head_outline(canvas: Canvas) -> Array:
    """Return the signed distance (mm, negative inside) to the surface of head and neck, over the whole canvas (Z, Y,
    X).
    """
    whole = tuple(slice(0, n) for n in canvas.x.shape)
    (first, _), *others = atlas.OUTLINE
    body = canvas.ellipsoid((whole[0], whole[1], whole[2]), first.center, first.radii)
    for part, blend in others:
        for center in _places(part):
            reach = tuple(r + 3 * blend for r in part.radii)
            low, high = np.subtract(center, reach), np.add(center, reach)
            region = canvas.region((low[0], low[1], low[2]), (high[0], high[1], high[2]))
            if region is not None:
                body[region] = join(body[region], canvas.ellipsoid(region, center, part.radii), blend)
    return join(body, _neck(canvas), 14.0)


def paint_head(canvas: Canvas, body: Array, tissues: dict[str, Tissue], rng: np.random.Generator) -> None:
    """Paint everything inside the surface `body` (signed distance, mm), skin included, air outside.

    Args:
        canvas: painted in place.
        body: as head_outline gives it.
        tissues: as patient_tissues gives them.
        rng: draws which look-alikes this patient has, and where.
    """
    _soft_base(canvas, body, tissues)
    _paint_parts(canvas, atlas.MUSCLES, tissues, MUSCLE_WOBBLE_MM)
    _paint_spine(canvas, tissues)
    _paint_brain(canvas, tissues)
    _paint_parts(canvas, atlas.FACE, tissues, FACE_WOBBLE_MM)
    _paint_cells(canvas, tissues, rng)
    _paint_arches(canvas, tissues)
    _paint_parts(canvas, atlas.EYE, tissues)
    _paint_vessels(canvas, tissues, rng)
    _paint_fluids(canvas, tissues, rng)
    _paint_nodes(canvas, tissues, rng)
    everywhere = (slice(None), slice(None), slice(None))
    rim = canvas.cover(np.abs(body + np.float32(SKIN_MM / 2)) - np.float32(SKIN_MM / 2))
    canvas.paint(everywhere, rim * (canvas.signal > 0.15), tissues["skin"])
    canvas.paint(everywhere, canvas.cover(-body), tissues["air"])


def _places(part: Part) -> list[Point]:
    return list(sides(part.center)) if part.center[0] else [part.center]


def _neck(canvas: Canvas) -> Array:
    below = np.clip(np.float32(atlas.SHOULDER_Z) - canvas.z, 0, None) * np.float32(atlas.SHOULDER_SLOPE)
    rx, ry = atlas.NECK_RADII
    squares = (canvas.x / (rx + below)) ** 2 + ((canvas.y - np.float32(atlas.NECK_CENTER_Y)) / (ry + below)) ** 2
    side = (np.sqrt(squares) - 1) * np.float32(min(rx, ry))
    neck: Array = np.maximum(side, canvas.z - np.float32(atlas.NECK_TOP))
    return neck


def _soft_base(canvas: Canvas, body: Array, tissues: dict[str, Tissue]) -> None:
    everywhere = (slice(None), slice(None), slice(None))
    canvas.paint(everywhere, np.ones_like(body), tissues["fat"])
    scalp: Array = np.clip((canvas.z - np.float32(SCALP_Z)) / 20 + np.float32(0.5), 0, 1)
    deep = canvas.cover(body + np.float32(SKIN_MM + FAT_MM) + np.float32(SCALP_FAT_MM - FAT_MM) * scalp)
    strands = np.clip((np.abs(canvas.folds) - np.float32(FAT_PLANE)) * 4 + np.float32(0.5), 0, 1)
    canvas.paint(everywhere, deep * strands * np.float32(0.85), tissues["muscle"])


def _paint_parts(canvas: Canvas, parts: tuple[Part, ...], tissues: dict[str, Tissue], wobble_mm: float = 0.0) -> None:
    for part in parts:
        for center in _places(part):
            canvas.paint_ellipsoid(tissues[part.tissue], center, part.radii, wobble_mm)


def _paint_spine(canvas: Canvas, tissues: dict[str, Tissue]) -> None:
    region = canvas.region((-30, -5, -1000), (30, 90, SPINE_TOP_Z))
    if region is None:
        return
    x, y, z = canvas.x[region], canvas.y[region], canvas.z[region]
    y = y - np.float32(LORDOSIS_MM) * np.cos((z + np.float32(90)) / np.float32(45))
    below = canvas.cover(z - np.float32(SPINE_TOP_Z))

    def column(center_y: float, radii: tuple[float, float]) -> Array:
        flat = np.sqrt((x / np.float32(radii[0])) ** 2 + ((y - np.float32(center_y)) / np.float32(radii[1])) ** 2)
        distance: Array = (flat - 1) * np.float32(min(radii))
        return distance

    body = column(SPINE_Y, VERTEBRA_RADII)
    canal = column(CANAL_Y, CANAL_RADII)
    arch = np.minimum(column(CANAL_Y, (CANAL_RADII[0] + 7, CANAL_RADII[1] + 4)), column(CANAL_Y + 18, (3.5, 13)))
    height: Array = np.mod(z, np.float32(VERTEBRA_MM)) - np.float32(DISC_MM / 2)
    between = canvas.cover(np.abs(height) - np.float32(DISC_MM / 2))
    canvas.paint(region, below * canvas.cover(arch) * (1 - np.float32(0.5) * between), tissues["bone"])
    canvas.paint(region, below * canvas.cover(body), tissues["bone"])
    canvas.paint(region, below * canvas.cover(body + np.float32(1.8)), tissues["marrow"])
    canvas.paint(region, below * canvas.cover(body + np.float32(1.8)) * between, tissues["disc"])
    canvas.paint(region, below * canvas.cover(canal), tissues["csf"])
    canvas.paint(region, below * canvas.cover(column(CANAL_Y, CORD_RADII)), tissues["grey"])


def _paint_brain(canvas: Canvas, tissues: dict[str, Tissue]) -> None:
    region = canvas.region((-80, -95, BRAIN_BOTTOM_Z), (80, 105, 125))
    if region is None:
        return
    y, z = canvas.y[region], canvas.z[region]
    floor = np.interp(y, atlas.SKULL_FLOOR_Y, atlas.SKULL_FLOOR_Z).astype(np.float32) - z
    skull = np.maximum(canvas.ellipsoid(region, *atlas.SKULL[1:]), floor - np.float32(atlas.SKULL_FLOOR_MM))
    brain = np.maximum(canvas.ellipsoid(region, *atlas.BRAIN[1:]), floor)
    fissure = np.float32(FISSURE_MM / 2) - np.abs(canvas.x[region])
    bridged = np.minimum(canvas.ellipsoid(region, *atlas.CALLOSUM[1:]), z - np.float32(FISSURE_Z))
    canvas.paint(region, canvas.cover(skull), tissues["bone"])
    canvas.paint(region, canvas.cover(np.abs((skull + brain) / 2) - np.float32(0.9)), tissues["marrow"])
    canvas.paint(region, canvas.cover(brain), tissues["csf"])
    brain = np.maximum(brain, np.minimum(fissure, bridged))
    cerebellum = (y > CEREBELLUM_Y) & (z < CEREBELLUM_Z)
    wrinkles = np.abs(np.where(cerebellum, canvas.grain[region], canvas.folds[region]))
    depth_share = np.clip(2 + brain * np.float32(2 / SULCUS_DEPTH_MM), 0, 1)
    tissue = np.clip((wrinkles - np.float32(SULCUS) * depth_share) * 4 + np.float32(0.5), 0, 1)
    inner = canvas.cover(brain + np.float32(SUBARACHNOID_MM))
    canvas.paint(region, inner * tissue, tissues["grey"])
    core = np.clip((wrinkles - np.float32(CORTEX) * depth_share) * 3 + np.float32(0.5), 0, 1)
    canvas.paint(region, canvas.cover(brain + np.float32(4)) * core, tissues["white"])
    _paint_parts(canvas, atlas.BRAIN_PARTS, tissues)


def _paint_cells(canvas: Canvas, tissues: dict[str, Tissue], rng: np.random.Generator) -> None:
    """Paint nose, ethmoid and mastoid: air between curled walls; an effusion fills the mastoid of some."""
    for part, wall, noise in (
        (Part("air", (0, -58, -27), (13, 32, 20)), "mucosa", canvas.folds),
        (Part("air", (0, -50, 4), (10, 24, 14)), "mucosa", canvas.grain),
        (Part("air", (54, 28, -16), (11, 14, 15)), "bone", canvas.grain),
    ):
        for place in _places(part):
            full = part.center[0] > 0 and rng.random() < MASTOID_CHANCE
            if (region := canvas.region(*corners(place, part.radii))) is None:
                continue
            inside = canvas.cover(canvas.ellipsoid(region, place, part.radii))
            cells = np.clip(noise[region] * 3 + np.float32(0.8), 0, 1)
            canvas.paint(region, inside * (1 - cells), tissues[wall])
            canvas.paint(region, inside * cells, tissues["fluid" if full else part.tissue])
    canvas.paint_ellipsoid(tissues["cartilage"], (0, -66, -25), (1.3, 34, 22))


def _paint_arches(canvas: Canvas, tissues: dict[str, Tissue]) -> None:
    """Paint jaw and teeth, bent round the mouth."""
    for name, (cx, cy), (rx, ry), half, (low, high) in atlas.ARCHES:
        region = canvas.region((cx - rx - half, cy - ry - half, low), (cx + rx + half, cy, high))
        if region is None:
            continue
        x, y, z = canvas.x[region], canvas.y[region] - np.float32(cy), canvas.z[region]
        flat, slope = np.hypot(x / np.float32(rx), y / np.float32(ry)), np.hypot(x / rx**2, y / ry**2)
        distance = np.abs(flat * (flat - 1) / (slope.astype(np.float32) + np.float32(1e-4))) - np.float32(half)
        distance = np.maximum(distance, np.maximum(z - np.float32(high), np.float32(low) - z))
        cover = canvas.cover(distance) * canvas.cover(y + np.float32(4))
        if name == "tooth":
            gaps = np.cos(np.arctan2(x, -y) * np.float32(11)) + np.float32(1.2)
            cover = cover * np.clip(gaps, 0, 1) * canvas.cover(np.float32(1.5) - np.abs(z + np.float32(66)))
        canvas.paint(region, cover, tissues[name])


def _paint_vessels(canvas: Canvas, tissues: dict[str, Tissue], rng: np.random.Generator) -> None:
    for side in (-1.0, 1.0):
        slow = rng.random() < 0.5
        canvas.paint_tube(tissues["muscle"], (side * 62, 26, -25), (side * 16, -34, -165), 8.5)
        canvas.paint_tube(tissues["void"], (side * 27, 10, -15), (side * 24, 0, -165), 2.8)
        canvas.paint_tube(tissues["vein" if slow else "void"], (side * 31, 15, -20), (side * 30, 3, -165), 4.2)
        canvas.paint_tube(tissues["vein"], (side * 52, 6, -25), (side * 46, -2, -110), 1.8)
        canvas.paint_tube(tissues["vein"], (side * 22, -78, -10), (side * 54, -32, -90), 1.5)
        canvas.paint_tube(tissues["void"], (side * 40, -12, -30), (side * 24, -30, -28), 1.6)


def _paint_fluids(canvas: Canvas, tissues: dict[str, Tissue], rng: np.random.Generator) -> None:
    """Paint sinus fluid, retention cysts and a cyst of the nasopharynx: as bright as a lesion, and none."""
    for side in (-1.0, 1.0):
        level, cyst = rng.random() < FLUID_LEVEL_CHANCE, rng.random() < CYST_CHANCE
        height, radius = rng.uniform(-62, -48), rng.uniform(5, 10)
        center, radii = (side * 30, -54.0, -24.0), (14.0, 16.0, 16.0)
        region = canvas.region(*corners(center, radii))
        if level and region is not None:
            sinus = canvas.ellipsoid(region, center, radii)
            canvas.paint(region, canvas.cover(np.maximum(sinus, height - canvas.y[region])), tissues["fluid"])
        if cyst:
            canvas.paint_ellipsoid(tissues["fluid"], (side * 30, -50, -39 + radius), (radius, radius, radius))
    if rng.random() < SPHENOID_CHANCE:
        canvas.paint_ellipsoid(tissues["fluid"], (0, -10, -8), (11, 9, 7))
    if rng.random() < TORNWALDT_CHANCE:
        canvas.paint_ellipsoid(tissues["fluid"], (0, -4, -28), (5, 5, 7))


def _paint_nodes(canvas: Canvas, tissues: dict[str, Tissue], rng: np.random.Generator) -> None:
    """Paint lymph nodes along the jugular veins and under the jaw, and bright spots in the fat of the nape."""
    for _ in range(int(rng.integers(*NODES))):
        side, share = rng.choice((-1.0, 1.0)), rng.random()
        center = (side * (40 + 6 * rng.standard_normal()), -18 + 40 * share, -85 - 40 * rng.random())
        size = rng.uniform(2.5, 5.5)
        canvas.paint_ellipsoid(tissues["node"], center, (size, size * 0.8, size * 1.6))
    for _ in range(int(rng.integers(*FAT_SPOTS))):
        center = (rng.uniform(-45, 45), rng.uniform(55, 85), rng.uniform(-130, -40))
        size = rng.uniform(2.5, 5.0)
        canvas.paint_ellipsoid(tissues["vein"], center, (size * 1.5, size, size))
