"""The three planes in which a scan is shown, for the page: which axes of the array become rows and columns."""

from __future__ import annotations

from typing import Any, get_args

from vmseg_auto.figures.slices import Plane, View
from vmseg_auto.utils.geometry import Geometry

_TOP_AND_BOTTOM: dict[Plane, tuple[str, str]] = {"axial": ("A", "P"), "coronal": ("S", "I"), "sagittal": ("S", "I")}


def planes(geometry: Geometry) -> list[dict[str, Any]]:
    """Return the planes of a grid as the page draws them, the one of the acquired slices first.

    Each names the array's axes (0 is Z, 1 Y, 2 X) that become slices, rows and columns, which of these are flipped, and
    the patient's sides at the left, right, top and bottom border.

    >>> first = planes(Geometry((5, 40, 40), (5.0, 1.0, 1.0)))[0]
    >>> first["plane"], first["order"], first["flipped"], first["sides"]
    ('axial', [0, 1, 2], [False, False, False], ['R', 'L', 'A', 'P'])
    """
    acquired = View.of(geometry).plane
    names: list[Plane] = [acquired, *(name for name in get_args(Plane) if name != acquired)]
    return [_described(View.of(geometry, name)) for name in names]


def _described(view: View) -> dict[str, Any]:
    return {
        "plane": view.plane,
        "order": list(view.order),
        "flipped": list(view.flipped),
        "sides": [*view.sides, *_TOP_AND_BOTTOM[view.plane]],
    }
