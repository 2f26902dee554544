"""What each column of metrics.csv means. docs/metrics.md tells more of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

PENALTY_MM = 374.0
"""What a distance counts where one mask is empty: as in BraTS 2023, the diagonal of its images."""
TOLERANCE_MM = 1.0
"""Of the NSD, unless another is asked for."""

_SURFACES = (
    "vmseg_auto (evaluation/surfaces.py: smoothed triangles by skimage.measure.marching_cubes; scipy.spatial.KDTree)"
)
_LESIONS = "vmseg_auto, components by scipy.ndimage.label, 26 neighbours"
_MATCHED = f"{_LESIONS}; matched one to one where IoU is above 0.5"
_BRATS = f"{_LESIONS}; rules of BraTS 2023, dilation by 1 voxel, no smallest lesion"


@dataclass(frozen=True)
class Metric:
    """What a column of the table means.

    Args:
        name: the column.
        title: as people read it, with the unit.
        definition: in words.
        computed_by: the implementation.
        low, high: ends of what is possible.
        may_lack: whether some masks have no value.
        digits: after the point, where people read it.
        on_screen: whether the commands show it; all are in the files and in the report.
    """

    name: str
    title: str
    definition: str
    computed_by: str = "vmseg_auto, numpy"
    low: float = 0.0
    high: float = 1.0
    may_lack: bool = False
    digits: int = 3
    on_screen: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high


def _distance(name: str, title: str, definition: str, may_lack: bool = True, on_screen: bool = False) -> Metric:
    return Metric(name, title, definition, _SURFACES, 0.0, math.inf, may_lack, 2, on_screen)


def _amount(name: str, title: str, definition: str, low: float = 0.0, on_screen: bool = False) -> Metric:
    return Metric(name, title, definition, low=low, high=math.inf, digits=2, on_screen=on_screen)


def _percent(name: str, title: str, definition: str, low: float, on_screen: bool = False) -> Metric:
    return Metric(name, title, definition, low=low, high=math.inf, may_lack=True, digits=2, on_screen=on_screen)


def _lesions(name: str, title: str, definition: str, on_screen: bool = False) -> Metric:
    return Metric(name, title, definition, _LESIONS, 0.0, math.inf, digits=2, on_screen=on_screen)


METRICS: tuple[Metric, ...] = (
    Metric("dice", "Dice", "2 TP / (2 TP + FP + FN), in voxels", on_screen=True),
    Metric("iou", "IoU", "TP / (TP + FP + FN), in voxels (Jaccard index)"),
    Metric("precision", "Precision", "TP / (TP + FP), in voxels", on_screen=True),
    Metric("recall", "Recall (sensitivity)", "TP / (TP + FN), in voxels", on_screen=True),
    Metric("specificity", "Specificity", "TN / (TN + FP), in voxels of the whole image"),
    Metric(
        "nsd",
        "NSD",
        "share of both surfaces, by area, that lies within the tolerance of the other one",
        _SURFACES,
        on_screen=True,
    ),
    _distance("hd_mm", "HD (mm)", "the largest distance from one surface to the other; the larger of both directions"),
    _distance(
        "hd95_mm",
        "HD95 (mm)",
        "the distance within which 95 % of a surface's area lies of the other one; the larger of both directions",
        on_screen=True,
    ),
    _distance("assd_mm", "ASSD (mm)", "mean distance to the other surface over the area of both surfaces together"),
    _distance("masd_mm", "MASD (mm)", "mean of the two directions' mean distances to the other surface"),
    _distance(
        "hd95_penalised_mm",
        "HD95, missed as 374 mm (mm)",
        f"HD95; {PENALTY_MM:g} mm where one mask alone is empty, so that a missed lesion makes the mean worse",
        may_lack=False,
        on_screen=True,
    ),
    _distance(
        "assd_penalised_mm",
        "ASSD, missed as 374 mm (mm)",
        f"ASSD; {PENALTY_MM:g} mm where one mask alone is empty",
        may_lack=False,
    ),
    _amount("reference_ml", "Reference volume (mL)", "voxels of the reference times the voxel's volume"),
    _amount("prediction_ml", "Predicted volume (mL)", "voxels of the prediction times the voxel's volume"),
    _amount("volume_error_ml", "Volume error (mL)", "predicted minus reference volume", -math.inf, on_screen=True),
    _amount("volume_error_abs_ml", "Volume error, absolute (mL)", "its size without sign", on_screen=True),
    _percent(
        "volume_error_percent", "Volume error (%)", "predicted minus reference volume, in % of the reference", -100.0
    ),
    _percent(
        "volume_error_abs_percent",
        "Volume error, absolute (%)",
        "its size without sign, so that too large and too small don't cancel out",
        0.0,
        on_screen=True,
    ),
    Metric(
        "lesion_precision",
        "Lesion precision",
        "share of the predicted components that overlap the reference by at least one voxel",
        _LESIONS,
    ),
    Metric(
        "lesion_recall",
        "Lesion recall",
        "share of the reference's components that overlap the prediction by at least one voxel",
        _LESIONS,
    ),
    Metric("lesion_f1", "Lesion F1", "harmonic mean of lesion precision and recall; 0 where both are 0", _LESIONS),
    _lesions("reference_lesions", "Lesions (per scan)", "components of the reference", on_screen=True),
    _lesions(
        "lesions_found",
        "Lesions found (per scan)",
        "components of the reference that overlap the prediction by at least one voxel",
        on_screen=True,
    ),
    _lesions("lesions_missed", "Lesions missed (per scan)", "components of the reference without such an overlap"),
    _lesions("lesions_missed_ml", "Lesions missed (mL)", "volume of the lesions missed"),
    _lesions(
        "false_positive_lesions",
        "False-positive lesions (per scan)",
        "predicted components that overlap the reference by no voxel",
        on_screen=True,
    ),
    _lesions("false_positive_lesions_ml", "False-positive lesions (mL)", "volume of the false-positive lesions"),
    Metric(
        "recognition_quality",
        "RQ, F1 at IoU > 0.5",
        "2 TP / (2 TP + FP + FN), in lesions: TP are pairs of components with an IoU above 0.5",
        _MATCHED,
    ),
    Metric("segmentation_quality", "SQ", "mean IoU of these pairs", _MATCHED, may_lack=True),
    Metric(
        "panoptic_quality",
        "PQ",
        "sum of the IoU of these pairs / (TP + FP / 2 + FN / 2) = SQ x RQ",
        _MATCHED,
        on_screen=True,
    ),
    Metric(
        "lesionwise_dice",
        "Lesion-wise Dice (BraTS)",
        "mean over the reference's lesions and the false-positive ones, which count 0",
        _BRATS,
        on_screen=True,
    ),
    Metric(
        "lesionwise_hd95_mm",
        "Lesion-wise HD95 (BraTS; mm)",
        f"mean over the reference's lesions and the false-positive ones; missed and false ones count {PENALTY_MM:g} mm",
        f"{_BRATS}; {_SURFACES}",
        high=math.inf,
        digits=2,
    ),
)
EMPTY_MASKS = (
    "Both masks empty: overlap, NSD and lesion scores are 1, distances, errors and counts 0; SQ, which then has no "
    f"pair, is missing. One empty: overlap, NSD and lesion scores are 0; distances are missing, or {PENALTY_MM:g} mm "
    "where they are penalised; the relative volume error of an empty reference is missing. Missing values are left out "
    "of means, and counted."
)
