"""Slices as pictures: in radiological orientation, to scale, windowed to grey, with outlines of masks.

Everything here is arrays in, arrays out: a picture is uint8 [rows, columns, 3]. Colours are Okabe and Ito's, which
colour-blind readers tell apart (Wong, Nature Methods 2011, 8:441).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.utils.geometry import Geometry, Spacing

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
SKY_BLUE, VERMILLION, YELLOW, PURPLE = "#56B4E9", "#D55E00", "#F0E442", "#CC79A7"
LABEL_COLOURS = (VERMILLION, SKY_BLUE, YELLOW, GREEN, PURPLE, ORANGE, BLUE)
"""Of labels in the order of their values; they begin anew after the last."""

Plane = Literal["axial", "coronal", "sagittal"]
Picture = NDArray[np.uint8]
Window = tuple[float, float]
"""The intensities shown black and white."""
Frame = tuple[slice, slice]
"""Rows and columns of a slice."""

# Per plane: world axis (0 left, 1 posterior, 2 superior) and sense of slices, rows and columns; the borders' letters.
_PLANES: dict[Plane, tuple[tuple[tuple[int, int], ...], tuple[str, str]]] = {
    "axial": (((2, 1), (1, 1), (0, 1)), ("R", "L")),
    "coronal": (((1, 1), (2, -1), (0, 1)), ("R", "L")),
    "sagittal": (((0, 1), (2, -1), (1, 1)), ("A", "P")),
}
MARGIN_MM = 10.0
"""How far around a lesion a picture reaches: enough to judge an outline by."""
_NEARLY_EQUAL = 1.1
"""Ratio of spacings up to which no axis counts as the coarse one."""


@dataclass(frozen=True)
class View:
    """How a radiologist looks at a scan: its arrays turned so that slices, rows and columns follow convention.

    Axial slices are seen from the feet and coronal ones from the front: the patient's right is at the left border,
    anterior or superior at the top. In sagittal ones anterior is at the left. Oblique scans count as the nearest of
    these.

    Args:
        plane: the one in which slices are shown.
        order: the array's axes that become slices, rows and columns.
        flipped: which of these run the other way.
        spacing_mm: (slices, rows, columns).
        sides: letters of the left and right border: R, L, A or P.
        count: of slices.
    """

    plane: Plane
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    spacing_mm: Spacing
    sides: tuple[str, str]
    count: int

    @classmethod
    def of(cls, geometry: Geometry, plane: Plane | None = None) -> View:
        """Return the view of a grid, in `plane`, or else in that of the slices as they were acquired.

        Slices lie across the coarsest axis; where no axis is, they are axial.
        """
        cosines = geometry.cosines
        # The array's axis that runs along each world axis
        along = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[w, a]) for w, a in enumerate(axes)))
        chosen = plane or _acquired_plane(geometry.spacing_mm, along)
        wanted, sides = _PLANES[chosen]
        order = tuple(along[world] for world, _ in wanted)
        flipped = tuple(bool(cosines[world, along[world]] * sense < 0) for world, sense in wanted)
        spacing = tuple(geometry.spacing_mm[axis] for axis in order)
        return cls(chosen, order, flipped, spacing, sides, geometry.shape[order[0]])  # type: ignore[arg-type]

    def __call__(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array (Z, Y, X) of the grid as (slices, rows, columns), without a copy."""
        turned = np.transpose(array, self.order)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def number(self, index: int) -> int:
        """Return a slice's number along the file's own axis, counted from 1 as viewers do."""
        return self.count - index if self.flipped[0] else index + 1


