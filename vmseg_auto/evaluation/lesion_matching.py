"""Which lesions of a prediction are which of the reference, and what that comes to: a lesion is a component."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.evaluation.metric_columns import PENALTY_MM
from vmseg_auto.evaluation.overlap import Mask, ratio
from vmseg_auto.evaluation.surface_distances import distances_between
from vmseg_auto.evaluation.surfaces import Surface
from vmseg_auto.utils.components import label_components

Counts = NDArray[np.int64]

MATCHED_IOU = 0.5
"""Above it no lesion can have two partners, so that pairs need no search."""


@dataclass(frozen=True)
class Lesions:
    """The components (26 neighbours) of two masks on one grid, and how they overlap.

    Args:
        predicted, wanted: numbered components of prediction and reference (Z, Y, X).
        shared: voxels that each predicted component (rows, from 1) shares with each of the reference (columns, from 1);
            row and column 0 are the background.
    """

    predicted: NDArray[np.int32]
    wanted: NDArray[np.int32]
    shared: Counts

    @classmethod
    def of(cls, prediction: Mask, reference: Mask) -> Lesions:
        (predicted, rows), (wanted, columns) = label_components(prediction), label_components(reference)
        return cls(predicted, wanted, _shared(predicted, rows, wanted, columns))

    @property
    def predicted_voxels(self) -> Counts:
        """Of each predicted component."""
        return np.asarray(self.shared[1:].sum(axis=1))

    @property
    def wanted_voxels(self) -> Counts:
        """Of each component of the reference."""
        return np.asarray(self.shared[:, 1:].sum(axis=0))


def overlapping_lesions(lesions: Lesions, voxel_ml: float) -> dict[str, float]:
    """Lesions found, missed and false, where one voxel in common is enough; numbers, mL and shares."""
    both = lesions.shared[1:, 1:] > 0
    right, found = np.asarray(both.any(axis=1)), np.asarray(both.any(axis=0))
    nothing = float(len(right) + len(found) == 0)
    precision = ratio(int(right.sum()), len(right), nothing)
    recall = ratio(int(found.sum()), len(found), nothing)
    return {
        "lesion_precision": precision,
        "lesion_recall": recall,
        "lesion_f1": ratio(2 * precision * recall, precision + recall, 0.0),
        "reference_lesions": float(len(found)),
        "lesions_found": float(found.sum()),
        "lesions_missed": float((~found).sum()),
        "lesions_missed_ml": float(lesions.wanted_voxels[~found].sum()) * voxel_ml,
        "false_positive_lesions": float((~right).sum()),
        "false_positive_lesions_ml": float(lesions.predicted_voxels[~right].sum()) * voxel_ml,
    }


def panoptic_quality(lesions: Lesions) -> dict[str, float]:
    """RQ, SQ and PQ of pairs with an IoU above 0.5 (Kirillov et al., CVPR 2019:9404)."""
    both = lesions.shared[1:, 1:]
    iou = both / np.maximum(lesions.predicted_voxels[:, None] + lesions.wanted_voxels[None] - both, 1)
    pairs = iou[iou > MATCHED_IOU]
    lesions_of_both = sum(both.shape)
    return {
        "recognition_quality": ratio(2 * len(pairs), lesions_of_both, 1.0),
        "segmentation_quality": ratio(float(pairs.sum()), len(pairs), float("nan")),
        "panoptic_quality": ratio(2 * float(pairs.sum()), lesions_of_both, 1.0),
    }


def lesionwise(
    lesions: Lesions,
    predicted: Surface,
    wanted: Surface,
    voxel_mm3: float = 1.0,
    dilation: int = 1,
    smallest_mm3: float = 0.0,
    whole_hd95_mm: float | None = None,
) -> dict[str, float]:
    """Lesion-wise Dice and HD95 by the rules of BraTS 2023 (Saluja et al., github.com/rachitsaluja/BraTS-2023-Metrics).

    Lesions of the reference that touch once dilated are one. All predicted components that touch a dilated lesion are
    its prediction. A lesion without one counts 0 and PENALTY_MM, and so does a predicted component that is no lesion's.

    Args:
        lesions: of both masks.
        predicted, wanted: the surfaces of both masks.
        voxel_mm3: volume of a voxel.
        dilation: steps; voxels that share a face or an edge are neighbours.
        smallest_mm3: lesions of the reference up to this volume are left out of the means.
        whole_hd95_mm: between both surfaces as a whole, where it is known: a single lesion need not be measured again.
    """
    reach, count = _dilated(lesions.wanted > 0, dilation)
    touched = _shared(lesions.predicted, len(lesions.predicted_voxels), reach, count)[1:, 1:] > 0
    members = _shared(lesions.wanted, len(lesions.wanted_voxels), reach, count)[1:, 1:] > 0
    dice, hd95 = [], []
    for of_prediction, of_reference in zip(touched.T, members.T, strict=True):
        ours, theirs = np.flatnonzero(of_prediction) + 1, np.flatnonzero(of_reference) + 1
        wanted_voxels = int(lesions.wanted_voxels[theirs - 1].sum())
        if wanted_voxels * voxel_mm3 <= smallest_mm3:
            continue
        both = int(lesions.shared[np.ix_(ours, theirs)].sum())
        dice.append(2 * both / (wanted_voxels + int(lesions.predicted_voxels[ours - 1].sum())))
        one, other = predicted.of(ours), wanted.of(theirs)
        known = whole_hd95_mm if one is predicted and other is wanted else None
        hd95.append(_hd95(one, other) if known is None or math.isnan(known) else known)
    false = int((~touched.any(axis=1)).sum())
    counted = len(dice) + false
    return {
        "lesionwise_dice": ratio(sum(dice), counted, 1.0),
        "lesionwise_hd95_mm": ratio(sum(hd95) + false * PENALTY_MM, counted, 0.0),
    }


def _hd95(one: Surface, other: Surface) -> float:
    if not (len(one.corners) and len(other.corners)):
        return PENALTY_MM
    return max(distances.percentile(95) for distances in distances_between(one, other))


def _shared(one: NDArray[np.int32], rows: int, other: NDArray[np.int32], columns: int) -> Counts:
    """Voxels that have number i in one array and j in the other: [rows + 1, columns + 1]."""
    pairs = np.flatnonzero((one > 0) | (other > 0))
    codes = one.ravel()[pairs].astype(np.int64) * (columns + 1) + other.ravel()[pairs]
    return np.bincount(codes, minlength=(rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)


def _dilated(mask: Mask, steps: int) -> tuple[NDArray[np.int32], int]:
    """The components of a dilated mask, numbered."""
    if not steps:
        return label_components(mask)
    neighbours = ndimage.generate_binary_structure(3, 2)
    return label_components(ndimage.binary_dilation(mask, structure=neighbours, iterations=steps))
