"""What is measured of each component of a predicted mask, by which a lesion filter tells lesions from false ones.

Everything is told by one scan and the probabilities of its prediction, and no measure depends on the order of the
components. How far the networks of several folds agree is not among them: out of fold, where a filter is learnt, a
scan is predicted by one network. Nor are the place in the body, the number of a scan's components, its share of their
volume and the distances between them: learnt from few patients, they said less of others than without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.evaluation.lesions import Lesion, find_lesions
from vmseg_auto.evaluation.volumetry import SURROUNDINGS_MM
from vmseg_auto.preprocessing.air import NO_TISSUE, air_level
from vmseg_auto.utils.geometry import Geometry, Spacing

Mask = NDArray[np.bool_]
Image = NDArray[np.float32]
Values = NDArray[np.float64]

FEATURES = (
    "log_volume", "mean_probability", "peak_probability", "entropy", "contrast", "brightness", "texture", "brightest",
    "compactness", "log_slices", "elongation",
)  # fmt: skip
"""Names of the measures, in the order of the columns of `component_features`."""
_LEAST = 1 / 510
"""Half a step of a probability in eight bits, as validation keeps it: none is nearer to 0 or 1."""


@dataclass(frozen=True)
class Described:
    """The components of one label of a mask, the largest first (of equal ones the first in memory), as in volumes.csv.

    Args:
        lesions: where they lie.
        features: of each [N, FEATURES].
    """

    lesions: tuple[Lesion, ...]
    features: Values


def describe_components(mask: Mask, probability: Image, image: Image, geometry: Geometry) -> Described:
    """Measure every component of a predicted mask.

    Args:
        mask: where the label was predicted (Z, Y, X).
        probability: of the label (Z, Y, X), from 0 to 1.
        image: the scan's first channel (Z, Y, X); its scale does not matter.
        geometry: the grid.

    Example:
        >>> mask = np.zeros((3, 8, 8), bool)
        >>> mask[1, 2:5, 2:5], mask[1, 7, 7] = True, True
        >>> soft, scan = np.where(mask, 0.9, 0.1).astype(np.float32), np.where(mask, 5.0, 1.0).astype(np.float32)
        >>> found = describe_components(mask, soft, scan, Geometry((3, 8, 8), (3.0, 1.0, 1.0)))
        >>> found.features.shape == (2, len(FEATURES))
        True
        >>> print(found.features[0, FEATURES.index("mean_probability")].round(1))
        2.2
    """
    lesions = sorted(find_lesions(mask), key=lambda lesion: -int(np.count_nonzero(lesion.mask)))
    if not lesions:
        return Described((), np.empty((0, len(FEATURES))))
    soft = np.clip(probability, _LEAST, 1 - _LEAST)
    tissue = _tissue(image, mask)
    features = [
        [
            math.log(np.count_nonzero(lesion.mask) * geometry.voxel_ml),
            *_of_probability(soft[lesion.slices][lesion.mask].astype(np.float64)),
            *_of_intensity(lesion, mask, image, tissue, geometry.spacing_mm),
            *_of_shape(lesion, geometry),
        ]
        for lesion in lesions
    ]
    return Described(tuple(lesions), np.array(features))


def _tissue(image: Image, mask: Mask) -> tuple[float, float]:
    """Return mean and standard deviation of the intensities that are neither air nor in the mask."""
    body = (image > air_level(image.ravel(), NO_TISSUE)) & ~mask
    found = image[body] if body.any() else image
    return float(found.mean()), float(found.std()) or 1.0


def _of_probability(inside: Values) -> list[float]:
    """Return log odds of the mean and of the greatest probability of a component's voxels, and their mean entropy."""
    entropy = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).mean()
    return [_log_odds(float(inside.mean())), _log_odds(float(inside.max())), float(entropy)]


def _of_intensity(
    lesion: Lesion, mask: Mask, image: Image, tissue: tuple[float, float], spacing_mm: Spacing
) -> list[float]:
    """Return how far the median lies above the surroundings' and above the tissue's mean, the deviation within, and
    how far the brightest twentieth lies above the median.

    The unit is the standard deviation of the tissue.
    """
    inside = image[lesion.slices][lesion.mask].astype(np.float64)
    around, ring = _surroundings(lesion, mask, spacing_mm)
    outside = image[around][ring]
    (mean, deviation), middle = tissue, float(np.median(inside))
    beside = float(np.median(outside)) if outside.size else mean
    bright = float(np.percentile(inside, 95))
    found = np.array([middle - beside, middle - mean, inside.std(), bright - middle]) / deviation
    return [float(value) for value in found]


def _of_shape(lesion: Lesion, geometry: Geometry) -> list[float]:
    """Return how close to a ball it is, the log of the slices that it takes, and the log of how elongated it is.

    The first is the surface of a ball of the same volume as a share of the faces' own; the last tells how much farther
    the voxels spread along their longest axis than along their shortest one (ratio of their variances).
    """
    faces_mm2 = 0.0
    for axis, mm in enumerate(geometry.spacing_mm):
        padded = np.pad(lesion.mask, [(int(n == axis),) * 2 for n in range(3)])
        faces_mm2 += np.count_nonzero(np.diff(padded.astype(np.int8), axis=axis)) * 1000 * geometry.voxel_ml / mm
    volume_mm3 = np.count_nonzero(lesion.mask) * geometry.voxel_ml * 1000
    ball_mm2 = math.pi ** (1 / 3) * (6 * volume_mm3) ** (2 / 3)
    slices = lesion.mask.shape[int(np.argmax(geometry.spacing_mm))]
    places_mm = np.argwhere(lesion.mask) * geometry.spacing_mm
    variances = np.linalg.eigvalsh(np.cov(places_mm.T, bias=True) + np.diag(np.square(geometry.spacing_mm) / 12))
    return [ball_mm2 / faces_mm2, math.log(slices), math.log(variances[-1] / variances[0])]


def _surroundings(lesion: Lesion, mask: Mask, spacing_mm: Spacing) -> tuple[tuple[slice, slice, slice], Mask]:
    """Return the box around a component, and what of it lies within SURROUNDINGS_MM of it and in no other one."""
    reach = [math.ceil(SURROUNDINGS_MM / mm) for mm in spacing_mm]
    z, y, x = (slice(max(0, start - n), stop + n) for (start, stop), n in zip(lesion.box, reach, strict=True))
    around = mask[z, y, x]
    inside = np.zeros(around.shape, dtype=bool)
    own = zip(lesion.box, (z, y, x), strict=True)
    inside[tuple(slice(start - seen.start, stop - seen.start) for (start, stop), seen in own)] = lesion.mask
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    return (z, y, x), (distance <= SURROUNDINGS_MM) & ~around


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
