"""The anatomy of the phantom in numbers: an adult head and neck, in its own frame.

World order (x to the left, y to the back, z up) in mm; z = 0 lies at the ear canals and the floor of the orbits, the
face looks to -y. The numbers are rough adult measures; a patient's size, proportions and asymmetry come from the
coordinates of the canvas.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vmseg_auto.demo.phantom.canvas import Point, Tissue

TISSUES = {
    "air": Tissue(0.0, 0.0, solid=True),
    "void": Tissue(0.04, 0.0, solid=True),
    "bone": Tissue(0.06, 0.2, solid=True),
    "marrow": Tissue(0.14, 0.12, solid=True),
    "tooth": Tissue(0.03, 0.0, solid=True),
    "cartilage": Tissue(0.22, 0.1, solid=True),
    "disc": Tissue(0.35, 0.08, solid=True),
    "csf": Tissue(0.52, 0.03, solid=True),
    "white": Tissue(0.22, 0.04, solid=True),
    "grey": Tissue(0.3, 0.04, solid=True),
    "vitreous": Tissue(0.72, 0.02, solid=True),
    "lens": Tissue(0.2, 0.0, solid=True),
    "fluid": Tissue(0.7, 0.03, solid=True),
    "skin": Tissue(0.26, 0.06, solid=True),
    "fat": Tissue(0.16, 0.07),
    "muscle": Tissue(0.19, 0.12),
    "tongue": Tissue(0.24, 0.16),
    "gland": Tissue(0.28, 0.16),
    "mucosa": Tissue(0.38, 0.06, solid=True),
    "tonsil": Tissue(0.4, 0.1, solid=True),
    "node": Tissue(0.48, 0.05),
    "vein": Tissue(0.55, 0.05),
}

LEVEL_SPREAD = 0.06
"""Standard deviation of a tissue's level between patients, relative."""


class Part(NamedTuple):
    """An ellipsoid of one tissue, with its mirror image where it lies off the midline."""

    tissue: str
    center: Point
    radii: Point


OUTLINE = (
    (Part("skin", (0, 8, 42), (77, 93, 82)), 0.0),
    (Part("skin", (0, -35, 4), (60, 52, 46)), 14.0),
    (Part("skin", (0, -22, -38), (67, 71, 60)), 14.0),
    (Part("skin", (0, -36, -78), (54, 54, 34)), 16.0),
    (Part("skin", (0, -76, -92), (20, 16, 14)), 10.0),
    (Part("skin", (0, -95, -30), (13, 18, 13)), 7.0),
    (Part("skin", (0, -88, -12), (7, 11, 22)), 8.0),
    (Part("skin", (0, -91, -57), (25, 10, 7)), 5.0),
    (Part("skin", (0, -89, -72), (23, 10, 7)), 5.0),
    (Part("skin", (32, -69, 3), (15, 13, 11)), 6.0),
    (Part("skin", (69, 16, -4), (6, 14, 26)), 4.0),
)
"""The surface of the head: ellipsoids, and the width in mm over which each blends into those before it."""

NECK_RADII = (57.0, 58.0)
NECK_CENTER_Y = 24.0
NECK_TOP = -30.0
SHOULDER_Z = -125.0
SHOULDER_SLOPE = 0.7

SKULL = Part("bone", (0, 8, 42), (71, 87, 76))
BRAIN = Part("grey", (0, 8, 42), (65, 81, 70))
SKULL_FLOOR_Y = (-95.0, -48.0, -30.0, 0.0, 22.0, 70.0, 100.0)
SKULL_FLOOR_Z = (27.0, 24.0, 2.0, -10.0, -30.0, -30.0, -8.0)
SKULL_FLOOR_MM = 7.0
CALLOSUM = Part("white", (0, 6, 38), (40, 42, 30))
"""Where no fissure parts the hemispheres."""

MUSCLES = (
    Part("muscle", (56, -11, -52), (9, 20, 33)),
    Part("muscle", (37, -6, -50), (7, 14, 25)),
    Part("muscle", (33, -14, -22), (14, 13, 9)),
    Part("muscle", (60, -24, 10), (9, 30, 34)),
    Part("muscle", (14, 76, -85), (13, 13, 62)),
    Part("muscle", (33, 66, -88), (11, 18, 58)),
    Part("muscle", (14, 56, -88), (9, 8, 60)),
    Part("muscle", (33, 38, -110), (10, 14, 48)),
    Part("muscle", (8, 12, -85), (7, 4, 55)),
    Part("muscle", (16, -40, -92), (8, 32, 7)),
    Part("muscle", (0, -94, -58), (22, 4, 6)),
    Part("muscle", (0, -92, -73), (20, 4, 6)),
    Part("muscle", (44, -55, -52), (3, 24, 13)),
)

