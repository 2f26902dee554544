"""How far lesions are found, and how well: a lesion is a component."""

from __future__ import annotations

import math

import numpy as np

from vmseg_auto.evaluation.lesion_matching import Lesions, dilated, shared_voxels
from vmseg_auto.evaluation.metrics.distances import distance_scores
from vmseg_auto.evaluation.metrics.metric import LESIONS, PENALTY_MM, SURFACES, Better, Metric, Unit
from vmseg_auto.evaluation.metrics.overlap import ratio
from vmseg_auto.evaluation.metrics.pair import MaskPair
from vmseg_auto.evaluation.surface_distances import distances_between
from vmseg_auto.evaluation.surfaces import Surface

MATCHED_IOU = 0.5
"""Above it no lesion can have two partners, so that pairs need no search."""
_MATCHED = f"{LESIONS}; matched one to one where IoU is above {MATCHED_IOU:g}"
_BRATS = f"{LESIONS}; rules of BraTS 2023, dilation by 1 voxel, no smallest lesion"


def overlapping_lesions(lesions: Lesions, voxel_ml: float) -> dict[str, float]:
    """Return lesions found, missed and false, where one voxel in common is enough; numbers, mL and shares.

    Example:
        >>> lesions = Lesions.of(np.array([[[True, False, True]]]), np.array([[[False, False, True]]]))
        >>> found = overlapping_lesions(lesions, voxel_ml=0.5)
        >>> found["lesion_recall"], found["false_positive_lesions"], found["false_positive_lesions_ml"]
        (1.0, 1.0, 0.5)
    """
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
    """Return RQ, SQ and PQ of pairs with an IoU above 0.5 (Kirillov et al., CVPR 2019:9404)."""
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
    """Return lesion-wise Dice and HD95 by the rules of BraTS 2023.

    As Saluja et al. (github.com/rachitsaluja/BraTS-2023-Metrics). Lesions of the reference that touch
    once dilated are one. All predicted components that touch a dilated lesion are its prediction. A lesion without one
    counts 0 and PENALTY_MM, and so does a predicted component that is no lesion's.

    Args:
        lesions: of both masks.
        predicted, wanted: the surfaces of both masks.
        voxel_mm3: volume of a voxel.
        dilation: steps; voxels that share a face or an edge are neighbours.
        smallest_mm3: lesions of the reference up to this volume are left out of the means.
        whole_hd95_mm: between both surfaces as a whole, where it is known: a single lesion need not be measured again.
    """
    reach, count = dilated(lesions.wanted > 0, dilation)
    touched = shared_voxels(lesions.predicted, len(lesions.predicted_voxels), reach, count)[1:, 1:] > 0
    members = shared_voxels(lesions.wanted, len(lesions.wanted_voxels), reach, count)[1:, 1:] > 0
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


def _overlapping(pair: MaskPair) -> dict[str, float]:
    return overlapping_lesions(pair.lesions, pair.voxel_mm3 / 1000)


def _paired(pair: MaskPair) -> dict[str, float]:
    return panoptic_quality(pair.lesions)


def _lesionwise(pair: MaskPair) -> dict[str, float]:
    return lesionwise(pair.lesions, *pair.surfaces, whole_hd95_mm=pair.once(distance_scores)["hd95_mm"])


def _found(name: str, title: str, definition: str) -> Metric:
    return Metric(name, title, definition, lambda pair: pair.once(_overlapping)[name], "Lesions", computed_by=LESIONS)


def _number(
    name: str, title: str, definition: str, better: Better, unit: Unit = "per scan", on_screen: bool = False
) -> Metric:
    return Metric(
        name,
        title,
        definition,
        lambda pair: pair.once(_overlapping)[name],
        "Lesions",
        unit,
        better,
        high=math.inf,
        digits=2,
        computed_by=LESIONS,
        on_screen=on_screen,
    )


def _quality(name: str, title: str, definition: str, may_lack: bool = False, on_screen: bool = False) -> Metric:
    return Metric(
        name,
        title,
        definition,
        lambda pair: pair.once(_paired)[name],
        "Lesions",
        may_lack=may_lack,
        computed_by=_MATCHED,
        on_screen=on_screen,
    )


METRICS = (
    _found(
        "lesion_precision",
        "Lesion precision",
        "share of the predicted components that overlap the reference by at least one voxel",
    ),
    _found(
        "lesion_recall",
        "Lesion recall",
        "share of the reference's components that overlap the prediction by at least one voxel",
    ),
    _found("lesion_f1", "Lesion F1", "harmonic mean of lesion precision and recall; 0 where both are 0"),
    _number("reference_lesions", "Lesions (per scan)", "components of the reference", "", on_screen=True),
    _number(
        "lesions_found",
        "Lesions found (per scan)",
        "components of the reference that overlap the prediction by at least one voxel",
        "higher",
        on_screen=True,
    ),
    _number(
        "lesions_missed",
        "Lesions missed (per scan)",
        "components of the reference without such an overlap",
        "lower",
    ),
    _number("lesions_missed_ml", "Lesions missed (mL)", "volume of the lesions missed", "lower", "mL"),
    _number(
        "false_positive_lesions",
        "False-positive lesions (per scan)",
        "predicted components that overlap the reference by no voxel",
        "lower",
        on_screen=True,
    ),
    _number(
        "false_positive_lesions_ml",
        "False-positive lesions (mL)",
        "volume of the false-positive lesions",
        "lower",
        "mL",
    ),
    _quality(
        "recognition_quality",
        "RQ, F1 at IoU > 0.5",
        "2 TP / (2 TP + FP + FN), in lesions: TP are pairs of components with an IoU above 0.5",
    ),
    _quality("segmentation_quality", "SQ", "mean IoU of these pairs", may_lack=True),
    _quality(
        "panoptic_quality",
        "PQ",
        "sum of the IoU of these pairs / (TP + FP / 2 + FN / 2) = SQ x RQ",
        on_screen=True,
    ),
    Metric(
        "lesionwise_dice",
        "Lesion-wise Dice (BraTS)",
        "mean over the reference's lesions and the false-positive ones, which count 0",
        lambda pair: pair.once(_lesionwise)["lesionwise_dice"],
        "Lesions",
        computed_by=_BRATS,
        on_screen=True,
    ),
    Metric(
        "lesionwise_hd95_mm",
        "Lesion-wise HD95 (BraTS; mm)",
        f"mean over the reference's lesions and the false-positive ones; missed and false ones count {PENALTY_MM:g} mm",
        lambda pair: pair.once(_lesionwise)["lesionwise_hd95_mm"],
        "Lesions",
        "mm",
        "lower",
        high=math.inf,
        digits=2,
        computed_by=f"{_BRATS}; {SURFACES}",
    ),
)
