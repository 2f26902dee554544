"""How large lesions are, as a radiologist measures them, and how wide their margins.

Lengths are taken between the faces of voxels, not between their centres or corners: a voxel 3 mm long is 3 mm long, and
a ball's diameter comes out neither too long nor too short on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from vmseg_auto.evaluation.lesions import Lesion, find_lesions
from vmseg_auto.utils.geometry import Geometry, Spacing

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

GOYAL_LIMIT_MM = 50.0
"""Lesions up to this size are grade 1 or 2B, larger ones 2A or 3 (Goyal et al., Radiology 2002, 223:639)."""
SURROUNDINGS_MM = 6.0
"""How far around a lesion its surroundings reach, against which its margin is measured."""


@dataclass(frozen=True)
class Size:
    """A lesion, or several together.

    Args:
        voxels: how many.
        volume_ml: of them, in mL.
        longest_diameter_mm: the longest straight line between two points of one lesion, in any direction; None where
            there is no lesion.
        axial_diameter_mm: the same within one axial slice.
        extent_rl_mm, extent_ap_mm, extent_si_mm: of the box around all, along the patient's right-left,
            anterior-posterior and superior-inferior axes.
    """

    voxels: int
    volume_ml: float
    longest_diameter_mm: float | None = None
    axial_diameter_mm: float | None = None
    extent_rl_mm: float | None = None
    extent_ap_mm: float | None = None
    extent_si_mm: float | None = None

    @property
    def goyal_size(self) -> Literal["<=5 cm", ">5 cm"] | None:
        """The part of Goyal's grade that the longest diameter decides; None where there is no lesion."""
        if self.longest_diameter_mm is None:
            return None
        return "<=5 cm" if self.longest_diameter_mm <= GOYAL_LIMIT_MM else ">5 cm"


@dataclass(frozen=True)
class Measured:
    """One connected piece of a mask (26 neighbours), and how large it is."""

    lesion: Lesion
    size: Size


def measure(mask: Mask, geometry: Geometry) -> tuple[Size, list[Measured]]:
    """Measure a mask as a whole and piece by piece.

    Args:
        mask: (Z, Y, X).
        geometry: its grid.

    Returns:
        The size of all together, whose diameters are those of the longest piece (what lies between two lesions is
        none), and the pieces, the largest volume first.

    Example:
        >>> size, pieces = measure(np.ones((2, 10, 10), dtype=bool), Geometry((2, 10, 10), (5.0, 1.0, 1.0)))
        >>> size.volume_ml, round(size.axial_diameter_mm, 1), size.extent_si_mm, len(pieces)
        (1.0, 13.5, 10.0, 1)
    """
    surfaces = [(lesion, _surface(lesion)) for lesion in find_lesions(mask)]
    pieces = [Measured(lesion, _size(lesion, surface, geometry)) for lesion, surface in surfaces]
    pieces.sort(key=lambda piece: -piece.size.voxels)
    voxels = sum(piece.size.voxels for piece in pieces)
    if not pieces:
        return Size(0, 0.0), []
    whole = Size(
        voxels,
        voxels * geometry.voxel_ml,
        max(piece.size.longest_diameter_mm or 0.0 for piece in pieces),
        max(piece.size.axial_diameter_mm or 0.0 for piece in pieces),
        *_extents_mm(np.concatenate([surface for _, surface in surfaces]), geometry),
    )
    return whole, pieces


