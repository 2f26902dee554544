"""What a figure of certainty is worth: whether poor predictions are the uncertain ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]


def auroc(certainty: Values, poor: NDArray[np.bool_]) -> float:
    """Compute how often a poor prediction is less certain than another, over all pairs; ties count half.

    It is the area under the receiver operating characteristic (Hanley and McNeil, Radiology 1982, 143:29); NaN where
    all are poor, or none.

    Example:
        >>> auroc(np.array([0.9, 0.2, 0.6, 0.4]), np.array([False, True, False, False]))
        1.0
    """
    number = int(poor.sum())
    others = len(poor) - number
    if not number or not others:
        return math.nan
    below = float(rankdata(-certainty)[poor].sum()) - number * (number + 1) / 2
    return below / (number * others)


def spearman(first: Values, second: Values) -> float:
    """Compute the correlation of two figures' ranks; NaN where one of them is the same everywhere.

    Example:
        >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 8.0, 4.0])), 2)
        0.5
    """
    ranks = np.stack([rankdata(first), rankdata(second)])
    if not ranks.var(axis=1).all():
        return math.nan
    return float(np.corrcoef(ranks)[0, 1])


def kept_dice(certainty: Values, dice: Values) -> Values:
    """Compute the mean Dice of the 1, 2, ... most certain predictions; equally certain ones count as their mean.

    It is one minus the risk, over the share of predictions that is kept (the risk-coverage curve; El-Yaniv and Wiener,
    JMLR 2010, 11:1605).

    Example:
        >>> kept_dice(np.array([0.9, 0.2, 0.6]), np.array([0.8, 0.4, 0.6]))
        array([0.8, 0.7, 0.6])
    """
    order = np.argsort(-certainty, kind="stable")
    _, tied = np.unique(-certainty[order], return_inverse=True)
    level = (np.bincount(tied, dice[order]) / np.bincount(tied))[tied]
    means: Values = np.cumsum(level) / np.arange(1, len(dice) + 1)
    return means


def area_under_risk(certainty: Values, dice: Values) -> float:
    """Compute the mean of one minus the Dice over all shares of predictions kept, the most certain first (AURC)."""
    return float(1 - kept_dice(certainty, dice).mean())
