"""Agreement of two measurements of the same volumes (Bland and Altman, Lancet 1986;327:307-310).

Each stands as a difference in mL, or as a ratio where errors grow with size (Bland and Altman, Stat Methods Med Res
1999;8:135-160, section 3.2). Pairs of one patient resemble each other, so that spread and degrees of freedom come from
the components of variance between and within patients (Bland and Altman, J Biopharm Stat 2007;17:571-582).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from vmseg_auto.evaluation.conformal import highest
from vmseg_auto.utils.statistics import (
    FEWEST_PATIENTS,
    LEVEL,
    effective_patients,
    jackknife_error,
    quantile,
)

FEWEST_FOR_LIMITS = 20
"""Patients from which the limits get an interval of their own, where errors look normal."""
FEWEST_FOR_NORMAL = 50
"""Pairs from which it can be tested whether errors are normal."""
FEWEST_FOR_ERROR = 10
"""Cases from which a reader's measurement error is computed."""
NINE_IN_TEN = 0.9
_ONE_ALONE = 2.0
"""Difference, as a share of the mean, of two volumes of which one is 0: the largest that there is."""
_DOUBT = 0.2
"""Sum of two rank correlations that is taken for 0; chosen by benchmarks/coverage.py, for limits that hold."""
_NORMAL = 1.96
"""95 % of a normal distribution lie within so many standard deviations."""

Values = NDArray[np.float64]
Ends = tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """How the second measurement differs from the first: by so many mL, or as a ratio to it.

    Args:
        ratio: whether the figures are ratios, second to first, and not differences in mL.
        bias: the mean difference, or the geometric mean of the ratios.
        low, high: limits of agreement: 95 % of new pairs are to be expected between them.
        bias_ends: 95 % interval of the bias.
        low_ends, high_ends: 95 % intervals of the limits that endlessly many pairs would have; None with fewer than
            FEWEST_FOR_LIMITS patients, or where errors do not look normal.
        pairs, patients: that this was computed from.
        empty: pairs left out, as both volumes are 0.
        one_empty: pairs without a ratio, as one volume is 0; left out where the figures are ratios.
    """

    ratio: bool
    bias: float
    low: float
    high: float
    bias_ends: Ends
    low_ends: Ends | None
    high_ends: Ends | None
    pairs: int
    patients: int
    empty: int
    one_empty: int


def agreement(
    first: Sequence[float], second: Sequence[float], patients: Sequence[str], ratio: bool | None = None
) -> Agreement | None:
    """Compare two measurements of each volume; None with fewer than FEWEST_PATIENTS patients.

    The limits are prediction limits: bias -+ t x sqrt(variance of a pair + variance of the bias), where t has one
    degree of freedom less than the variance, for the choice between differences and ratios.

    Args:
        first, second: mL.
        patients: of each pair.
        ratio: whether to give ratios; unless given, where errors grow and enough patients have both volumes.

    Example:
        >>> found = agreement([1, 2, 3, 4, 5, 6], [1.2, 2.1, 3.3, 4.2, 5.1, 6.3], list("abcdef"), ratio=False)
        >>> round(found.bias, 2), round(found.low, 2), round(found.high, 2)
        (0.2, -0.07, 0.47)
    """
    one, two = np.array(first, dtype=float), np.array(second, dtype=float)
    owners = np.array(patients)
    some, both = (one > 0) | (two > 0), (one > 0) & (two > 0)
    if ratio is None:
        ratio = len(np.unique(owners[both])) >= FEWEST_PATIENTS and errors_grow(one[both], two[both])
    used = both if ratio else some
    if len(np.unique(owners[used])) < FEWEST_PATIENTS:
        return None
    values = np.log(two[used] / one[used]) if ratio else two[used] - one[used]
    found = _Spread.of(values, owners[used])
    shown = (lambda value: float(np.exp(value))) if ratio else float
    low, high = found.limits()
    told = found.patients >= FEWEST_FOR_LIMITS and look_normal(values)
    low_ends, high_ends = ((shown(a), shown(b)) for a, b in found.ends_of_limits()) if told else (None, None)
    bias_low, bias_high = found.ends_of_bias()
    return Agreement(
        ratio=ratio,
        bias=shown(found.mean),
        low=shown(low),
        high=shown(high),
        bias_ends=(shown(bias_low), shown(bias_high)),
        low_ends=low_ends,
        high_ends=high_ends,
        pairs=int(used.sum()),
        patients=found.patients,
        empty=int((~some).sum()),
        one_empty=int((some & ~both).sum()),
    )


def errors_grow(first: Values, second: Values) -> bool:
    """Return whether errors are alike as ratios rather than as mL.

    Spearman's correlation with the mean volume is above 0 for |difference| where errors grow, and below 0 for |log
    ratio| where they do not. The sum of both decides; a sum near 0 speaks for ratios, as errors of volumes mostly
    grow.

    Args:
        first, second: mL, all above 0.
    """
    if len(first) < 3:
        return False
    mean = first + second
    return _rank_correlation(np.abs(second - first), mean) + _rank_correlation(np.abs(np.log(second / first)), mean) > (
        -_DOUBT
    )


