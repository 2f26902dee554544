"""Intervals of a figure that all patients make together, by leaving out each in turn (Tukey's jackknife)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student

from vmseg_auto.utils.figure import Figure

FEWEST_PATIENTS = 5
"""From which an interval is given."""
LEVEL = 0.95


@dataclass(frozen=True)
class Scale:
    """On which a figure's errors are about the same everywhere: there and back."""

    there: Callable[[float], float]
    back: Callable[[float], float]


PLAIN = Scale(lambda value: value, lambda value: value)
CORRELATION = Scale(lambda value: float(np.arctanh(value)), math.tanh)
"""Fisher's z, of what lies between -1 and 1."""
SHARE = Scale(lambda value: float(logit(value)), lambda value: float(expit(value)))
"""The logit, of what lies between 0 and 1."""


def jackknife_interval(
    figure: Callable[[NDArray[np.bool_]], float], patients: Sequence[str], scale: Scale = PLAIN
) -> tuple[float, float]:
    """Compute the 95 % interval of a figure over scans, of which those of one patient resemble each other.

    The standard error comes from the figure without each patient; Student's t has a degree of freedom less than there
    are patients (Miller, Biometrika 1974, 61:1). As that error is too small where patients are few and the figure is no
    mean, it is multiplied by the square root of patients / (patients - 1) (docs/coverage.md).

    Args:
        figure: which scans count [N] -> what they come to.
        patients: of each scan.
        scale: on which the interval is symmetric.

    Returns:
        NaN with fewer than FEWEST_PATIENTS, or where the figure is not finite on its scale, or not without a patient.

    Example:
        >>> values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])  # of a mean it is Student's times the root of 5 / 4
        >>> ends = jackknife_interval(lambda known: float(values[known].mean()), list("abcde"))
        >>> [round(end, 2) for end in ends]
        [0.81, 5.19]
    """
    owner = np.array(patients)
    names = np.unique(owner)
    if len(names) < FEWEST_PATIENTS:
        return math.nan, math.nan
    with np.errstate(all="ignore"):
        whole = scale.there(figure(np.ones(len(owner), dtype=bool)))
        without = np.array([scale.there(figure(owner != name)) for name in names])
    if not (math.isfinite(whole) and np.isfinite(without).all()):
        return math.nan, math.nan
    error = math.sqrt(len(names) * float(without.var()))
    half = float(student.ppf((1 + LEVEL) / 2, len(names) - 1)) * error
    return scale.back(whole - half), scale.back(whole + half)


@dataclass(frozen=True)
class Definition:
    """What a figure is, for `jackknife_figure`.

    Args:
        name: what it is called.
        words: what it is.
        scale: on which its interval is symmetric.
        impossible: in words, when it has no value.
        fewest: patients from which its interval is given; with fewer it would hold less than it states.
    """

    name: str
    words: str
    scale: Scale
    impossible: str
    fewest: int = FEWEST_PATIENTS


def jackknife_figure(
    definition: Definition, figure: Callable[[NDArray[np.bool_]], float], patients: Sequence[str]
) -> Figure:
    """Return a figure with its interval, or why there is none.

    Args:
        figure, patients: as for `jackknife_interval`.
    """
    scans, number = len(patients), len(set(patients))
    value = figure(np.ones(scans, dtype=bool)) if scans else math.nan
    if not math.isfinite(value):
        return Figure(definition.name, None, None, None, scans, number, definition.words, definition.impossible)
    if number < definition.fewest:
        why = f"no interval: it takes {definition.fewest} patients, and here are {number}"
        return Figure(definition.name, value, None, None, scans, number, definition.words, why)
    low, high = jackknife_interval(figure, patients, definition.scale)
    if math.isfinite(low) and math.isfinite(high):
        return Figure(definition.name, value, low, high, scans, number, definition.words)
    why = "no interval: a few scans alone decide it"
    return Figure(definition.name, value, None, None, scans, number, definition.words, why)
