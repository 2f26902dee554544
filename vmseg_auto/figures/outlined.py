"""One slice for a page: a small grey JPEG, and outlines as paths that stay sharp at any size."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

_QUALITY = 88
_TOLERANCE = 0.25
"""Voxels by which an outline may be smoothed: half a step of its stairs."""


@dataclass(frozen=True)
class OutlinedSlice:
    """A slice with outlines.

    Args:
        source: the grey picture as a data URL.
        width, height: in mm; outlines are in these units, from the upper left corner.
        outlines: what is outlined -> path in SVG's words; what is not on this slice is left out.
        sides: letters at its left and right border.
        words: what is to be seen, for those who don't see it.
    """

    source: str
    width: float
    height: float
    outlines: dict[str, str]
    sides: tuple[str, str]
    words: str


def outlined_slice(
    grey: NDArray[np.uint8],
    masks: Mapping[str, NDArray[np.bool_]],
    spacing_mm: tuple[float, float],
    sides: tuple[str, str],
    words: str,
) -> OutlinedSlice:
    """Make a slice for a page.

    Args:
        grey: uint8 (rows, columns).
        masks: what is outlined -> bool (rows, columns).
        spacing_mm: of rows and columns.
        sides, words: as in OutlinedSlice.
    """
    tall, wide = spacing_mm
    rows, columns = grey.shape
    outlines = {name: path for name, mask in masks.items() if (path := outline_path(mask, spacing_mm))}
    return OutlinedSlice(_jpeg(grey), round(columns * wide, 2), round(rows * tall, 2), outlines, sides, words)


def outline_path(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> str:
    """Draw the outline of a mask (rows, columns) as an SVG path in mm; empty without a voxel.

    It is the contour at one half (marching squares), with its stairs smoothed.

    >>> outline_path(np.pad(np.ones((2, 2), bool), 1), (1.0, 1.0))
    'M2.5 3.0L1.5 3.0L1.0 2.5L1.0 1.5L1.5 1.0L2.5 1.0L3.0 1.5L3.0 2.5Z'
    """
    lines = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    return "".join(_closed(approximate_polygon(line - 0.5, _TOLERANCE) * spacing_mm) for line in lines)


def _closed(points: NDArray[np.float64]) -> str:
    """Write a line through points (y, x), the last of which is the first."""
    return f"M{'L'.join(f'{x:.1f} {y:.1f}' for y, x in points[:-1])}Z"


def _jpeg(grey: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
