"""Whether a probability of 70 % is right in seven cases of ten, voxel by voxel in one scan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.label_masks import mask_of, without_ignored
from vmseg_auto.utils.labels import foreground_labels

SEEN = 3
"""Of 255, about 1 %: voxels below it that nobody outlined are left out, as they are sure, many, and of no interest."""
BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Of the voxels that the model takes for a lesion with at least 1 %, or that were outlined.

    Args:
        brier: mean squared difference of probability and truth (Brier, Monthly Weather Review 1950, 78:1); 0 is best.
        calibration_error: mean distance of a probability and the share of voxels that are truly lesion, over BINS
            equal ranges of probability (ECE; Naeini et al., AAAI 2015, p. 2901); 0 is best.
    """

    brier: float
    calibration_error: float


def reliability(
    probabilities: NDArray[np.uint8], reference: NDArray[np.uint8], labels: Mapping[str, int]
) -> Reliability:
    """Compare a scan's stored probabilities with its outline; the mean over labels, NaN where there is no such voxel.

    Args:
        probabilities: of each label, 0 to 255 for 0 to 1 [labels, Z, Y, X].
        reference: label values [Z, Y, X]; voxels of IGNORE are left out.
        labels: name -> value; the background is left out.

    Example:
        >>> soft, mask = np.array([[[[0, 255, 204]]]], np.uint8), np.array([[[0, 1, 0]]], np.uint8)
        >>> found = reliability(soft, mask, {"lesion": 1})
        >>> round(found.brier, 2), round(found.calibration_error, 2)
        (0.32, 0.4)
    """
    probabilities, reference = without_ignored(probabilities, reference)
    pairs = zip(probabilities, foreground_labels(labels), strict=True)
    found = [_of_counts(_counts(soft, mask_of(reference, labels, name))) for soft, name in pairs]
    told = [one for one in found if one is not None]
    if not told:
        return Reliability(math.nan, math.nan)
    return Reliability(*np.mean([(one.brier, one.calibration_error) for one in told], axis=0).tolist())


def _counts(soft: NDArray[np.uint8], true: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the voxels of each probability [256], outside and inside [2] the outline."""
    levels = np.bincount(soft.ravel().astype(np.int64) * 2 + true.ravel(), minlength=512).reshape(256, 2)
    levels[:SEEN, 0] = 0
    return levels


def _of_counts(counts: NDArray[np.int64]) -> Reliability | None:
    total = counts.sum()
    if not total:
        return None
    chance = np.arange(256) / 255
    brier = float((counts * (chance[:, None] - (0, 1)) ** 2).sum() / total)
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    foretold = np.bincount(place, counts.sum(axis=1) * chance)
    true = np.bincount(place, counts[:, 1].astype(float))
    return Reliability(brier, float(np.abs(foretold - true).sum() / total))