def margin_width_mm(image: NDArray[np.float32], lesion: Lesion, mask: Mask, spacing_mm: Spacing) -> float | None:
    """Measure over how many mm the intensity changes from a lesion's to that of its surroundings.

    It is the difference of the medians of lesion and surroundings, divided by how steeply the intensity falls between
    the neighbouring pixels on both sides of the lesion's margin, in the planes in which pixels are smallest. An edge
    blurred by a Gaussian of sigma mm is 2.5 sigma wide; no margin is narrower than about a pixel, and one as wide as
    SURROUNDINGS_MM or the lesion comes out too narrow. A mask that misses the edge makes it wider: it measures mask and
    lesion together.

    Args:
        image: intensities (Z, Y, X); their scale does not matter.
        lesion: a piece of the mask.
        mask: all lesions (Z, Y, X); the others are no surroundings.
        spacing_mm: (Z, Y, X).

    Returns:
        None where the lesion does not stand out from its surroundings, or there are none; or where the intensity falls
        so little at the outline that the margin would be wider than 2 SURROUNDINGS_MM, which is more than is looked at.
    """
    reach = [math.ceil(SURROUNDINGS_MM / mm) for mm in spacing_mm]
    around = tuple(slice(max(0, start - n), stop + n) for (start, stop), n in zip(lesion.box, reach, strict=True))
    seen, other = image[around], mask[around].copy()
    inside = np.zeros(other.shape, dtype=bool)
    inside[tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(lesion.box, around, strict=True))] = lesion.mask
    other &= ~inside
    fall = length = 0.0
    for axis in {0, 1, 2} - {int(np.argmax(spacing_mm))}:
        edge_mm = math.prod(spacing_mm) / spacing_mm[axis]
        steps, edges = _steps(seen, inside, other, axis)
        fall, length = fall + steps / spacing_mm[axis] * edge_mm, length + edges * edge_mm
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    surroundings = seen[(distance > 0) & (distance <= SURROUNDINGS_MM) & ~other]
    if not (length and surroundings.size):
        return None
    contrast = float(np.median(seen[inside]) - np.median(surroundings))
    steepness = fall / (math.pi / 4 * length)  # pixels' edges are 4 / pi as long as a margin of all directions
    if contrast * steepness <= 0 or abs(contrast) < float(surroundings.std()):
        return None
    width = contrast / steepness
    return width if width <= 2 * SURROUNDINGS_MM else None


def _steps(image: NDArray[np.float32], mask: Mask, others: Mask, axis: int) -> tuple[float, int]:
    """Sum up inner minus outer voxels over a mask's margin along an axis, and count them."""
    low, high = [slice(None)] * 3, [slice(None)] * 3
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    one, other = tuple(low), tuple(high)
    outwards, inwards = mask[one] & ~mask[other] & ~others[other], ~mask[one] & mask[other] & ~others[one]
    difference = image[one].astype(np.float64) - image[other]
    total = difference[outwards].sum() - difference[inwards].sum()
    return float(total), int(np.count_nonzero(outwards) + np.count_nonzero(inwards))


def _size(lesion: Lesion, surface: Points, geometry: Geometry) -> Size:
    voxels = int(np.count_nonzero(lesion.mask))
    return Size(
        voxels,
        voxels * geometry.voxel_ml,
        _longest(surface * geometry.spacing_mm),
        _axial_diameter_mm(lesion.mask, geometry),
        *_extents_mm(surface, geometry),
    )


def _axial_diameter_mm(mask: Mask, geometry: Geometry) -> float:
    """Return the longest diameter in the slices that lie across the axis closest to superior-inferior."""
    axis = geometry.patient_axes.index(2)
    spacing = np.delete(geometry.spacing_mm, axis)
    return max(_longest(_outermost(plane) * spacing) for plane in np.moveaxis(mask, axis, 0) if plane.any())


def _extents_mm(surface: Points, geometry: Geometry) -> tuple[float, float, float]:
    """Return the extents along the patient's axes; `surface` counts voxels (Z, Y, X)."""
    steps = surface[:, ::-1] * geometry.spacing_mm[::-1]
    rl, ap, si = np.ptp(steps @ np.reshape(geometry.direction, (3, 3)).T, axis=0).tolist()
    return rl, ap, si


def _surface(lesion: Lesion) -> Points:
    return _outermost(lesion.mask) + [start for start, _ in lesion.box]


def _outermost(mask: Mask) -> Points:
    """Return the outermost faces' centres of every row of voxels along every axis, in voxels; the rest lies between."""
    found = []
    for axis in range(mask.ndim):
        rows = np.argwhere(mask.any(axis=axis))
        along = np.moveaxis(mask, axis, -1)[tuple(rows.T)]
        first, last = along.argmax(axis=1), along.shape[1] - along[:, ::-1].argmax(axis=1)
        found += [np.insert(rows.astype(float), axis, ends - 0.5, axis=1) for ends in (first, last)]
    return np.concatenate(found)


def _longest(points_mm: Points) -> float:
    """Return the longest distance between two of several points that do not all lie on a line or plane."""
    return float(pdist(points_mm[ConvexHull(points_mm).vertices]).max())
