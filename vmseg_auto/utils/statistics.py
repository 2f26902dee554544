"""Means and medians of scores, with Student's interval over patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from vmseg_auto.utils.text import counted

LEVEL = 0.95
"""Of such intervals, so many hold what they speak of."""
FEWEST_PATIENTS = 5
"""From which an interval is given: of fewer, scores that differ much from the seen ones can't be ruled out."""
FEWEST_FOR_STUDENT = 10
"""From which the interval is Student's; of fewer it is wider."""
INTERVAL = (
    "95 % confidence interval of the mean by Student's t over patients: leaving out each in turn (jackknife) tells the "
    "standard error, as scans of one patient resemble each other. Of fewer than ten patients it has one degree of "
    f"freedom less. It ends where the score does. There is none from fewer than {FEWEST_PATIENTS} patients, or where "
    "all have the same score"
)
"""What an interval is, in words."""
ALL_LABELS = "all labels"
"""Name of the mean over labels, where there are several."""

Values = NDArray[np.float64]
Bounds = tuple[float, float]
UNBOUNDED: Bounds = (-math.inf, math.inf)


@dataclass(frozen=True)
class Summary:
    """What one score comes to over cases. All values are NaN where no case has the score.

    Args:
        mean, median: over the cases that have it.
        low_95, high_95: interval of the mean; NaN where there is none (see `no_interval`).
        n, n_missing: cases that have it and that lack it.
        patients: of the cases that have it.
    """

    mean: float
    median: float
    low_95: float
    high_95: float
    n: int
    n_missing: int
    patients: int


def summarise(values: Values, patients: Sequence[str], bounds: Bounds = UNBOUNDED) -> Summary:
    """Sum one score up.

    Args:
        values: one a case; NaN where it is missing.
        patients: of each case.
        bounds: ends of what the score can be.

    >>> extra_sleep = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    >>> found = summarise(extra_sleep, list("abcdefghij"))
    >>> round(found.mean, 2), round(found.low_95, 2), round(found.high_95, 2)
    (2.33, 0.9, 3.76)
    """
    there = np.isfinite(values)
    count = int(there.sum())
    nan = float("nan")
    if count == 0:
        return Summary(nan, nan, nan, nan, 0, len(values), 0)
    known, owners = values[there], np.array(patients)[there]
    low, high = mean_interval(known, owners.tolist(), bounds)
    middle = float(known.mean()), float(np.median(known))
    return Summary(*middle, low, high, count, len(values) - count, len(np.unique(owners)))


def mean_interval(values: Values, patients: Sequence[str], bounds: Bounds = UNBOUNDED) -> Bounds:
    """Compute the interval of a mean over cases; NaN where there is none.

    With one case a patient it is Student's (Biometrika 1908;6:1). Where patients have unlike numbers of cases, the
    degrees of freedom are those of the number of equal patients that would be worth as much (Kish, Survey Sampling,
    1965). Fewer than FEWEST_FOR_STUDENT have one degree of freedom less, as so few seldom show the rare low scores of
    missed lesions (docs/coverage.md).

    Args:
        values: one a case, all finite.
        patients: of each case.
        bounds: ends of what the score can be.
    """
    names, owner = np.unique(np.array(patients), return_inverse=True)
    if len(names) < FEWEST_PATIENTS:
        return math.nan, math.nan
    totals, counts = np.bincount(owner, weights=values).astype(np.float64), np.bincount(owner)
    error = jackknife_error(totals, counts)
    if error <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return math.nan, math.nan
    freedom = effective_patients(counts) - 1
    if len(names) < FEWEST_FOR_STUDENT:
        freedom = min(freedom, len(names) - 2)
    half = quantile(freedom) * error
    mean = float(values.mean())
    return max(bounds[0], mean - half), min(bounds[1], mean + half)


def jackknife_error(totals: Values, counts: NDArray[np.int64]) -> float:
    """Compute the standard error of a mean over cases, by leaving out each patient in turn.

    Args:
        totals, counts: of each patient's cases, at least two patients.
    """
    without = (totals.sum() - totals) / (counts.sum() - counts)
    return math.sqrt((len(totals) - 1) * float(without.var()))


def effective_patients(counts: NDArray[np.int64]) -> float:
    """Return how many patients with equally many cases would be worth as much; 2 at least.

    >>> round(effective_patients(np.array([1, 1, 1, 5])), 2)
    2.29
    """
    return max(2.0, float(counts.sum() ** 2 / (counts**2).sum()))


def quantile(freedom: float) -> float:
    """Return how many standard errors an interval reaches to either side, by Student's t."""
    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def no_interval(patients: int) -> str:
    """Return what stands in an interval's place where a mean over so many patients has none."""
    return "none: all alike" if patients >= FEWEST_PATIENTS else f"none: {counted(patients, 'patient')}"


def without_interval(patients: int) -> list[str]:
    """Return the sentence that says why so many patients have no interval; empty where they have one."""
    if patients >= FEWEST_PATIENTS:
        return []
    return [f"No interval is given: it takes {FEWEST_PATIENTS} patients, and here are {patients}."]


def summarise_table(table: pd.DataFrame, metrics: Mapping[str, Bounds]) -> pd.DataFrame:
    """Sum up each metric of each label.

    Args:
        table: a row a case and label, with columns case, patient, label and the metrics.
        metrics: columns to sum up -> ends of what each can be.

    Returns:
        A row a label and metric: label, metric, then the fields of Summary. With several labels ALL_LABELS stands
        last: of each case, the mean over the labels that have the score.
    """
    names = list(metrics)
    groups = [(str(label), rows) for label, rows in table.groupby("label", sort=False)]
    if len(groups) > 1:
        groups.append((ALL_LABELS, table.groupby(["case", "patient"], sort=False)[names].mean().reset_index()))
    return pd.DataFrame(
        {"label": label, "metric": name}
        | asdict(summarise(rows[name].to_numpy(float), list(rows["patient"]), metrics[name]))
        for label, rows in groups
        for name in names
    )
