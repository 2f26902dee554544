"""How far several measurements of the same things agree, in one figure: intraclass correlation and concordance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.figure import Figure
from vmseg_auto.utils.jackknife import CORRELATION, Definition, jackknife_figure

Values = NDArray[np.float64]
FLOOR_ML = 1.0
"""Volumes are compared as log(mL + this): as mL, of which a cohort holds few large ones, one lesion decides all."""
_ICC = Definition(
    "ICC of volumes",
    "intraclass correlation ICC(A,1) of log(mL + 1): two-way, absolute agreement, of a single measurement",
    CORRELATION,
    "it takes two scans, and volumes that differ",
)
_CCC = Definition(
    "Lin's CCC of volumes", "concordance correlation coefficient of log(mL + 1)", CORRELATION, _ICC.impossible
)
_IN_ML = "no interval: in mL a few large lesions decide it"


def intraclass_correlation(ratings: Values) -> float:
    """Compute ICC(A,1): two-way, absolute agreement, of a single measurement.

    Of McGraw and Wong, Psychological Methods 1996, 1:30; ICC(2,1) of Shrout and Fleiss, Psychological Bulletin 1979,
    86:420.

    Args:
        ratings: [things, who measured them], at least two of each.

    Returns:
        1 where all agree, about 0 or less where they don't; NaN where nothing differs at all.

    Example:
        >>> shrout_fleiss = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
        >>> round(intraclass_correlation(np.array(shrout_fleiss, dtype=float)), 2)
        0.29
    """
    things, judges = ratings.shape
    mean, rows, columns = ratings.mean(), ratings.mean(axis=1), ratings.mean(axis=0)
    between = judges * float(((rows - mean) ** 2).sum()) / (things - 1)
    bias = things * float(((columns - mean) ** 2).sum()) / (judges - 1)
    rest = float(((ratings - rows[:, None] - columns + mean) ** 2).sum()) / ((things - 1) * (judges - 1))
    whole = between + (judges - 1) * rest + judges * (bias - rest) / things
    return (between - rest) / whole if whole > 0 else math.nan


def concordance(ratings: Values) -> float:
    """Compute Lin's concordance correlation coefficient of two measurements (Biometrics 1989, 45:255).

    Args:
        ratings: [things, 2].

    Returns:
        1 where both agree, 0 where they have nothing in common; NaN where nothing differs at all.

    Example:
        >>> round(concordance(np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])), 3)  # one is always larger by 1
        0.571
    """
    first, second = ratings.T
    apart = float(first.var() + second.var() + (first.mean() - second.mean()) ** 2)
    shared = float(((first - first.mean()) * (second - second.mean())).mean())
    return 2 * shared / apart if apart > 0 else math.nan


def volume_concordance(first_ml: Values, second_ml: Values, patients: Sequence[str]) -> tuple[Figure, ...]:
    """Compute how far two measurements of volumes agree: ICC and CCC with intervals, and the ICC of the mL themselves.

    Scans in which neither finds anything are left out. Intervals come from leaving out each patient in turn; those of
    the mL would hold far less than they state.

    Args:
        first_ml, second_ml: of each scan.
        patients: of each scan.
    """
    ml = np.stack([first_ml, second_ml], axis=1)
    there = ml.max(axis=1) > 0
    ml, patients = ml[there], np.array(patients)[there].tolist()
    logs = np.log(ml + FLOOR_ML)
    icc = jackknife_figure(_ICC, lambda known: _at_least_two(intraclass_correlation, logs[known]), patients)
    ccc = jackknife_figure(_CCC, lambda known: _at_least_two(concordance, logs[known]), patients)
    value = _at_least_two(intraclass_correlation, ml)
    known = math.isfinite(value)
    words = "the same of mL, for comparison with papers"
    plain = Figure(
        "ICC of volumes in mL", value if known else None, None, None, icc.scans, icc.patients, words,
        _IN_ML if known else _ICC.impossible,
    )  # fmt: skip
    return icc, ccc, plain


def _at_least_two(coefficient: Callable[[Values], float], ratings: Values) -> float:
    return coefficient(ratings) if len(ratings) > 1 else math.nan
