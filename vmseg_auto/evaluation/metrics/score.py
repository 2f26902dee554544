"""All metrics, and the scores of a predicted mask against its reference, for one label.

Where a mask is empty, EMPTY_MASKS says what is counted. Specificity needs no rule but that it is 1 where the reference
fills the whole image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.metrics import distances, lesions, overlap, volumes
from vmseg_auto.evaluation.metrics.metric import PENALTY_MM, TOLERANCE_MM, Metric
from vmseg_auto.evaluation.metrics.overlap import Mask
from vmseg_auto.evaluation.metrics.pair import MaskPair
from vmseg_auto.utils.entry_points import load_entry_as, package_of
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.label_masks import mask_of
from vmseg_auto.utils.labels import IGNORE

ENTRY_POINT = "vmseg_auto.metrics"
EMPTY_MASKS = (
    "Both masks empty: overlap, NSD and lesion scores are 1, distances, errors and counts 0; SQ, which then has no "
    f"pair, is missing. One empty: overlap, NSD and lesion scores are 0; distances are missing, or {PENALTY_MM:g} mm "
    "where they are penalised; the relative volume error of an empty reference is missing. Missing values are left out "
    "of means, and counted. Voxels that nobody has annotated (the label ignore) count in neither mask; where a "
    "reference has such voxels, volumes and their errors are missing."
)
_NOT_METRICS = {"case", "patient", "label"}
"""The other columns of the table."""

Row = dict[str, Any]


@cache
def metrics() -> tuple[Metric, ...]:
    """Return all metrics, in the order of the columns: the project's own, then those of installed packages, by name.

    Raises:
        InputError: an installed one can't be loaded, or has a name that is taken or can't name a column.
    """
    ours = (*overlap.METRICS, *distances.METRICS, *volumes.METRICS, *lesions.METRICS)
    known = {metric.name: metric for metric in ours}
    for entry in sorted(entry_points(group=ENTRY_POINT), key=lambda one: one.name):
        metric = load_entry_as(entry, Metric, "metric", "docs/extending/metric.md")
        if metric.name in known or metric.name in _NOT_METRICS or not re.fullmatch("[a-z][a-z0-9_]*", metric.name):
            problem = (
                f"the metric of {package_of(entry)} is called {metric.name!r}, which is taken or can't name a column"
            )
            raise InputError(problem, remedy="Rename it: small letters, digits and _.")
        known[metric.name] = metric
    return tuple(known.values())


def score(
    prediction: Mask,
    reference: Mask,
    spacing_mm: Spacing,
    tolerance_mm: float = TOLERANCE_MM,
    ignored: Mask | None = None,
) -> dict[str, float]:
    """Return the values of all metrics of one prediction, by name.

    Args:
        prediction, reference: bool (Z, Y, X) on the same grid.
        spacing_mm: (Z, Y, X).
        tolerance_mm: of the NSD.
        ignored: bool (Z, Y, X): voxels that count in neither, as nobody has annotated them.

    Raises:
        ValueError: the shapes differ.
        VmsegError: a metric fails, or gives a value beyond its range.

    Example:
        >>> mask = np.ones((2, 3, 3), dtype=bool)
        >>> score(mask, mask, (5.0, 0.5, 0.5))["assd_mm"]
        0.0
    """
    pair = MaskPair.of(prediction, reference, spacing_mm, tolerance_mm, ignored)
    found = {metric.name: _value(metric, pair) for metric in metrics()}
    for metric in metrics():
        if not metric.may_be(value := found[metric.name]):
            ends = f"{metric.low:g} to {metric.high:g}"
            problem = f"the metric {metric.name} gives {value:g}, which is not in its range ({ends})"
            raise VmsegError(problem, remedy="Mend its function, or state low, high and may_lack as they are.")
    return found


def _value(metric: Metric, pair: MaskPair) -> float:
    try:
        return float(metric.of(pair))
    except MemoryError:
        raise
    except Exception as error:  # what a metric of somebody else's raises is not known
        problem = f"the metric {metric.name} can't be computed ({type(error).__name__}: {error})"
        raise VmsegError(problem, remedy="Mend its function, or remove the package that brings it.") from error


def score_case(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    tolerance_mm: float = TOLERANCE_MM,
) -> list[Row]:
    """Score every label of one case.

    Args:
        prediction, reference: label values (Z, Y, X) on the same grid; other values count as background, but where the
            reference holds IGNORE neither counts.
        geometry: the grid.
        labels: label name -> value; background (0) is left out.
        tolerance_mm: of the NSD.

    Returns:
        A row a label: "label", and the values of all metrics by name.
    """
    ignored = reference == IGNORE
    return [
        {
            "label": name,
            **score(
                mask_of(prediction, labels, name),
                mask_of(reference, labels, name),
                geometry.spacing_mm,
                tolerance_mm,
                ignored,
            ),
        }
        for name, value in labels.items()
        if value != 0
    ]
