"""What an epoch's optimiser steps came to, and when too many of them went wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

SPARED_SHARE = 0.1
"""Share of an epoch's steps that may be skipped before the training goes back."""
SPARED_RUN = 9
"""Steps in a row that may be skipped."""
BEYOND_REASON = 1000.0
"""An epoch's mean loss over that of the start, from which a training has gone wrong."""
NAMED = 6
"""Most cases that are named."""


@dataclass(frozen=True)
class StepLog:
    """An epoch's steps, in order.

    Args:
        losses: of each step.
        good: whether its loss and its gradient were finite; any other step was skipped.
        cases: ids of the cases whose patches it learnt from.
    """

    losses: tuple[float, ...] = ()
    good: tuple[bool, ...] = ()
    cases: tuple[tuple[str, ...], ...] = ()

    def __add__(self, later: StepLog) -> StepLog:
        """Return these steps, then the later ones."""
        return StepLog(self.losses + later.losses, self.good + later.good, self.cases + later.cases)

    def __len__(self) -> int:
        return len(self.good)

    @property
    def mean_loss(self) -> float:
        """Over the good steps; NaN where there is none."""
        kept = [loss for loss, good in zip(self.losses, self.good, strict=True) if good]
        return sum(kept) / len(kept) if kept else float("nan")

    def beyond_reason(self, start: float | None) -> bool:
        """Return whether the loss has grown so much that nothing is learnt any more.

        Args:
            start: the first epoch's mean loss; None in that epoch, which is set beside its first good step.
        """
        first = next((loss for loss, good in zip(self.losses, self.good, strict=True) if good), math.nan)
        return self.mean_loss > BEYOND_REASON * max(1.0, abs(first if start is None else start))

    @property
    def skipped(self) -> int:
        return self.good.count(False)

    def too_many(self, spare: int = 0) -> bool:
        """Return whether more than a tenth of the steps, or ten in a row, were skipped; of several one always may be.

        Args:
            spare: so many more may be.

        Example:
            >>> [StepLog(good=(True,) * taken + (False,) * 2).too_many() for taken in (18, 17)]
            [False, True]
        """
        count = len(self.good)
        longest = max((len(list(run)) for good, run in groupby(self.good) if not good), default=0)
        return self.skipped > min(count - 1, max(1, SPARED_SHARE * count)) + spare or longest > SPARED_RUN + spare

    def suspects(self) -> tuple[str, ...]:
        """Return the cases that skipped steps learnt from: first those of whose steps most were skipped, then the last.

        Example:
            >>> StepLog(good=(True, False, False), cases=(("a",), ("a", "b"), ("b",))).suspects()
            ('b', 'a')
        """
        steps: dict[str, list[bool]] = {}
        last: dict[str, int] = {}
        for number, (good, cases) in enumerate(zip(self.good, self.cases, strict=True)):
            for case in cases:
                steps.setdefault(case, []).append(good)
                if not good:
                    last[case] = number
        shares = {case: steps[case].count(False) / len(steps[case]) for case in last}
        return tuple(sorted(last, key=lambda case: (-shares[case], -last[case], case))[:NAMED])