FACE = (
    Part("gland", (60, 15, -45), (13, 17, 29)),
    Part("gland", (31, -24, -90), (10, 15, 13)),
    Part("gland", (15, -52, -82), (5, 14, 5)),
    Part("fat", (47, -48, -40), (8, 17, 17)),
    Part("fat", (24, -2, -48), (6, 12, 24)),
    Part("marrow", (0, 2, -22), (13, 8, 17)),
    Part("bone", (0, -62, -50), (28, 34, 6)),
    Part("marrow", (0, -64, -51), (25, 30, 3.5)),
    Part("bone", (45, -5, -48), (5, 17, 37)),
    Part("marrow", (45, -5, -50), (2.6, 13, 31)),
    Part("bone", (58, -52, -12), (5, 20, 6)),
    Part("tongue", (0, -42, -66), (24, 32, 16)),
    Part("tongue", (0, -24, -78), (19, 19, 20)),
    Part("muscle", (11, -48, -84), (9, 26, 8)),
    Part("air", (0, -52, -49.5), (17, 22, 2)),
    Part("mucosa", (0, -10, -30), (17, 13, 16)),
    Part("air", (0, -14, -30), (12, 12, 13)),
    Part("tongue", (0, -10, -50), (14, 7, 10)),
    Part("tonsil", (16, -6, -64), (6, 8, 11)),
    Part("cartilage", (0, -16, -122), (20, 19, 26)),
    Part("mucosa", (0, -1, -70), (15, 7, 34)),
    Part("air", (0, -3, -70), (11, 5, 34)),
    Part("mucosa", (0, -12, -122), (11, 13, 40)),
    Part("air", (0, -12, -122), (8, 10, 40)),
    Part("bone", (32, -60, 4), (22, 26, 20)),
    Part("fat", (32, -62, 4), (19, 25, 17)),
    Part("bone", (30, -55, -24), (17.5, 19.5, 20)),
    Part("mucosa", (30, -55, -24), (16, 18, 18.5)),
    Part("air", (30, -55, -24), (14.6, 16.6, 17)),
    Part("bone", (0, -56, -24), (15, 34, 24)),
    Part("bone", (0, -50, 4), (12, 26, 16)),
    Part("bone", (0, -12, -6), (16, 14, 12)),
    Part("air", (0, -13, -6), (13, 11, 9)),
    Part("bone", (56, 28, -16), (14, 17, 18)),
    Part("air", (64, 10, -6), (12, 3, 3)),
)

EYE = (
    Part("muscle", (21.5, -56, 4), (2, 15, 5)),
    Part("muscle", (43, -56, 4), (2, 15, 5)),
    Part("muscle", (32, -56, 15), (5, 15, 2)),
    Part("muscle", (32, -56, -7), (5, 15, 2)),
    Part("white", (27, -46, 4), (2.5, 14, 2.5)),
    Part("cartilage", (32, -69, 4), (12.8, 12.8, 12.8)),
    Part("vitreous", (32, -69, 4), (11.6, 11.6, 11.6)),
    Part("lens", (32, -77, 4), (4.5, 2.4, 4.5)),
)

BRAIN_PARTS = (
    Part("grey", (14, 10, 32), (9, 15, 9)),
    Part("grey", (27, -6, 32), (6, 16, 9)),
    Part("csf", (0, 4, 27), (2.6, 13, 9)),
    Part("csf", (9, -27, 42), (5, 12, 9)),
    Part("csf", (12, 2, 57), (7, 29, 9)),
    Part("csf", (23, 36, 44), (6, 11, 10)),
    Part("csf", (46, -16, 22), (5, 25, 4)),
    Part("csf", (0, -10, 6), (15, 12, 8)),
    Part("csf", (0, 8, -8), (20, 11, 20)),
    Part("white", (0, 21, -12), (15, 12, 32)),
    Part("csf", (0, 38, -8), (9, 6, 11)),
    Part("csf", (0, 66, -26), (12, 12, 7)),
)

ARCHES = (
    ("bone", (0.0, -10.0), (44.0, 72.0), 6.5, (-100.0, -78.0)),
    ("marrow", (0.0, -10.0), (44.0, 72.0), 3.6, (-97.0, -81.0)),
    ("bone", (0.0, -45.0), (26.0, 36.0), 6.0, (-58.0, -50.0)),
    ("tooth", (0.0, -45.0), (26.0, 36.0), 4.6, (-78.0, -54.0)),
)
"""Jaw and teeth: tissue, centre (x, y), radii (x, y), half thickness, from and to in z; in mm."""


def patient_tissues(rng: np.random.Generator) -> dict[str, Tissue]:
    """Return the tissues as one patient's scanner shows them."""
    spread = np.exp(LEVEL_SPREAD * rng.standard_normal(len(TISSUES)))
    return {
        name: tissue._replace(level=tissue.level * float(factor))
        for (name, tissue), factor in zip(TISSUES.items(), spread, strict=True)
    }
