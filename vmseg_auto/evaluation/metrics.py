"""Scores of one predicted mask against its reference, for one label: the columns of core.metrics.METRICS.

Where a mask is empty, core.metrics.EMPTY_MASKS says what is counted. Specificity needs no rule but that it is 1 where
the reference fills the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.lesion_matching import Lesions, lesionwise, overlapping_lesions, panoptic_quality
from vmseg_auto.evaluation.metric_columns import METRICS, PENALTY_MM, TOLERANCE_MM
from vmseg_auto.evaluation.overlap import Mask, overlap, ratio
from vmseg_auto.evaluation.surface_distances import distances_between, largest_distance
from vmseg_auto.evaluation.surfaces import Surface, surface_of
from vmseg_auto.utils.components import mask_box
from vmseg_auto.utils.geometry import Geometry, Spacing

Row = dict[str, Any]


def score(
    prediction: Mask, reference: Mask, spacing_mm: Spacing, tolerance_mm: float = TOLERANCE_MM
) -> dict[str, float]:
    """All METRICS of one prediction, by name.

    Args:
        prediction, reference: bool (Z, Y, X) on the same grid.
        spacing_mm: (Z, Y, X).
        tolerance_mm: of the NSD.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> mask = np.ones((2, 3, 3), dtype=bool)
        >>> score(mask, mask, (5.0, 0.5, 0.5))["assd_mm"]
        0.0
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"a prediction of {prediction.shape} for a reference of {reference.shape}")
    box = mask_box(prediction | reference) or ((0, 1), (0, 1), (0, 1))
    inside = tuple(slice(start, stop) for start, stop in box)
    ours, theirs = prediction[inside], reference[inside]
    surfaces = surface_of(ours, spacing_mm), surface_of(theirs, spacing_mm)
    lesions, voxel_mm3 = Lesions.of(ours, theirs), float(np.prod(spacing_mm))
    apart = surface_scores(*surfaces, tolerance_mm)
    found = {
        **overlap(ours, theirs, prediction.size),
        **apart,
        **volume_scores(ours, theirs, spacing_mm),
        **overlapping_lesions(lesions, voxel_mm3 / 1000),
        **panoptic_quality(lesions),
        **lesionwise(lesions, *surfaces, whole_hd95_mm=apart["hd95_mm"]),
    }
    return {metric.name: found[metric.name] for metric in METRICS}


def score_case(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    tolerance_mm: float = TOLERANCE_MM,
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


def surface_scores(prediction: Surface, reference: Surface, tolerance_mm: float = TOLERANCE_MM) -> dict[str, float]:
    """NSD (Nikolov et al., J Med Internet Res 2021, 23:e26151), and HD, HD95, ASSD and MASD in mm."""
    empty = len(prediction.corners) == 0, len(reference.corners) == 0
    if any(empty):
        missing, penalty = (0.0, 0.0) if all(empty) else (float("nan"), PENALTY_MM)
        known = dict.fromkeys(("hd_mm", "hd95_mm", "assd_mm", "masd_mm"), missing)
        return {"nsd": float(all(empty)), **known, "hd95_penalised_mm": penalty, "assd_penalised_mm": penalty}
    there, back = distances_between(prediction, reference)
    area = there.area + back.area
    hd95, assd = max(there.percentile(95), back.percentile(95)), (there.integral + back.integral) / area
    return {
        "nsd": (there.area_within(tolerance_mm) + back.area_within(tolerance_mm)) / area,
        "hd_mm": max(
            largest_distance(prediction, reference, there.mm[-1]), largest_distance(reference, prediction, back.mm[-1])
        ),
        "hd95_mm": hd95,
        "assd_mm": assd,
        "masd_mm": (there.mean + back.mean) / 2,
        "hd95_penalised_mm": hd95,
        "assd_penalised_mm": assd,
    }


def volume_scores(prediction: Mask, reference: Mask, spacing_mm: Spacing) -> dict[str, float]:
    """Volumes in mL and their difference in mL and %, with and without sign."""
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    predicted, wanted = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    error = predicted - wanted
    percent = ratio(100 * error, wanted, 0.0 if error == 0 else float("nan"))
    return {
        "reference_ml": wanted * voxel_ml,
        "prediction_ml": predicted * voxel_ml,
        "volume_error_ml": error * voxel_ml,
        "volume_error_abs_ml": abs(error) * voxel_ml,
        "volume_error_percent": percent,
        "volume_error_abs_percent": abs(percent),
    }