def _rank_correlation(first: Values, second: Values) -> float:
    """Return Spearman's correlation; 0 where all values of one are the same."""
    one, two = _ranks(first), _ranks(second)
    length = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / length if length else 0.0


def _ranks(values: Values) -> Values:
    """Return the ranks less their mean; equal values have the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    centred: Values = ranks - ranks.mean()
    return centred


def look_normal(values: Values) -> bool:
    """Return whether values look normal.

    Skewness and kurtosis must lie within two standard errors of a normal distribution's, of FEWEST_FOR_NORMAL values at
    least. Lighter tails do no harm.

    Example:
        >>> look_normal(np.linspace(-1, 1, 60)), look_normal(np.exp(np.linspace(-3, 3, 60)))
        (True, False)
    """
    if len(values) < FEWEST_FOR_NORMAL or not values.std():
        return False
    units = (values - values.mean()) / values.std()
    skewness, excess = float((units**3).mean()), float((units**4).mean()) - 3
    return abs(skewness) < 2 * math.sqrt(6 / len(values)) and excess < 2 * math.sqrt(24 / len(values))


def reading_error(first: Sequence[float], second: Sequence[float], patients: Sequence[str]) -> float | None:
    """Return the per cent of the true volume by which nine volumes in ten of one reader are off at most.

    It comes from the volumes of two readers.

    The difference of two readers, as a share of the mean of both volumes, holds the errors of both, so that each has
    its square root of two's share. The bound is that of evaluation/conformal.py: each patient weighs the same, and of n
    independent ones it is the one of rank ceil(0.9 (n + 1)).

    Args:
        first, second: mL of either reader. Scans in which neither outlined anything are left out; those in which one
            did count as worse than all others.
        patients: of each scan.

    Returns:
        None with fewer than FEWEST_FOR_ERROR cases or FEWEST_PATIENTS patients, where the scans of few patients are so
        alike that they give no bound, or where it is of a scan in which one reader alone outlined something.
    """
    one, two = np.array(first, dtype=float), np.array(second, dtype=float)
    some = (one > 0) | (two > 0)
    owners, apart = np.array(patients)[some].tolist(), 2 * np.abs(two - one)[some] / (one + two)[some]
    if len(apart) < FEWEST_FOR_ERROR or len(set(owners)) < FEWEST_PATIENTS:
        return None
    bound = highest(apart, owners, NINE_IN_TEN)
    return None if bound is None or bound >= _ONE_ALONE else 100 * bound / math.sqrt(2)


@dataclass(frozen=True)
class _Spread:
    """A mean, and how far single values lie from it.

    Args:
        mean: of all values.
        variance: of a value of a new patient.
        freedom: degrees of freedom of the variance (Satterthwaite, Biometrics Bulletin 1946;2:110-114).
        error: standard error of the mean.
        patients: how many.
        worth: how many with equally many values would be worth as much.
    """

    mean: float
    variance: float
    freedom: float
    error: float
    patients: int
    worth: float

    @classmethod
    def of(cls, values: Values, owners: NDArray[np.str_]) -> _Spread:
        names, owner, counts = np.unique(owners, return_inverse=True, return_counts=True)
        totals = np.bincount(owner, weights=values).astype(np.float64)
        means, count = totals / counts, len(values)
        between = float((counts * (means - values.mean()) ** 2).sum()) / (len(names) - 1)
        alike = (count - (counts**2).sum() / count) / (len(names) - 1)
        within = float(((values - means[owner]) ** 2).sum()) / (count - len(names)) if count > len(names) else 0.0
        if between > within:
            shares = between / alike, (1 - 1 / alike) * within
            squares = shares[0] ** 2 / (len(names) - 1) + shares[1] ** 2 / max(count - len(names), 1)
            variance, freedom = sum(shares), sum(shares) ** 2 / squares
        else:
            variance, freedom = within, float(count - len(names)) if within else float(len(names) - 1)
        error = jackknife_error(totals, counts)
        return cls(float(values.mean()), variance, freedom, error, len(names), effective_patients(counts))

    def limits(self) -> Ends:
        half = quantile(max(self.freedom - 1, 1.0)) * math.sqrt(self.variance + self.error**2)
        return self.mean - half, self.mean + half

    def ends_of_bias(self) -> Ends:
        half = quantile(self.worth - 1) * self.error
        return self.mean - half, self.mean + half

    def ends_of_limits(self) -> tuple[Ends, Ends]:
        """Return those of mean -+ 1.96 standard deviations, from the intervals of both.

        After Zou, Stat Methods Med Res 2013;22:630.
        """
        deviation, bias = math.sqrt(self.variance), self.ends_of_bias()[1] - self.mean
        least, most = (
            deviation * math.sqrt(self.freedom / chdtri(self.freedom, p)) for p in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
        )
        inward = math.hypot(bias, _NORMAL * (deviation - least))
        outward = math.hypot(bias, _NORMAL * (most - deviation))
        low, high = self.mean - _NORMAL * deviation, self.mean + _NORMAL * deviation
        return (low - outward, low + inward), (high - inward, high + outward)
