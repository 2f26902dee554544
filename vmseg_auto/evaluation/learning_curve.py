"""Fit a saturating curve to scores of trainings on growing cohorts, and find which curves the scores do not rule out.

The inverse power law Dice(n) = a - b n^-c is the usual model of such curves (Figueroa et al., BMC Med Inform Decis Mak
2012, 12:8). An interval holds what all curves say that lie near enough to the scores (a profile of the sum of squares;
Bates and Watts, Nonlinear Regression Analysis, 1988, chapter 6): a resampled fit would take its own luck for knowledge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from vmseg_auto.evaluation.learning_curve_record import FURTHEST, Interval, Point, Wanted, whole_patients
from vmseg_auto.utils.statistics import FEWEST_PATIENTS, quantile

FEWEST_TESTED = 10
"""Validation patients from which the curve gets an interval."""

Array = NDArray[np.float64]

_EXPONENTS = np.linspace(0.01, 2, 200)
_SLOPES = 31
"""Curves tried for each exponent, twice: the highest and the lowest of each slope."""


@dataclass(frozen=True)
class Curves:
    """Curves a - b (n / smallest)^-c: the best first, then those at the rim of what the scores do not rule out.

    Args:
        sizes: patients trained on, ascending [S].
        measured: mean Dice at each size, with its interval.
        a, b, c: of each curve [1 + others]; a <= 1, b >= 0, 0 < c <= 2.
        reason: why there is no curve but the best, and so no interval; empty where there are.
    """

    sizes: Array
    measured: tuple[Point, ...]
    a: Array
    b: Array
    c: Array
    reason: str

    @property
    def smallest(self) -> float:
        return float(self.sizes[0])

    def dice(self, patients: Array) -> Array:
        """Return the Dice [1 + others, N] of N numbers of patients, each at least the smallest size."""
        steps = (patients / self.smallest) ** -self.c[:, None]
        return np.maximum(self.a[:, None] - self.b[:, None] * steps, 0.0)

    def patients_for(self, dice: float) -> Array:
        """Return the patients [1 + others] that a Dice takes: the smallest size at least, infinity if never reached."""
        room = self.a - dice
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = (self.b / room) ** (1 / self.c)
        return self.smallest * np.where(room > 0, np.maximum(ratio, 1.0), np.inf)

    def shape(self) -> tuple[float, float]:
        """Return b and c of the best curve, as in a - b n^-c."""
        return float(self.b[0] * self.smallest ** self.c[0]), float(self.c[0])

    def forecast(self, patients: int) -> Point:
        return Point(patients, _interval(self.dice(np.array([patients], dtype=float))[:, 0]))

    def plateau(self) -> Interval:
        return _interval(self.a)

    def band(self, patients: Array) -> Array:
        """Return the best curve and the lower and upper end of its interval [3, N]; all alike where there is none."""
        values = self.dice(patients)
        return np.stack([values[0], values.min(axis=0), values.max(axis=0)])

    def wanted(self, dice: float, cohort: int) -> Wanted:
        """Return how many patients that Dice takes, and an interval; None is more than FURTHEST times the cohort."""
        limit = FURTHEST * cohort
        counts = self.patients_for(dice)
        count, least, most = (whole_patients(float(n), limit) for n in (counts[0], counts.min(), counts.max()))
        return Wanted(dice, count, None, None) if self.reason else Wanted(dice, count, least, most)


def fit_curves(sizes: Sequence[int], folds: Sequence[Array]) -> Curves:
    """Fit the curve by least squares to the mean Dice over patients, and find the curves that lie near enough to it.

    Args:
        sizes: patients trained on, ascending, at least 3.
        folds: for each fold the Dice [patients, sizes] of its validation patients.

    Example:
        >>> curves = fit_curves([10, 20, 40], [np.full((5, 3), [0.60, 0.68, 0.73])])
        >>> round(curves.forecast(80).dice.value, 2), curves.wanted(0.75, cohort=40).patients
        (0.76, 61)
    """
    scores = np.concatenate(list(folds))
    means, counts = scores.mean(axis=0), np.array(sizes, dtype=float)
    best = _best(counts, means)
    scatter = _Scatter.of(folds, means - _dice(counts, best))
    reason = why_no_interval(len(scores), len(folds), len(sizes))
    others = np.empty((3, 0)) if reason else _not_ruled_out(counts, means, best, scatter)
    a, b, c = np.concatenate([np.array(best)[:, None], others], axis=1)
    return Curves(counts, _measured(sizes, means, len(scores), scatter), a, b, c, reason)


def why_no_interval(patients: int, folds: int, sizes: int) -> str:
    """Return in words why the curve has no interval; empty where it has.

    Example:
        >>> why_no_interval(patients=6, folds=2, sizes=4)
        'it takes 10 validation patients, and here are 6'
    """
    if patients < FEWEST_TESTED:
        return f"it takes {FEWEST_TESTED} validation patients, and here are {patients}"
    if folds == 1 and sizes == 3:
        return (
            "one training a size does not tell how much of its Dice is luck; a second fold, or a fourth size, tells it"
        )
    return ""


@dataclass(frozen=True)
class _Scatter:
    """How far the mean Dice of all validation patients may lie from that of all patients and all trainings.

    Args:
        shift, shift_freedom: variance of what is common to all sizes (which patients are validation patients, and the
            luck that a fold's trainings share), and its degrees of freedom.
        single, single_freedom: variance of what each size has alone (how patients take it, and the luck of its
            trainings), and its degrees of freedom.
    """

    shift: float
    shift_freedom: float
    single: float
    single_freedom: float

    @classmethod
    def of(cls, folds: Sequence[Array], residuals: Array) -> _Scatter:
        """Compute it by analysis of variance.

        What comes from folds and residuals holds the luck of training, what comes from patients does not; the larger
        counts. Luck that the sizes of a fold share is taken to be as large as that of each.

        Args:
            folds: for each fold the Dice [patients, sizes].
            residuals: of the mean Dice from the best curve [sizes].
        """
        sizes, number, count = len(residuals), len(folds), sum(map(len, folds))
        own = np.stack([fold.mean(axis=0) for fold in folds])
        weight = np.array([len(fold) for fold in folds]) / count
        levels, level = own.mean(axis=1), float(weight @ own.mean(axis=1))
        apart = own - levels[:, None] - weight @ own + level
        alike = folds if count > number else [np.concatenate(list(folds))]
        left = count - len(alike)
        between = [fold.mean(axis=1) - fold.mean() for fold in alike]
        inside = [fold - fold.mean(axis=0) - fold.mean(axis=1)[:, None] + fold.mean() for fold in alike]
        patients = sum(float((one**2).sum()) for one in between) / left / count
        taking = sum(float((one**2).sum()) for one in inside) / (left * (sizes - 1)) / count
        seen_freedom = (number - 1) * (sizes - 1) + max(sizes - 3, 0)
        seen = float((weight[:, None] * apart**2).sum() + (residuals**2).sum()) / max(seen_freedom, 1)
        seen *= seen_freedom / float(chdtri(max(seen_freedom, 1), 0.5))  # else it is too small in most cases
        luck = max(seen - taking, 0.0) if seen_freedom else 0.0
        shift = patients + luck
        shares = patients**2 / left + luck**2 / max(seen_freedom, 1)
        return cls(
            shift=max(shift, float(weight @ (levels - level) ** 2) / max(number - 1, 1)),
            shift_freedom=shift**2 / shares if shares else float(left),
            single=taking + luck,
            single_freedom=float(seen_freedom if luck else left * (sizes - 1)),
        )


def _measured(sizes: Sequence[int], means: Array, patients: int, scatter: _Scatter) -> tuple[Point, ...]:
    """Return the mean Dice at each size, with its interval by Student's t."""
    single = scatter.single * (1 - 1 / len(sizes))
    shares = scatter.shift**2 / scatter.shift_freedom + single**2 / scatter.single_freedom
    known = patients >= FEWEST_PATIENTS and shares > 0
    half = quantile((scatter.shift + single) ** 2 / shares) * math.sqrt(scatter.shift + single) if known else None
    return tuple(
        Point(size, Interval(mean, *((None, None) if half is None else (max(0.0, mean - half), min(1.0, mean + half)))))
        for size, mean in zip(sizes, means.tolist(), strict=True)
    )


def _not_ruled_out(sizes: Array, means: Array, best: tuple[float, float, float], scatter: _Scatter) -> Array:
    """Return the curves [3, M] at the rim of those whose distance from the scores exceeds the best one's by 1 at most.

    The distance adds up two parts, each in units of its interval: that of the mean over the sizes, and that of the
    sizes from their mean. So for an exponent and a slope the plateau lies between two values, which are the curves.
    """
    shift = max(quantile(scatter.shift_freedom) ** 2 * scatter.shift, 1e-12)
    single = max(quantile(scatter.single_freedom) ** 2 * scatter.single, 1e-12)
    residuals = means - _dice(sizes, best)
    limit = 1 + residuals.mean() ** 2 / shift + ((residuals - residuals.mean()) ** 2).sum() / single
    steps = (sizes / sizes[0]) ** -_EXPONENTS[:, None]
    level = steps.mean(axis=1)
    centred, scores = steps - level[:, None], means - means.mean()
    length = (centred**2).sum(axis=1)
    slope = -(centred @ scores) / length
    least = ((scores + slope[:, None] * centred) ** 2).sum(axis=1) / single
    reach = np.sqrt(np.maximum(limit - least, 0) * single / length)
    possible = (least <= limit) & (slope + reach >= 0)
    low, high = np.maximum(slope - reach, 0), slope + reach
    b = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _SLOPES)
    distance = least[:, None] + (b - slope[:, None]) ** 2 * (length / single)[:, None]
    middle = means.mean() + b * level[:, None]
    room = np.sqrt(np.maximum(limit - distance, 0) * shift)
    ends = np.stack([middle - room, np.minimum(middle + room, 1.0)])
    kept = possible[:, None] & (ends[0] <= 1)
    exponents = np.broadcast_to(_EXPONENTS[:, None], b.shape)[kept]
    return np.concatenate([np.stack([end[kept], b[kept], exponents]) for end in ends], axis=1)


