"""From the uncertainty and scatter of held-out cases to the Dice that is to be expected of new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vmseg_auto.core.trust import Calibration, Trust

COVERAGE = 0.8
"""Share of cases whose Dice the interval holds."""
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
        below=max(0.0, _bound(-residuals)),
        above=max(0.0, _bound(residuals)),
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


def _bound(residuals: Values) -> float:
    """What a new residual stays under but for half of what COVERAGE leaves; 1, the whole range, where too few tell."""
    rank = math.ceil((len(residuals) + 1) * (1 + COVERAGE) / 2)
    return float(np.sort(residuals)[rank - 1]) if rank <= len(residuals) else 1.0
