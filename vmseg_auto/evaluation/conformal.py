"""Intervals that hold scans of new patients as often as they say, from the errors of validation patients.

**Rank.** Of n errors in no order of size, a further one lies under the one of rank ceil((n + 1) x level) with at least
that probability, whatever their distribution (split conformal prediction; Lei et al., JASA 2018, 113:1094). Where
(n + 1) x level is not whole, the errors of Dice and volumes count between two ranks, as few patients have few ranks.
Errors are divided by how far they reach at such an uncertainty, so that the interval is wide where the passes were
uncertain (normalised conformal prediction; Papadopoulos, Gammerman and Vovk, AIA 2008, p. 64).

**Patients.** Scans of one patient resemble each other, so each patient weighs the same (Lee, Barber and Willett, 2023,
arXiv:2306.06342), and n counts patients, or as many more as their scans differ: scans / (1 + (scans a patient - 1) x
intraclass correlation), the effective sample size of a sample of groups (Kish, Survey Sampling, 1965).

**Few patients.** Where n is too small for the rank, errors are taken to be normal, and their root mean square times
Student's t counts, with n - 2 degrees of freedom, as the middle of the errors and their spread come from them too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import t as student

Values = NDArray[np.float64]
PRIOR_PATIENTS = 5
"""What is expected of the reach of errors counts as much as a fit to so many patients."""


def without_each(patients: Sequence[str]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield for each patient which scans are the others' and which are the patient's own."""
    owner = np.array(patients)
    for patient in np.unique(owner):
        yield owner != patient, owner == patient


def patient_weights(patients: Sequence[str]) -> Values:
    """Return the share of each scan where each patient weighs the same.

    Example:
        >>> patient_weights(["a", "a", "b"])
        array([0.25, 0.25, 0.5 ])
    """
    scans = Counter(patients)
    return 1 / np.array([len(scans) * scans[patient] for patient in patients], dtype=np.float64)


def independent_patients(values: Values, patients: Sequence[str]) -> float:
    """Return as how many independent patients these scans count: at least those that there are, at most the scans.

    Example:
        >>> patients = ["a", "a", "b", "b"]
        >>> [round(independent_patients(np.array(values), patients), 1) for values in ((1, 1, 3, 3), (1, 3, 1, 3))]
        [2.0, 4.0]
    """
    _, owner, counts = np.unique(np.array(patients), return_inverse=True, return_counts=True)
    groups, scans = len(counts), len(values)
    if groups in (1, scans):
        return float(groups)
    means = np.bincount(owner, values) / counts
    between = float((counts * (means - values.mean()) ** 2).sum()) / (groups - 1)
    within = float(((values - means[owner]) ** 2).sum()) / (scans - groups)
    if between + within == 0:
        return float(groups)
    size = (scans - (counts**2).sum() / scans) / (groups - 1)
    correlation = max(0.0, (between - within) / (between + (size - 1) * within))
    alike = 1 + (float((counts**2).sum()) / scans - 1) * correlation
    return max(float(groups), float(scans / alike))


def relative_spread(told: Values, errors: Values, patients: Sequence[str]) -> Values:
    """Fit how far errors reach by what is known of their scans, where the mean over patients is 1.

    Args:
        told: ones, then figures that may only widen [scans, figures + 1].
        errors: how far each scan's was off, 0 or above.
        patients: of each scan.

    Returns:
        Coefficients of `told`, none below 0, by least squares; drawn towards what is expected where patients are few:
        two thirds of the error are the same everywhere, and one third grows in proportion to the first figure.
    """
    weights = patient_weights(patients)
    root = np.sqrt(weights)
    fit = nnls(told * root[:, None], errors * root)[0]
    average = float(weights @ told @ fit)
    first = float(weights @ told[:, 1])
    expected = np.eye(told.shape[1])[0]
    if first > 0:
        expected[:2] = 2 / 3, 1 / 3 / first
    number = len(set(patients))
    trusted = number / (number + PRIOR_PATIENTS) if average > 0 else 0.0
    coefficients: Values = (1 - trusted) * expected + trusted * fit / (average or 1.0)
    return coefficients


def cross_fitted(
    told: Values, patients: Sequence[str], residuals: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Values]
) -> Values:
    """Return errors of each scan as multiples of how far they reach at its uncertainty, fitted without its patient.

    Args:
        told: as for `relative_spread`.
        patients: of each scan.
        residuals: (scans to fit to, scans wanted) -> how far the latter lie from the fit.
    """
    owner, scores = np.array(patients), np.empty(len(told))
    for others, own in without_each(patients):
        spread = relative_spread(told[others], np.abs(residuals(others, others)), owner[others].tolist())
        scores[own] = residuals(others, own) / (told[own] @ spread)
    return scores


def reach(scores: Values, patients: Sequence[str], level: float) -> float:
    """Return what the size of a new patient's score stays within with this probability.

    Example:
        >>> round(reach(np.arange(1.0, 20.0), [str(patient) for patient in range(19)], 0.9), 2)
        18.0
    """
    return _bound(np.abs(scores), scores, patients, level, (1 + level) / 2)


def upper(scores: Values, patients: Sequence[str], level: float) -> float:
    """Return what a new patient's score stays under with this probability."""
    return _bound(scores, scores, patients, level, level)


def highest(values: Values, patients: Sequence[str], level: float) -> float | None:
    """Return what `upper` does, of any distribution: the value of the rank itself; None where patients are too few.

    Example:
        >>> highest(np.arange(1.0, 20.0), [str(patient) for patient in range(19)], 0.9)
        18.0
    """
    found = _ranks(values, patients, level, independent_patients(values, patients))
    if found is None:
        return None
    ranks, ascending = found
    return float(ascending[min(int(np.searchsorted(ranks, 1 - 1e-9)), len(ascending) - 1)])


def _bound(ranked: Values, scores: Values, patients: Sequence[str], level: float, one_sided: float) -> float:
    """Interpolate where the rank lies between two scores: else the interval of few patients would be too wide."""
    number = independent_patients(np.abs(scores), patients)
    if (found := _ranks(ranked, patients, level, number)) is not None:
        return float(np.interp(1.0, *found))
    size = math.sqrt(float(patient_weights(patients) @ scores**2))
    return float(student.ppf(one_sided, number - 2)) * size


def _ranks(values: Values, patients: Sequence[str], level: float, number: float) -> tuple[Values, Values] | None:
    """Return ranks where each patient weighs the same, as shares of the wanted one, and values; both ascending.

    The wanted one is (number + 1) x level of so many patients; None where there is none so high.
    """
    wanted = level * (number + 1) / number
    if wanted > 1 + 1e-9:
        return None
    order = np.argsort(values, kind="stable")
    return np.cumsum(patient_weights(patients)[order]) / wanted, values[order]
