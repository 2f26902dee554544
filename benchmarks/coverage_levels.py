"""What is stated with a level, such as 95 %: how to simulate a cohort, and what share of new ones held.

An entry of LEVELS is all that `benchmarks.coverage` needs of a stated level. Its `hold` simulates one cohort from a
generator, for a variant and a number of patients, and returns for each quantity whether the interval held the truth, or
the share of new scans that it held; None where nothing is told of so few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vmseg_auto.evaluation.bland_altman import agreement, reading_error
from vmseg_auto.evaluation.learning_curve import FEWEST_TESTED, fit_curves, why_no_interval
from vmseg_auto.selection.choose import gains_enough
from vmseg_auto.utils.statistics import mean_interval

Array = NDArray[np.float64]
Held = Mapping[str, float | None]

ONE, SEVERAL = "one scan a patient", "several scans a patient"
ERRORS = ("additive", "relative", "growing")
"""Errors of volumes: 1 mL whatever the size; 30 %; 0.3 mL and 20 %, so that neither mL nor ratios are alike."""
NEW = 200
"""New scans on which an interval for single scans is tried."""


@dataclass(frozen=True)
class Level:
    """Something that is stated with a level.

    Args:
        title: what is stated.
        stated: per cent.
        told: in words, how it is simulated, and from when it is told.
        variants: of the cohorts.
        hold: generator, variant, patients -> quantity -> share held.
    """

    title: str
    stated: float
    told: str
    variants: tuple[str, ...]
    hold: Callable[[Generator, str, int], Held]


def within(ends: tuple[float, float], values: Array | float) -> float | None:
    """The share of values between two ends; None where these are not told."""
    if any(math.isnan(end) for end in ends):
        return None
    return float(np.mean((ends[0] <= np.asarray(values)) & (np.asarray(values) <= ends[1])))


def owners(rng: Generator, variant: str, patients: int) -> list[str]:
    """The patient of each scan: one scan each, or 1 to 12 (4 on average)."""
    counts = np.minimum(rng.geometric(0.25, patients), 12) if SEVERAL in variant else np.ones(patients, dtype=int)
    return [f"p{number}" for number, count in enumerate(counts) for _ in range(count)]


def normal(rng: Generator, patients: Sequence[str], share: float) -> Array:
    """Standard normal values of which patients have such a share of the variance in common."""
    _, owner = np.unique(np.array(patients), return_inverse=True)
    common, own = rng.normal(size=owner.max() + 1)[owner], rng.normal(size=len(owner))
    values: Array = math.sqrt(share) * common + math.sqrt(1 - share) * own
    return values


def dice(rng: Generator, patients: Sequence[str], missed: float) -> Array:
    """Dice around 0.7, skewed, some lesions missed wholly; scans of one patient resemble each other."""
    values = 1 / (1 + np.exp(-(1 + 0.9 * normal(rng, patients, 0.8))))
    return np.where(rng.random(len(values)) < missed, 0.0, values)


MISSED = {"none missed": 0.0, "one scan in 20 missed": 0.05}


@cache
def true_dice(missed: float) -> float:
    rng = np.random.default_rng(0)
    return float(dice(rng, [str(number) for number in range(200_000)], missed).mean())


def hold_mean(rng: Generator, variant: str, patients: int) -> Held:
    missed = next(share for words, share in MISSED.items() if words in variant)
    names = owners(rng, variant, patients)
    return {"mean": within(mean_interval(dice(rng, names, missed), names, (0.0, 1.0)), true_dice(missed))}


def hold_gain(rng: Generator, variant: str, patients: int) -> Held:
    """Changes of Dice: mostly small, sometimes large (Student's t with 4 degrees of freedom), of 0.01 on average."""
    names = owners(rng, ONE, patients)
    gains = 0.01 + 0.03 * rng.standard_t(4, patients)
    return {"mean change": within(mean_interval(gains, names, (-1.0, 1.0)), 0.01)}


def hold_rule(rng: Generator, variant: str, patients: int) -> Held:
    return {"counts as a gain": float(gains_enough(0.3 * rng.normal(size=patients)))}


def volumes(rng: Generator, patients: Sequence[str], errors: str) -> tuple[Array, Array]:
    """True volumes, 6 mL at the median (0.7 to 50), and measured ones."""
    true = np.exp(math.log(6) + 1.1 * normal(rng, patients, 0.9))
    return true, measured(rng, true, patients, errors)


def measured(rng: Generator, true: Array, patients: Sequence[str], errors: str) -> Array:
    """By someone, or by a model; half of the variance of the errors is the patient's."""
    error = normal(rng, patients, 0.5)
    if errors == "relative":
        return np.asarray(true * np.exp(0.3 * error))
    spread = 1.0 if errors == "additive" else 0.3 + 0.2 * true
    return np.maximum(true + spread * error, 0.0)


def errors_of(variant: str) -> str:
    return next(errors for errors in ERRORS if errors in variant)


def hold_agreement(rng: Generator, variant: str, patients: int) -> Held:
    names = owners(rng, variant, patients)
    true, told = volumes(rng, names, errors_of(variant))
    found = agreement(list(true), list(told), names)
    if found is None:
        return {"limits of agreement, a new scan": None, "bias": None, "either limit": None}
    true, told = volumes(rng, [str(number) for number in range(NEW)], errors_of(variant))
    new = (told / true)[told > 0] if found.ratio else told - true
    bias, low, high = population(errors_of(variant), found.ratio)
    ends = [pair for pair in (found.low_ends, found.high_ends) if pair]
    limits = [float(within(pair, limit) or 0) for pair, limit in zip(ends, (low, high), strict=False)]
    return {
        "limits of agreement, a new scan": within((found.low, found.high), new),
        "bias": within(found.bias_ends, bias),
        "either limit": float(np.mean(limits)) if limits else None,
    }


@cache
def population(errors: str, ratio: bool) -> tuple[float, float, float]:
    """Bias and limits that endlessly many patients would have."""
    true, told = volumes(np.random.default_rng(0), [str(number) for number in range(200_000)], errors)
    values = np.log(told[told > 0] / true[told > 0]) if ratio else told - true
    ends = values.mean() + values.std() * np.array([0, -1.96, 1.96])
    bias, low, high = (float(np.exp(end) if ratio else end) for end in ends)
    return bias, low, high


def hold_reading(rng: Generator, variant: str, patients: int) -> Held:
    names = owners(rng, variant, patients)
    true, first = volumes(rng, names, errors_of(variant))
    error = reading_error(list(first), list(measured(rng, true, names, errors_of(variant))), names)
    if error is None:
        return {"a reader's volume": None}
    true, told = volumes(rng, [str(number) for number in range(NEW)], errors_of(variant))
    return {"a reader's volume": float(np.mean(np.abs(told - true) <= error / 100 * true))}


CURVE = (0.85, 1.2, 0.6)
"""a, b and c of the true curve."""
DESIGNS = {
    "one fold, sizes 10, 20, 40": (1, (10, 20, 40)),
    "one fold, sizes 5, 10, 20, 40": (1, (5, 10, 20, 40)),
    "two folds, sizes 10, 20, 40": (2, (10, 20, 40)),
    "five folds, sizes 10, 20, 40": (5, (10, 20, 40)),
}


def hold_curve(rng: Generator, variant: str, patients: int) -> Held:
    """Patients differ by 0.15, take each size differently by 0.05, and each training has a luck of 0.02, half of it
    the fold's.
    """
    folds, sizes = DESIGNS[variant]
    a, b, c = CURVE
    truth = a - b * np.array(sizes, dtype=float) ** -c
    seen = truth
    validation = [len(part) for part in np.array_split(np.arange(patients), folds)]
    scores = []
    for count in (count for count in validation if count):
        luck = 0.02 * (math.sqrt(0.5) * rng.normal() + math.sqrt(0.5) * rng.normal(size=len(sizes)))
        people = 0.15 * rng.normal(size=(count, 1)) + 0.05 * rng.normal(size=(count, len(sizes)))
        scores.append(truth + luck + people)
        seen = truth + luck if why_no_interval(FEWEST_TESTED, folds, len(sizes)) else truth
    found = fit_curves(sizes, scores)
    ends = [(found.measured[-1].dice, float(seen[-1])), (found.plateau(), a)]
    ends += [(found.forecast(n).dice, a - b * n**-c) for n in (53, 106)]
    names = ("measured Dice, largest size", "plateau", "forecast, 53 patients", "forecast, 106 patients")
    return {
        name: None if one.low is None or one.high is None else float(one.low <= true <= one.high)
        for name, (one, true) in zip(names, ends, strict=True)
    }


_OF_VOLUMES = tuple(f"{errors} errors, {scans}" for errors in ERRORS for scans in (ONE, SEVERAL))

LEVELS: tuple[Level, ...] = (
    Level(
        "Mean of a score",
        95,
        "Dice around 0.7, mean over scans, from five patients on.",
        tuple(f"{missed}, {scans}" for missed in MISSED for scans in (ONE, SEVERAL)),
        hold_mean,
    ),
    Level(
        "Difference of means",
        95,
        "Changes of Dice of the same patients, as in the choice of a model; mean over patients, from five on.",
        ("rarely large",),
        hold_gain,
    ),
    Level(
        "Volumes: limits of agreement",
        95,
        "From five patients on; the intervals of the limits themselves from 50 scans of 20 patients on, where errors "
        "look normal. Ratios where errors grow, else mL.",
        _OF_VOLUMES,
        hold_agreement,
    ),
    Level(
        "Volumes: measurement error of a reader",
        90,
        "Two readers, who err alike and independently. From ten cases of five patients on.",
        _OF_VOLUMES,
        hold_reading,
    ),
    Level(
        "Learning curve",
        95,
        "Patients are validation patients of all folds. From ten on; of measured Dice from five on. One fold with "
        "three sizes does not tell the luck of training: the interval is that of these very trainings. Intervals of "
        "plateau and forecast often reach 1, above which no Dice lies, and so hold more than is stated. One or two "
        "folds tell the luck of training by one or two degrees of freedom, so that their intervals are cautious.",
        tuple(DESIGNS),
        hold_curve,
    ),
    Level(
        "Choice of a model: chance of a gain where there is none",
        100 / 6,
        "The one-standard-error rule, one comparison. Given in words as one of six; of two patients it is one of four.",
        ("gains of 0 on average",),
        hold_rule,
    ),
)
