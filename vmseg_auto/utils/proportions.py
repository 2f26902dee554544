"""Intervals of a share that was counted."""

from __future__ import annotations

import math

NORMAL = 1.959964
"""95 % of a normal distribution lie within so many standard deviations."""


def wilson(share: float, number: float) -> tuple[float, float]:
    """Compute the 95 % interval of a share (Wilson, JASA 1927, 22:209; Brown, Cai and DasGupta, Stat Sci 2001, 16:101).

    Args:
        share: counted, 0 to 1.
        number: of independent things that it was counted among, above 0; need not be whole.

    Example:
        >>> [round(end, 3) for end in wilson(0.0, 10)]
        [0.0, 0.278]
    """
    square = NORMAL**2 / number
    middle = (share + square / 2) / (1 + square)
    half = NORMAL / (1 + square) * math.sqrt(share * (1 - share) / number + square / (4 * number))
    return max(0.0, middle - half), min(1.0, middle + half)
