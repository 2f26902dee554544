"""One slice with outlines, for a page: a small grey JPEG, and paths to be drawn over it at any size."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from vmseg_auto.core.geometry import Spacing
from vmseg_auto.ops.views import Edges

_QUALITY = 88
_TOLERANCE = 0.25
"""Voxels by which an outline may be smoothed: half a step of its stairs."""


@dataclass(frozen=True)
class Picture:
    """A slice.

    Args:
        source: the grey picture as a data URL.
        width, height: in mm; outlines are in these units, from the upper left corner.
        outlines: what is outlined -> path in SVG's words; one that is not on this slice is left out.
        edges: letters at the edges.
        words: what is to be seen, for those who don't see it.
        number: of the slice in the file, counted from 1.
    """

    source: str
    width: float
    height: float
    outlines: dict[str, str]
    edges: Edges
    words: str
    number: int


def picture(
    grey: NDArray[np.uint8],
    masks: Mapping[str, NDArray[np.bool_]],
    spacing_mm: Spacing,
    edges: Edges,
    words: str,
    number: int,
) -> Picture:
    """A slice with outlines.

    Args:
        grey: uint8 (rows, columns).
        masks: what is outlined -> bool (rows, columns).
        spacing_mm: (Z, rows, columns).
        edges, words, number: as in Picture.
    """
    _, dy, dx = spacing_mm
    rows, columns = grey.shape
    outlines = {name: path for name, mask in masks.items() if (path := outline_path(mask, dy, dx))}
    return Picture(_jpeg(grey), round(columns * dx, 2), round(rows * dy, 2), outlines, edges, words, number)


def outline_path(mask: NDArray[np.bool_], row_mm: float, column_mm: float) -> str:
    """The outline of a mask (rows, columns) as an SVG path in mm, along the middle of its voxels' edges.

    It is the contour at one half (marching squares), with its stairs smoothed; empty without a voxel.
    """
    lines = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    return "".join(_path(approximate_polygon(line - 0.5, _TOLERANCE), row_mm, column_mm) for line in lines)


def _path(points: NDArray[np.float64], row_mm: float, column_mm: float) -> str:
    """A closed line through points (row, column)."""
    corners: Sequence[str] = [f"{x * column_mm:.1f} {y * row_mm:.1f}" for y, x in points[:-1]]
    return f"M{'L'.join(corners)}Z"


def _jpeg(grey: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
