"""How far two masks' volumes lie from each other."""

from __future__ import annotations

import math

import numpy as np

from vmseg_auto.evaluation.metrics.metric import Better, Metric
from vmseg_auto.evaluation.metrics.overlap import ratio
from vmseg_auto.evaluation.metrics.pair import MaskPair

_NAMES = (
    "reference_ml", "prediction_ml", "volume_error_ml", "volume_error_abs_ml",
    "volume_error_percent", "volume_error_abs_percent",
)  # fmt: skip


def volume_scores(pair: MaskPair) -> dict[str, float]:
    """Return volumes in mL and their difference in mL and %, with and without sign; NaN where the reference is
    annotated in part, which tells no volume.

    Example:
        >>> prediction, reference = np.array([[[True, True, True]]]), np.array([[[False, True, True]]])
        >>> volume_scores(MaskPair.of(prediction, reference, (5.0, 10.0, 10.0)))["volume_error_percent"]
        50.0
    """
    voxel_ml = pair.voxel_mm3 / 1000
    predicted, wanted = int(np.count_nonzero(pair.prediction)), int(np.count_nonzero(pair.reference))
    error = predicted - wanted
    if pair.ignored is not None:
        return dict.fromkeys(_NAMES, math.nan)
    percent = ratio(100 * error, wanted, 0.0 if error == 0 else float("nan"))
    in_ml = wanted * voxel_ml, predicted * voxel_ml, error * voxel_ml, abs(error) * voxel_ml
    return dict(zip(_NAMES, (*in_ml, percent, abs(percent)), strict=True))


def _amount(
    name: str, title: str, definition: str, better: Better, low: float = 0.0, on_screen: bool = False
) -> Metric:
    return Metric(
        name,
        title,
        definition,
        lambda pair: pair.once(volume_scores)[name],
        "Volumes",
        "%" if name.endswith("_percent") else "mL",
        better,
        low,
        math.inf,
        may_lack=True,
        digits=2,
        on_screen=on_screen,
    )


METRICS = (
    _amount("reference_ml", "Reference volume (mL)", "voxels of the reference times the voxel's volume", ""),
    _amount("prediction_ml", "Predicted volume (mL)", "voxels of the prediction times the voxel's volume", ""),
    _amount(
        "volume_error_ml",
        "Volume error (mL)",
        "predicted minus reference volume",
        "nearer to 0",
        -math.inf,
        on_screen=True,
    ),
    _amount("volume_error_abs_ml", "Volume error, absolute (mL)", "its size without sign", "lower", on_screen=True),
    _amount(
        "volume_error_percent",
        "Volume error (%)",
        "predicted minus reference volume, in % of the reference",
        "nearer to 0",
        -100.0,
    ),
    _amount(
        "volume_error_abs_percent",
        "Volume error, absolute (%)",
        "its size without sign, so that too large and too small don't cancel out",
        "lower",
        on_screen=True,
    ),
)
