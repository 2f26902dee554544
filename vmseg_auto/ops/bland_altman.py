"""Agreement of two measurements of the same things (Bland and Altman, Lancet 1986;327:307-310)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

_NORMAL = 1.96
"""95 % of a normal distribution lie within so many standard deviations."""


@dataclass(frozen=True)
class Agreement:
    """Differences, the second measurement minus the first.

    Args:
        bias: their mean.
        low, high: limits of agreement: 95 % of the differences lie between them, were they normal.
        bias_error, limit_error: half the 95 % interval of the bias and of either limit.
    """

    bias: float
    low: float
    high: float
    bias_error: float
    limit_error: float


def agreement(first: Sequence[float], second: Sequence[float]) -> Agreement | None:
    """Compare two measurements of each thing; None with fewer than three."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    if len(differences) < 3:
        return None
    bias, spread = fmean(differences), stdev(differences)
    error = _NORMAL * spread / sqrt(len(differences))
    return Agreement(bias, bias - _NORMAL * spread, bias + _NORMAL * spread, error, sqrt(3) * error)