def grey_window(voxels: NDArray[Any]) -> Window:
    """Return the window between the 0.5th and the 99.5th percentile of what is shown."""
    low, high = np.percentile(voxels, (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def slices_through(mask: NDArray[np.bool_], count: int) -> list[int]:
    """Choose slices that show a mask, ascending: spread evenly over its volume, the one with its largest area among
    them.

    Args:
        mask: (slices, rows, columns).
        count: of slices at most; a mask in fewer slices has fewer, an empty one none.

    Example:
        >>> mask = np.zeros((9, 4, 4), bool)
        >>> mask[2:7] = True
        >>> slices_through(mask, 3)
        [2, 4, 6]
    """
    areas = np.count_nonzero(mask, axis=(1, 2))
    if not areas.any():
        return []
    shares = (np.arange(count) + 0.5) / count
    found = np.searchsorted(np.cumsum(areas), shares * areas.sum())
    largest = int(np.argmax(areas))
    found[np.argmin(np.abs(found - largest))] = largest
    return sorted({int(index) for index in found})


def frame_around(mask: NDArray[np.bool_], spacing_mm: tuple[float, float], margin_mm: float) -> Frame:
    """Return the rows and columns around a mask (slices, rows, columns) with a margin: what is shown of every slice.

    Args:
        spacing_mm: (rows, columns).

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no frame")
    frame = []
    for axis, mm in enumerate(spacing_mm):
        inside = np.flatnonzero(np.any(mask, axis=(0, 2 - axis)))
        margin = round(margin_mm / mm)
        frame.append(slice(max(0, int(inside[0]) - margin), int(inside[-1]) + 1 + margin))
    return frame[0], frame[1]


def near_lesions(mask: NDArray[np.bool_], spacing_mm: Spacing, margin_mm: float = MARGIN_MM) -> NDArray[np.bool_]:
    """Return what of a scan may be shown to others: the voxels of lesions, and those within a margin of one.

    All pictures that promise no face ask this alone.

    Args:
        mask: lesions (slices, rows, columns).
        spacing_mm: of these axes.
        margin_mm: how far around.
    """
    if not mask.any():
        return mask
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= margin_mm
    return near


def draw_slice(
    image: NDArray[Any],
    spacing_mm: tuple[float, float],
    window: Window,
    outlines: Sequence[tuple[NDArray[np.bool_], str]] = (),
    *,
    pixels: int = 360,
    width: float = 2.0,
) -> Picture:
    """Draw a slice in grey, with outlines.

    Args:
        image: [rows, columns].
        spacing_mm: of rows and columns; the picture's pixels are square.
        window: the intensities shown black and white.
        outlines: masks [rows, columns] and their colours (#RRGGBB), the last on top.
        pixels: of the picture's longer side; more where voxels would get smaller than a pixel.
        width: of the lines, in pixels.
    """
    extent = np.array(image.shape) * spacing_mm
    pixel_mm = min(extent.max() / pixels, *spacing_mm)
    shape = np.maximum(1, np.round(extent / pixel_mm)).astype(int)
    low, high = window
    grey = np.clip((_resized(image.astype(np.float32), shape, 1) - low) / (high - low), 0, 1)
    picture = np.repeat(grey[..., None], 3, axis=2)
    for mask, colour in outlines:
        cover = _line(mask, shape, width)[..., None]
        picture += cover * (_rgb(colour) - picture)
    return np.round(picture * 255).astype(np.uint8)


def _line(mask: NDArray[np.bool_], shape: NDArray[np.int64], width: float) -> NDArray[np.float32]:
    """Return how far each pixel is covered by a mask's outline, 0 to 1."""
    smooth = (shape >= 2 * np.array(mask.shape)).all()  # below that, a line between pixels could miss single voxels
    inside = _resized(mask.astype(np.float32), shape, int(smooth)) > 0.5
    if not inside.any() or inside.all():
        return np.zeros(inside.shape, dtype=np.float32)
    distance = np.where(inside, ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside)) - 0.5
    cover: NDArray[np.float32] = np.clip(width / 2 + 0.5 - distance, 0, 1).astype(np.float32)
    return cover


def _resized(array: NDArray[np.float32], shape: NDArray[np.int64], order: int) -> NDArray[np.float32]:
    factors = shape / np.array(array.shape)
    resized: NDArray[np.float32] = ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True)
    return resized


def label_colours(labels: Mapping[str, int]) -> dict[str, str]:
    """Return the colour (#RRGGBB) of each label but the background; it is the same in all pictures and reports.

    >>> label_colours({"background": 0, "lesion": 1})
    {'lesion': '#D55E00'}
    """
    return {name: value_colour(value) for name, value in labels.items() if value}


def value_colour(value: int) -> str:
    """Return the colour (#RRGGBB) of a value of masks, which is that of the label that is written so."""
    return LABEL_COLOURS[(value - 1) % len(LABEL_COLOURS)]


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)], dtype=np.float32)


def _acquired_plane(spacing: Spacing, along: Sequence[int]) -> Plane:
    coarsest = int(np.argmax(spacing))
    others = [mm for axis, mm in enumerate(spacing) if axis != coarsest]
    if spacing[coarsest] <= _NEARLY_EQUAL * max(others):
        return "axial"
    planes: tuple[Plane, ...] = ("sagittal", "coronal", "axial")  # across left, posterior, superior
    return planes[along.index(coarsest)]
