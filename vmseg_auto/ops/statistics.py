"""Means and medians of scores, with intervals by bootstrap over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 12345
LEVEL = 95.0
"""Per cent of the resampled means that an interval holds."""
FEWEST_PATIENTS = 5
"""From which an interval is told: resampled means of fewer are those few again, and promise more than they know."""
INTERVAL = (
    f"{LEVEL:g} % of the means of {RESAMPLES} bootstrap samples of patients (percentiles, seed {SEED}), from "
    f"{FEWEST_PATIENTS} patients on"
)
"""What an interval is, in words."""
ALL_LABELS = "all labels"
"""Name of the mean over labels, where there are several."""


@dataclass(frozen=True)
class Summary:
    """What one score comes to over cases. All values are NaN where no case has the score.

    Args:
        mean, median: over the cases that have it.
        low_95, high_95: interval of the mean; NaN with fewer than FEWEST_PATIENTS patients.
        n, n_missing: cases that have it and that lack it.
    """

    mean: float
    median: float
    low_95: float
    high_95: float
    n: int
    n_missing: int


def summarise(values: NDArray[np.float64], patients: Sequence[str]) -> Summary:
    """Sum one score up.

    Whole patients are drawn with replacement, as the cases of one patient resemble each other: cases would make the
    interval too narrow. The draws are seeded: the same scores give the same interval.

    Args:
        values: one a case; NaN where it is missing.
        patients: of each case.
    """
    there = np.isfinite(values)
    count = int(there.sum())
    nan = float("nan")
    if count == 0:
        return Summary(nan, nan, nan, nan, 0, len(values))
    low, high = _interval(values[there], np.array(patients)[there])
    mean, median = float(values[there].mean()), float(np.median(values[there]))
    return Summary(mean, median, low, high, count, len(values) - count)


def without_interval(patients: int) -> list[str]:
    """The sentence that says why no interval is told of so many patients; none where one is."""
    if patients >= FEWEST_PATIENTS:
        return []
    return [f"No interval is told: it takes {FEWEST_PATIENTS} patients, and here are {patients}."]


def summarise_table(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Sum up each metric of each label.

    Args:
        table: a row a case and label, with columns case, patient, label and the metrics.
        metrics: columns to sum up.

    Returns:
        A row a label and metric: label, metric, then the fields of Summary. With several labels ALL_LABELS stands
        last: of each case, the mean over the labels that have the score.
    """
    names = list(metrics)
    groups = [(str(label), rows) for label, rows in table.groupby("label", sort=False)]
    if len(groups) > 1:
        groups.append((ALL_LABELS, table.groupby(["case", "patient"], sort=False)[names].mean().reset_index()))
    return pd.DataFrame(
        {"label": label, "metric": name, **asdict(summarise(rows[name].to_numpy(float), list(rows["patient"])))}
        for label, rows in groups
        for name in names
    )


def _interval(values: NDArray[np.float64], patients: NDArray[np.str_]) -> tuple[float, float]:
    names, owner = np.unique(patients, return_inverse=True)
    if len(names) < FEWEST_PATIENTS:
        return float("nan"), float("nan")
    totals, counts = np.bincount(owner, weights=values), np.bincount(owner)
    drawn = np.random.default_rng(SEED).integers(0, len(names), (RESAMPLES, len(names)))
    means = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)
