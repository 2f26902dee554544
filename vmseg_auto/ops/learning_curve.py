"""Fit a saturating curve to scores of trainings on growing cohorts, with intervals by bootstrap.

The inverse power law Dice(n) = a - b n^-c is the usual model of such curves (Figueroa et al., BMC Med Inform Decis Mak
2012, 12:8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.learning_curve import FURTHEST, Interval, Point, Wanted, whole_patients
from vmseg_auto.ops.statistics import LEVEL, RESAMPLES, SEED

Array = NDArray[np.float64]

_EXPONENTS = np.linspace(0.01, 2, 200)


@dataclass(frozen=True)
class Curves:
    """Curves a - b (n / smallest)^-c: the first through all scores, the others each through one resample.

    Args:
        sizes: patients trained on, ascending [S].
        means: mean Dice at each size [1 + resamples, S].
        a, b, c: of each curve [1 + resamples]; a <= 1, b >= 0, 0 < c <= 2.
    """

    sizes: Array
    means: Array
    a: Array
    b: Array
    c: Array

    @property
    def smallest(self) -> float:
        return float(self.sizes[0])

    def dice(self, patients: Array) -> Array:
        """Dice [1 + resamples, N] of N numbers of patients, each at least the smallest size."""
        steps = (patients / self.smallest) ** -self.c[:, None]
        return np.maximum(self.a[:, None] - self.b[:, None] * steps, 0.0)

    def patients_for(self, dice: float) -> Array:
        """Patients [1 + resamples] that a Dice takes: the smallest size at least, infinity where it is not reached."""
        room = self.a - dice
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = (self.b / room) ** (1 / self.c)
        return self.smallest * np.where(room > 0, np.maximum(ratio, 1.0), np.inf)

    def shape(self) -> tuple[float, float]:
        """b and c of the curve through all scores, as in a - b n^-c."""
        return float(self.b[0] * self.smallest ** self.c[0]), float(self.c[0])

    def measured(self) -> tuple[Point, ...]:
        return tuple(Point(int(n), _interval(self.means[:, i])) for i, n in enumerate(self.sizes))

    def forecast(self, patients: int) -> Point:
        return Point(patients, _interval(self.dice(np.array([patients], dtype=float))[:, 0]))

    def plateau(self) -> Interval:
        return _interval(self.a)

    def band(self, patients: Array) -> Array:
        """The curve and the lower and upper end of its interval [3, N]; none of the three ever falls."""
        values = self.dice(patients)
        return np.stack([values[0], *_percentiles(values[1:])])

    def wanted(self, dice: float, cohort: int) -> Wanted:
        """How many patients that Dice takes; nothing is said of more than FURTHEST times the cohort."""
        limit = FURTHEST * cohort
        counts = np.minimum(self.patients_for(dice), limit + 1)
        low, high = _percentiles(counts[1:])
        count, least, most = (whole_patients(float(n), limit) for n in (counts[0], low, high))
        return Wanted(dice, count, least, most)


def fit_curves(sizes: Sequence[int], folds: Sequence[Array]) -> Curves:
    """Fit the curve by least squares to the mean Dice over patients, and again to each resample.

    Whole patients are drawn with replacement, with their scores at every size, as the sizes were tested on the same
    ones. Where there are several folds, folds are drawn first: their trainings differ, and so the luck of training
    counts too. The draws are seeded.

    Args:
        sizes: patients trained on, ascending, at least 3.
        folds: for each fold the Dice [patients, sizes] of its held-out patients.
    """
    means = np.stack([np.concatenate(list(folds)).mean(axis=0), *_resampled(folds)])
    shares = np.array(sizes, dtype=float) / sizes[0]
    best = np.full(len(means), np.inf)
    a, b, c = (np.zeros(len(means)) for _ in range(3))
    for exponent in _EXPONENTS:
        plateau, drop, error = _fit_for(shares**-exponent, means)
        better = error < best
        best = np.where(better, error, best)
        a, b, c = (np.where(better, new, old) for new, old in ((plateau, a), (drop, b), (exponent, c)))
    return Curves(np.array(sizes, dtype=float), means, a, b, c)


def _fit_for(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Least squares of y = a - b x under a <= 1 and b >= 0, exactly.

    Without the bounds it is a regression line; where that breaks one, the best line lies on a bound.

    Args:
        x: [S], from 1 down.
        y: [M, S].

    Returns:
        a, b and the sum of squares, [M] each.
    """
    centred = x - x.mean()
    slope = -(y @ centred) / (centred @ centred)
    lines = [
        (y.mean(axis=1) + slope * x.mean(), slope),
        (y.mean(axis=1), np.zeros(len(y))),
        (np.ones(len(y)), (1 - y) @ x / (x @ x)),
    ]
    errors = np.stack([((a[:, None] - b[:, None] * x - y) ** 2).sum(axis=1) for a, b in lines])
    errors[0, (lines[0][0] > 1) | (slope < 0)] = np.inf
    chosen = errors.argmin(axis=0)[None]
    a, b = (np.take_along_axis(np.stack(rows), chosen, 0)[0] for rows in zip(*lines, strict=True))
    return a, b, np.take_along_axis(errors, chosen, 0)[0]


def _resampled(folds: Sequence[Array]) -> list[Array]:
    rng = np.random.default_rng(SEED)
    means = []
    for _ in range(RESAMPLES):
        drawn = [folds[i] for i in rng.integers(0, len(folds), len(folds))]
        means.append(np.concatenate([fold[rng.integers(0, len(fold), len(fold))] for fold in drawn]).mean(axis=0))
    return means


def _interval(values: Array) -> Interval:
    low, high = _percentiles(values[1:])
    return Interval(float(values[0]), float(low), float(high))


def _percentiles(values: Array) -> tuple[Array, Array]:
    low, high = np.percentile(values, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)
    return low, high
