"""From what validation cases came to, to what is to be expected of new ones: their Dice, and their true volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vmseg_auto.evaluation.confidence import (
    Calibration,
    Confidence,
    NothingFound,
    Spread,
    VolumeConfidence,
    VolumeError,
)
from vmseg_auto.evaluation.conformal import (
    cross_fitted,
    highest,
    patient_weights,
    reach,
    relative_spread,
    upper,
    without_each,
)
from vmseg_auto.utils.proportions import wilson

COVERAGE = 0.8
"""Share of cases whose Dice the interval holds."""
VOLUME_COVERAGE = 0.9
"""Share of cases whose true volume the interval holds."""
LEAST_CERTAIN = 0.25
"""Share of the validation cases that are as uncertain as a case that is to be looked at first."""

Values = NDArray[np.float64]
Cases = NDArray[np.intp]
T = TypeVar("T")


def calibrate(confidence: Sequence[Confidence], dice: Values, patients: Sequence[str]) -> Calibration | None:
    """Fit the Dice of validation cases to their uncertainty and scatter, each of which may only lower it.

    The fit is linear, as some fifty cases carry no more. The interval comes from fits without the patient whose case is
    compared with them (cross-conformal prediction; Vovk, Ann Math Artif Intell 2015, 74:9), and is wider where the
    passes were uncertain (evaluation/conformal.py). Each side leaves out one case in ten.

    Args:
        confidence: of each case, all measured in the same way.
        dice: the mean over labels.
        patients: of each case.

    Returns:
        None with fewer than VolumeConfidence.FEWEST_PATIENTS patients, or where only some cases were mirrored.

    Example:
        >>> seen = [Confidence(uncertainty, 0.0, mirrored=True) for uncertainty in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)]
        >>> found = calibrate(seen, np.array([0.9, 0.88, 0.8, 0.7, 0.6, 0.4]), list("abcdef"))
        >>> round(found.expect(Confidence(0.15, 0.0, mirrored=True)).dice, 2)
        0.83
    """
    if not _may_tell(confidence, patients):
        return None
    told = _told(confidence)

    def lines(known: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Values:
        return told[wanted] @ _fit(told[known], dice[known])

    def residuals(known: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Values:
        off: Values = dice[wanted] - np.clip(lines(known, wanted), 0, 1)
        return off

    every = np.ones(len(dice), dtype=bool)
    scores = cross_fitted(told, patients, residuals)
    left_out = np.concatenate([lines(others, own) for others, own in without_each(patients)])
    best, by_uncertainty, by_scatter = _fit(told, dice).tolist()
    one_sided = (1 + COVERAGE) / 2
    return Calibration(
        best=best,
        by_uncertainty=by_uncertainty,
        by_scatter=by_scatter,
        below=max(0.0, upper(-scores, patients, one_sided)),
        above=max(0.0, upper(scores, patients, one_sided)),
        spread=Spread(*relative_spread(told, np.abs(residuals(every, every)), patients).tolist()),
        look_first=float(np.quantile(left_out, LEAST_CERTAIN)),
        mirrored=confidence[0].mirrored,
        cases=len(dice),
        patients=len(set(patients)),
    )


def calibrate_without(
    confidence: Sequence[Confidence], dice: Values, patients: Sequence[str]
) -> list[Calibration | None]:
    """Return for each case what `calibrate` makes of the other patients' cases alone."""
    return _without(
        patients, lambda others: calibrate([confidence[i] for i in others], dice[others], [patients[i] for i in others])
    )


def volume_confidence(
    measured_ml: Values, reference_ml: Values, confidence: Sequence[Confidence], patients: Sequence[str]
) -> VolumeConfidence:
    """Measure how far true volumes lie from measured ones, and what a scan in which nothing is found may hold.

    Scans without a finding are apart: a missed lesion says nothing of how well found ones are measured. The interval
    of found ones comes from residuals of fits without the scan's patient (evaluation/conformal.py).

    Args:
        measured_ml, reference_ml: of each case.
        confidence: of each case.
        patients: of each case.
    """
    found = np.flatnonzero(measured_ml > 0).tolist()
    owners = [patients[i] for i in found]
    error = _volume_error(measured_ml[found], reference_ml[found], [confidence[i] for i in found], owners)
    empty = np.flatnonzero(measured_ml == 0).tolist()
    nothing = _nothing_found(reference_ml[empty], [patients[i] for i in empty])
    return VolumeConfidence(error, len(found), len(set(owners)), nothing)


def volume_confidence_without(
    measured_ml: Values, reference_ml: Values, confidence: Sequence[Confidence], patients: Sequence[str]
) -> list[VolumeConfidence]:
    """Return for each case what `volume_confidence` makes of the other patients' cases alone."""
    return _without(
        patients,
        lambda others: volume_confidence(
            measured_ml[others], reference_ml[others], [confidence[i] for i in others], [patients[i] for i in others]
        ),
    )


def _volume_error(
    measured_ml: Values, reference_ml: Values, confidence: Sequence[Confidence], patients: Sequence[str]
) -> VolumeError | None:
    if not _may_tell(confidence, patients):
        return None
    told, owner = _told(confidence), np.array(patients)
    off = np.log(reference_ml + VolumeError.FLOOR_ML) - np.log(measured_ml + VolumeError.FLOOR_ML)

    def bias(known: NDArray[np.bool_]) -> float:
        return float(patient_weights(owner[known].tolist()) @ off[known])

    scores = cross_fitted(told, patients, lambda known, wanted: off[wanted] - bias(known))
    middle = bias(np.ones(len(off), dtype=bool))
    spread = Spread(*relative_spread(told, np.abs(off - middle), patients).tolist())
    return VolumeError(middle, reach(scores, patients, VOLUME_COVERAGE), spread, confidence[0].mirrored)


def _nothing_found(reference_ml: Values, patients: Sequence[str]) -> NothingFound:
    """Sum up scans in which nothing was found; the probability's interval is Wilson's, by patients."""
    if not len(reference_ml):
        return NothingFound(0, 0, 0)
    there = (reference_ml > 0).astype(float)
    probability = float(patient_weights(patients) @ there)
    low, high = wilson(probability, len(set(patients)))
    return NothingFound(
        scans=len(reference_ml),
        patients=len(set(patients)),
        missed=int(there.sum()),
        probability=probability,
        low_95=low,
        high_95=high,
        largest_ml=float(reference_ml.max()),
        most_ml=highest(reference_ml, patients, VOLUME_COVERAGE),
    )


def _may_tell(confidence: Sequence[Confidence], patients: Sequence[str]) -> bool:
    return len(set(patients)) >= VolumeConfidence.FEWEST_PATIENTS and len({case.mirrored for case in confidence}) == 1


def _told(confidence: Sequence[Confidence]) -> Values:
    return np.array([(1.0, case.uncertainty, case.scatter) for case in confidence])


def _fit(told: Values, dice: Values) -> Values:
    """Return coefficients of 1, uncertainty and scatter by least squares; what would raise the Dice is left out."""
    coefficients: Values = nnls(told * (1, -1, -1), dice)[0] * (1, -1, -1)
    return coefficients


def _without(patients: Sequence[str], compute: Callable[[Cases], T]) -> list[T]:
    """Return for each case what `compute` makes of the other patients' cases."""
    owner = np.array(patients)
    told = {str(owner[own][0]): compute(np.flatnonzero(others)) for others, own in without_each(patients)}
    return [told[patient] for patient in patients]
