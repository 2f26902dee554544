"""Scores of one predicted mask against its reference, for one label.

Where a mask is empty:
- both are: nothing was to be found and nothing was; overlap, surface overlap and lesion scores are 1, distances and
  volume errors 0;
- one is: overlap, surface overlap and lesion scores are 0; distances have no value (NaN), nor has the relative volume
  error of an empty reference. Missing values are left out of means, and counted.
Specificity needs no rule but that it is 1 where the reference fills the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import surface_distance
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import lookup_tables

from vmseg_auto.core.geometry import Geometry, Spacing
from vmseg_auto.ops.components import label_components, mask_box

Mask = NDArray[np.bool_]
Row = dict[str, Any]


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
    """

    name: str
    title: str
    definition: str
    computed_by: str = "vmseg_auto, numpy"
    low: float = 0.0
    high: float = 1.0
    may_lack: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high


_ROUNDING = 1e-5
"""How far apart, as a share, headers in float32 put lengths that are equal."""
_SURFELS = "surface-distance (surface elements weighted by area), distances by scipy.ndimage"
_LESIONS = "vmseg_auto, components by scipy.ndimage.label, 26 neighbours"

METRICS: tuple[Metric, ...] = (
    Metric("dice", "Dice", "2 TP / (2 TP + FP + FN), in voxels"),
    Metric("iou", "IoU", "TP / (TP + FP + FN), in voxels (Jaccard index)"),
    Metric("precision", "Precision", "TP / (TP + FP), in voxels"),
    Metric("recall", "Recall (sensitivity)", "TP / (TP + FN), in voxels"),
    Metric("specificity", "Specificity", "TN / (TN + FP), in voxels of the whole image"),
    Metric("nsd", "NSD", "share of both surfaces, by area, that lies within the tolerance of the other one", _SURFELS),
    Metric(
        "hd95_mm",
        "HD95 (mm)",
        "the distance within which 95 % of a surface's area lies of the other one; the larger of both directions",
        _SURFELS,
        high=math.inf,
        may_lack=True,
    ),
    Metric(
        "assd_mm",
        "ASSD (mm)",
        "mean distance to the other surface over the area of both surfaces",
        _SURFELS,
        high=math.inf,
        may_lack=True,
    ),
    Metric("reference_ml", "Reference volume (mL)", "voxels of the reference times the voxel's volume", high=math.inf),
    Metric(
        "prediction_ml", "Predicted volume (mL)", "voxels of the prediction times the voxel's volume", high=math.inf
    ),
    Metric("volume_error_ml", "Volume error (mL)", "predicted minus reference volume", low=-math.inf, high=math.inf),
    Metric("volume_error_abs_ml", "Volume error, absolute (mL)", "its size without sign", high=math.inf),
    Metric(
        "volume_error_percent",
        "Volume error (%)",
        "predicted minus reference volume, in % of the reference",
        low=-100.0,
        high=math.inf,
        may_lack=True,
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
    Metric(
        "false_positive_lesions",
        "False-positive lesions",
        "predicted components that overlap the reference by no voxel; their mean is that of false positives per scan",
        _LESIONS,
        high=math.inf,
    ),
)
EMPTY_MASKS = (
    "Both masks empty: overlap, NSD and lesion scores are 1, distances and volume errors 0. One empty: overlap, NSD "
    "and lesion scores are 0; distances, and the relative volume error of an empty reference, are missing. Missing "
    "values are left out of means, and counted."
)


def score(prediction: Mask, reference: Mask, spacing_mm: Spacing, tolerance_mm: float = 1.0) -> dict[str, float]:
    """All METRICS of one prediction, by name.

    Args:
        prediction, reference: bool (Z, Y, X) on the same grid.
        spacing_mm: (Z, Y, X).
        tolerance_mm: of the NSD.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"a prediction of {prediction.shape} for a reference of {reference.shape}")
    box = mask_box(prediction | reference)
    if box is None:
        box = ((0, 1), (0, 1), (0, 1))
    inside = tuple(slice(start, stop) for start, stop in box)
    cropped_prediction, cropped_reference = prediction[inside], reference[inside]
    return {
        **overlap(cropped_prediction, cropped_reference, prediction.size),
        **surface_scores(cropped_prediction, cropped_reference, spacing_mm, tolerance_mm),
        **volume_scores(cropped_prediction, cropped_reference, spacing_mm),
        **lesion_scores(cropped_prediction, cropped_reference),
    }


def score_case(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    tolerance_mm: float = 1.0,
) -> list[Row]:
    """Score every label of one case.

    Args:
        prediction, reference: label values (Z, Y, X) on the same grid; other values count as background.
        geometry: the grid.
        labels: label name -> value; background (0) is left out.
        tolerance_mm: of the NSD.

    Returns:
        A row a label: "label", and all METRICS by name.
    """
    return [
        {"label": name, **score(prediction == value, reference == value, geometry.spacing_mm, tolerance_mm)}
        for name, value in labels.items()
        if value != 0
    ]


def overlap(prediction: Mask, reference: Mask, image_voxels: int) -> dict[str, float]:
    """Dice, IoU, precision, recall and specificity.

    Args:
        prediction, reference: (Z, Y, X), at least the part that holds both masks.
        image_voxels: voxels of the whole image, for the specificity.
    """
    both = int(np.count_nonzero(prediction & reference))
    predicted, wanted = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    outside = image_voxels - wanted
    nothing = predicted + wanted == 0
    return {
        "dice": _ratio(2 * both, predicted + wanted, 1.0),
        "iou": _ratio(both, predicted + wanted - both, 1.0),
        "precision": _ratio(both, predicted, float(nothing)),
        "recall": _ratio(both, wanted, float(nothing)),
        "specificity": _ratio(outside - (predicted - both), outside, 1.0),
    }


def mean_dice(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], labels: Mapping[str, int]) -> float:
    """The mean of the foreground labels' Dice.

    Args:
        prediction, reference: label values (Z, Y, X) on the same grid.
        labels: label name -> value; background (0) is left out.
    """
    values = [value for value in labels.values() if value]
    return float(np.mean([overlap(prediction == v, reference == v, prediction.size)["dice"] for v in values]))


def surface_scores(
    prediction: Mask, reference: Mask, spacing_mm: Spacing, tolerance_mm: float = 1.0
) -> dict[str, float]:
    """NSD, HD95 and ASSD (mm), by the package surface-distance.

    A mask's surface is made of the triangles that marching cubes would draw; each counts by its area. The edge of
    the array is a surface too. Source: Nikolov et al., J Med Internet Res 2021, 23:e26151.
    """
    predicted, wanted = bool(prediction.any()), bool(reference.any())
    if not (predicted and wanted):
        nothing = not (predicted or wanted)
        distance = 0.0 if nothing else float("nan")
        return {"nsd": float(nothing), "hd95_mm": distance, "assd_mm": distance}
    distances = surface_distances(prediction, reference, spacing_mm)
    to_prediction, to_reference = distances["distances_gt_to_pred"], distances["distances_pred_to_gt"]
    area_reference, area_prediction = distances["surfel_areas_gt"], distances["surfel_areas_pred"]
    weighted = float((to_prediction * area_reference).sum() + (to_reference * area_prediction).sum())
    within = tolerance_mm * (1 + _ROUNDING)  # a distance equal to the tolerance is within it
    return {
        "nsd": float(surface_distance.compute_surface_dice_at_tolerance(distances, within)),
        "hd95_mm": float(surface_distance.compute_robust_hausdorff(distances, 95)),
        "assd_mm": weighted / float(area_reference.sum() + area_prediction.sum()),
    }


def surface_distances(prediction: Mask, reference: Mask, spacing_mm: Spacing) -> dict[str, NDArray[np.float64]]:
    """What surface_distance.compute_surface_distances gives for two masks that are not empty.

    Version 0.1 of that function calls names that SciPy is about to drop, and sorts in a Python loop; its surface
    elements, and all that it computes from these distances, are used as they are.
    """
    areas_of_code = lookup_tables.create_table_neighbour_code_to_surface_area(spacing_mm)
    codes = [_neighbour_codes(mask) for mask in (reference, prediction)]
    borders = [(code != 0) & (code != 255) for code in codes]
    found: dict[str, NDArray[np.float64]] = {}
    for (name, other), here in zip((("gt", "pred"), ("pred", "gt")), (0, 1), strict=True):
        to_other = ndimage.distance_transform_edt(~borders[1 - here], sampling=spacing_mm)[borders[here]]
        areas = areas_of_code[codes[here][borders[here]]]
        order = np.lexsort((areas, to_other))
        found[f"distances_{name}_to_{other}"] = to_other[order]
        found[f"surfel_areas_{name}"] = areas[order]
    return found


def volume_scores(prediction: Mask, reference: Mask, spacing_mm: Spacing) -> dict[str, float]:
    """Volumes in mL and their difference in mL and %."""
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    predicted, wanted = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    error = predicted - wanted
    return {
        "reference_ml": wanted * voxel_ml,
        "prediction_ml": predicted * voxel_ml,
        "volume_error_ml": error * voxel_ml,
        "volume_error_abs_ml": abs(error) * voxel_ml,
        "volume_error_percent": _ratio(100 * error, wanted, 0.0 if error == 0 else float("nan")),
    }


def lesion_scores(prediction: Mask, reference: Mask) -> dict[str, float]:
    """Lesion-wise precision, recall and F1, and the number of predicted components that are wrong.

    A component counts as hit if one voxel of it lies in the other mask.
    """
    predicted, true = _components_hit(prediction, reference)
    wanted, found = _components_hit(reference, prediction)
    nothing = float(predicted + wanted == 0)
    precision, recall = _ratio(true, predicted, nothing), _ratio(found, wanted, nothing)
    f1 = _ratio(2 * precision * recall, precision + recall, 0.0)
    return {
        "lesion_precision": precision,
        "lesion_recall": recall,
        "lesion_f1": f1,
        "false_positive_lesions": float(predicted - true),
    }


def _components_hit(mask: Mask, other: Mask) -> tuple[int, int]:
    """The number of components, and of those that touch the other mask."""
    numbered, count = label_components(mask)
    return count, int(np.count_nonzero(np.unique(numbered[other & mask])))


def _neighbour_codes(mask: Mask) -> NDArray[np.uint8]:
    """For each corner between voxels, which of the 8 voxels around it belong to the mask, as bits."""
    padded = np.pad(mask, ((0, 1), (0, 1), (0, 1))).astype(np.uint8)
    codes: NDArray[np.uint8] = ndimage.correlate(
        padded, lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL, mode="constant", cval=0
    )
    return codes


def _ratio(part: float, whole: float, otherwise: float) -> float:
    return part / whole if whole else otherwise
