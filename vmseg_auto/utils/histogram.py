"""Counts of numbers that can be added up, and from which quantiles come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

ACCURACY = 0.01
"""How far a quantile lies off at most, as a share of itself."""
SMALLEST = 1e-9
"""Sizes up to this count as 0."""
_GROWTH = math.log((1 + ACCURACY) / (1 - ACCURACY))


@dataclass(frozen=True)
class Histogram:
    """Numbers in bins that grow with the numbers' size, so that they need not be known beforehand: DDSketch (Masson et
    al., VLDB 2019). Histograms of two sets, added up, are that of both together, exactly.

    Args:
        counts: bin -> how many. Bin n > 0 holds sizes up to SMALLEST * ((1 + ACCURACY) / (1 - ACCURACY)) ** n, bin -n
            the same below 0, bin 0 what is 0.
    """

    counts: dict[int, int]

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Histogram:
        """Count finite numbers."""
        sizes = np.abs(values.astype(np.float64))
        bins = np.ceil(np.log(np.maximum(sizes, SMALLEST) / SMALLEST) / _GROWTH).astype(np.int64)
        bins, counts = np.unique(np.where(values < 0, -bins, bins), return_counts=True)
        return cls({int(n): int(count) for n, count in zip(bins, counts, strict=True)})

    def __add__(self, other: Histogram) -> Histogram:
        bins = sorted(self.counts.keys() | other.counts.keys())
        return Histogram({n: self.counts.get(n, 0) + other.counts.get(n, 0) for n in bins})

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def quantile(self, share: float) -> float:
        """Return a quantile as numpy does, between the two nearest of the sorted numbers; each within ACCURACY.

        Args:
            share: 0 to 1.

        Raises:
            ValueError: nothing was counted.
        """
        if not self.total:
            raise ValueError("an empty histogram has no quantiles")
        bins = sorted(self.counts)
        ends = list(accumulate(self.counts[n] for n in bins))
        rank = share * (self.total - 1)
        low, high = (_middle(bins[int(np.searchsorted(ends, r, side="right"))]) for r in (int(rank), math.ceil(rank)))
        return low + (rank - int(rank)) * (high - low)


def _middle(n: int) -> float:
    """Return the number that lies off by the same share from both ends of a bin."""
    size = SMALLEST * math.exp(_GROWTH * abs(n)) * (1 - ACCURACY)
    return math.copysign(size, n) if n else 0.0
