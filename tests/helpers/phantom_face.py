"""A phantom head before the scanner, whose eyes lie where its atlas says, with a lesion in the cheek."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.demo.phantom import atlas as atlas
from vmseg_auto.demo.phantom.canvas import Canvas, sides
from vmseg_auto.demo.phantom.head import head_outline, paint_head
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((24, 64, 72), (4.0, 2.0, 2.0), (-72.0, -110.0, -70.0))
CHEEK, RADIUS_MM = (40.0, -55.0, -30.0), 9.0
"""In mm, to the left, to the back and up; 16 mm lie between this lesion and the nearer eye."""


def head() -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Signal, the lesion's mask, and where eyes are (Z, Y, X), on GRID."""
    steps = np.indices(GRID.shape).astype(np.float32)
    z, y, x = (
        step * np.float32(mm) + np.float32(start)
        for step, mm, start in zip(steps, GRID.spacing_mm, GRID.origin_mm[::-1], strict=True)
    )
    rng = np.random.default_rng(0)
    canvas = Canvas(x, y, z, 2.0, *rng.normal(size=(2, *GRID.shape)).astype(np.float32))
    paint_head(canvas, head_outline(canvas), atlas.patient_tissues(rng), rng)
    eyeball = next(part for part in atlas.EYE if part.tissue == "cartilage")
    eyes = np.zeros(GRID.shape, dtype=bool)
    for centre in sides(eyeball.center):
        eyes |= _ball(x, y, z, centre, eyeball.radii[0])
    return canvas.signal, _ball(x, y, z, CHEEK, RADIUS_MM).astype(np.uint8), eyes


def _ball(
    x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32], centre: tuple[float, ...], radius: float
) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2
    return inside
