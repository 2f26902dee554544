"""From what held-out cases came to, to what is to be expected of new ones: their Dice, and their true volume."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vmseg_auto.core.trust import Calibration, Trust, VolumeError

COVERAGE = 0.8
"""Share of cases whose Dice the interval holds."""
VOLUME_COVERAGE = 0.9
"""Share of cases whose true volume the interval holds."""
LEAST_CERTAIN = 0.25
"""Share of the held-out cases that are as uncertain as a case that is to be looked at first."""
FEWEST_CASES = 10
"""With less, nothing is told."""

Values = NDArray[np.float64]


def calibrate(trust: Sequence[Trust], dice: Values, patients: Sequence[str]) -> Calibration | None:
    """Fit the Dice of held-out cases to their uncertainty and scatter, each of which may only lower it.

    The fit is linear, as some fifty cases carry no more. The interval comes from fits without the patient whose case is
    compared with them (cross-conformal prediction; Vovk, Ann Math Artif Intell 2015, 74:9).

    Args:
        trust: of each case, all measured in the same way.
        dice: the mean over labels.
        patients: of each case.

    Returns:
        None with fewer than FEWEST_CASES, with a single patient, or where some cases were mirrored and others not.
    """
    mirrored = {case.mirrored for case in trust}
    if len(trust) < FEWEST_CASES or len(set(patients)) < 2 or len(mirrored) != 1:
        return None
    told = np.array([(1.0, case.uncertainty, case.scatter) for case in trust])
    lines = _cross_fitted(told, dice, patients)
    residuals = dice - np.clip(lines, 0, 1)
    best, by_uncertainty, by_scatter = _fit(told, dice).tolist()
    return Calibration(
        best=best,
        by_uncertainty=by_uncertainty,
        by_scatter=by_scatter,
        below=min(1.0, max(0.0, _bound(-residuals, COVERAGE))),
        above=min(1.0, max(0.0, _bound(residuals, COVERAGE))),
        look_first=float(np.quantile(lines, LEAST_CERTAIN)),
        mirrored=mirrored.pop(),
        cases=len(dice),
        patients=len(set(patients)),
    )


def calibrate_without(trust: Sequence[Trust], dice: Values, patients: Sequence[str]) -> list[Calibration | None]:
    """For each case what the other patients' cases alone tell; see `calibrate`."""
    owner = np.array(patients)
    fitted: dict[str, Calibration | None] = {}
    for patient in set(patients):
        others = np.flatnonzero(owner != patient).tolist()
        fitted[patient] = calibrate([trust[i] for i in others], dice[others], [patients[i] for i in others])
    return [fitted[patient] for patient in patients]


def volume_error(measured_ml: Values, reference_ml: Values, patients: Sequence[str]) -> VolumeError | None:
    """How far true volumes lie from measured ones, by held-out cases (split conformal prediction; Lei et al., JASA
    2018, 113:1094, each side apart).

    Nothing is fitted but the two bounds, so that every held-out case counts: no network has seen its patient.

    Args:
        measured_ml, reference_ml: of each case.
        patients: of each case.

    Returns:
        None where the cases are too few for such bounds, less than 19, or of a single patient.
    """
    if len(set(patients)) < 2:
        return None
    residuals = np.log(reference_ml + VolumeError.FLOOR_ML) - np.log(measured_ml + VolumeError.FLOOR_ML)
    below, above = _bound(-residuals, VOLUME_COVERAGE), _bound(residuals, VOLUME_COVERAGE)
    if math.isinf(max(below, above)):
        return None
    return VolumeError(max(0.0, below), max(0.0, above), len(residuals), len(set(patients)))


def volume_errors_without(
    measured_ml: Values, reference_ml: Values, patients: Sequence[str]
) -> list[VolumeError | None]:
    """For each case what the other patients' cases alone tell; see `volume_error`."""
    owner = np.array(patients)
    told = {}
    for patient in set(patients):
        others = owner != patient
        told[patient] = volume_error(measured_ml[others], reference_ml[others], owner[others].tolist())
    return [told[patient] for patient in patients]


def _cross_fitted(told: Values, dice: Values, patients: Sequence[str]) -> Values:
    owner = np.array(patients)
    lines = np.empty_like(dice)
    for patient in np.unique(owner):
        inside = owner == patient
        lines[inside] = told[inside] @ _fit(told[~inside], dice[~inside])
    return lines


def _fit(told: Values, dice: Values) -> Values:
    """Coefficients of 1, uncertainty and scatter by least squares; what would raise the Dice is taken for chance."""
    coefficients: Values = nnls(told * (1, -1, -1), dice)[0] * (1, -1, -1)
    return coefficients


def _bound(residuals: Values, coverage: float) -> float:
    """What a new residual stays under but for half of what the coverage leaves; infinite where too few tell."""
    rank = math.ceil(round((len(residuals) + 1) * (1 + coverage) / 2, 9))
    return float(np.sort(residuals)[rank - 1]) if rank <= len(residuals) else math.inf