def _dice(sizes: Array, curve: tuple[float, float, float]) -> Array:
    a, b, c = curve
    dice: Array = a - b * (sizes / sizes[0]) ** -c
    return dice


def _best(sizes: Array, means: Array) -> tuple[float, float, float]:
    """Return a, b and c by least squares under a <= 1 and b >= 0.

    For each exponent it is a regression line; where that breaks a bound, the best line lies on it.
    """
    steps = (sizes / sizes[0]) ** -_EXPONENTS[:, None]
    centred = steps - steps.mean(axis=1, keepdims=True)
    slope = -(centred @ means) / (centred**2).sum(axis=1)
    a = np.stack([means.mean() + slope * steps.mean(axis=1), np.full_like(slope, means.mean()), np.ones_like(slope)])
    b = np.stack([slope, np.zeros_like(slope), steps @ (1 - means) / (steps**2).sum(axis=1)])
    errors = ((a[..., None] - b[..., None] * steps - means) ** 2).sum(axis=-1)
    errors[0, (a[0] > 1) | (slope < 0)] = np.inf
    line, exponent = np.unravel_index(errors.argmin(), errors.shape)
    return float(a[line, exponent]), float(b[line, exponent]), float(_EXPONENTS[exponent])


def _interval(values: Array) -> Interval:
    best = float(values[0])
    return Interval(best, float(values.min()), float(values.max())) if len(values) > 1 else Interval(best, None, None)
