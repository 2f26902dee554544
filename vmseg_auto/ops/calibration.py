"""From the uncertainty of held-out cases to the Dice that is to be expected of new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.trust import Calibration, Expectation, Trust

COVERAGE = 0.8
"""Share of cases whose Dice the interval holds."""
LEAST_CERTAIN = 0.75
"""Quantile of the held-out uncertainties from which a case is to be looked at first."""

Values = NDArray[np.float64]


def calibrate(trust: Sequence[Trust], dice: Values, patients: Sequence[str]) -> Calibration | None:
    """Fit the Dice of held-out cases to their uncertainty.

    A straight line, as some fifty cases carry no more. The interval comes from lines fitted without the patient whose
    case is compared with it (cross-conformal prediction; Vovk, Ann Math Artif Intell 2015, 74:9).

    Args:
        trust: of each case, all measured in the same way.
        dice: the mean over labels.
        patients: of each case.

    Returns:
        None with fewer than three patients, or where some cases were mirrored and others not.
    """
    mirrored = {case.mirrored for case in trust}
    if len(set(patients)) < 3 or len(mirrored) != 1:
        return None
    uncertainty = np.array([case.uncertainty for case in trust])
    residuals = dice - _cross_fitted(uncertainty, dice, patients)
    certain, doubtful = _line(uncertainty, dice)
    return Calibration(
        certain=certain,
        doubtful=doubtful,
        below=max(0.0, _bound(-residuals)),
        above=max(0.0, _bound(residuals)),
        look_first=float(np.quantile(uncertainty, LEAST_CERTAIN)),
        mirrored=mirrored.pop(),
        cases=len(dice),
        patients=len(set(patients)),
    )


def expect_held_out(trust: Sequence[Trust], dice: Values, patients: Sequence[str]) -> list[Expectation | None]:
    """What each case's Dice was to be, told by the other patients' cases alone; None where they are too few."""
    expected = []
    owner = np.array(patients)
    for case, patient in zip(trust, patients, strict=True):
        others = np.flatnonzero(owner != patient).tolist()
        fitted = calibrate([trust[i] for i in others], dice[others], [patients[i] for i in others])
        expected.append(fitted.expect(case) if fitted else None)
    return expected


def _cross_fitted(uncertainty: Values, dice: Values, patients: Sequence[str]) -> Values:
    owner = np.array(patients)
    expected = np.empty_like(dice)
    for patient in np.unique(owner):
        inside = owner == patient
        certain, doubtful = _line(uncertainty[~inside], dice[~inside])
        expected[inside] = np.clip(certain + (doubtful - certain) * uncertainty[inside], 0, 1)
    return expected


def _line(uncertainty: Values, dice: Values) -> tuple[float, float]:
    """The Dice at uncertainty 0 and 1 by least squares; level where it would rise with uncertainty."""
    spread = uncertainty - uncertainty.mean()
    square = float(spread @ spread)
    slope = min(0.0, float(spread @ dice) / square) if square > 0 else 0.0
    certain = float(dice.mean() - slope * uncertainty.mean())
    return certain, certain + slope


def _bound(residuals: Values) -> float:
    """What a new residual stays under but for half of what COVERAGE leaves; 1, the whole range, where too few tell."""
    rank = math.ceil((len(residuals) + 1) * (1 + COVERAGE) / 2)
    return float(np.sort(residuals)[rank - 1]) if rank <= len(residuals) else 1.0
