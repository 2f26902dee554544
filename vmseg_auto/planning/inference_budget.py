"""The inference budget: how much of an ensemble each window of a scan gets, and how little is enough."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored

TOLERANCE = 0.002
"""Most that both savings together may change the mean cross-validated Dice."""


@dataclass(frozen=True)
class InferenceBudget:
    """What a window gets. The default is everything: all networks and all mirrorings in every window.

    >>> InferenceBudget(passes=4, gate=0.1).text()
    '4 passes over each window, but 1 where no voxel is likelier than 0.1 to be foreground'

    Args:
        passes: how many a window gets, at least: all networks in as few mirrorings as give so many, overlapping
            windows in different ones. None for all.
        gate: the foreground gate, a probability. Every window first gets one network in one mirroring; where its core
            stays below the gate, it gets no more.
    """

    passes: int | None = None
    gate: float = 0.0

    def text(self) -> str:
        """Describe the budget.

        >>> InferenceBudget(passes=2, gate=0.1).text()
        '2 passes over each window, but 1 where no voxel is likelier than 0.1 to be foreground'
        """
        count = (
            "all folds and mirrorings" if not self.passes else "1 pass" if self.passes == 1 else f"{self.passes} passes"
        )
        if self.passes == 1 or not self.gate:
            return f"{count} over each window"
        return f"{count} over each window, but 1 where no voxel is likelier than {self.gate:g} to be foreground"

    def __post_init__(self) -> None:
        if not (1 <= (self.passes or 1) <= 10_000 and self.passes != 0 and 0 <= self.gate <= 1):
            raise InputError(f"passes is {self.passes} and gate {self.gate}", remedy="Restore the file.")


EXHAUSTIVE = InferenceBudget()
FEWER_PASSES = (InferenceBudget(passes=1), InferenceBudget(passes=2), InferenceBudget(passes=4))
"""From the cheapest on."""
GATES = (
    InferenceBudget(gate=0.5),
    InferenceBudget(gate=0.3),
    InferenceBudget(gate=0.1),
    InferenceBudget(gate=0.03),
    InferenceBudget(gate=0.01),
)
"""From the cheapest on."""
CANDIDATES = (EXHAUSTIVE, *FEWER_PASSES, *GATES)


@dataclass(frozen=True)
class ChosenBudget:
    """The budget that a model's cross-validation found to be enough.

    Args:
        budget: what a window gets.
        dice_change: change of the mean Dice by fewer passes and by the gate, added.
        worst_change: the lowest of the same for a single case.
        cases: how many it was measured on.
        reasons: in words.
    """

    budget: InferenceBudget
    dice_change: float
    worst_change: float
    cases: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Trials(Stored):
    """Mean Dice over the labels, case by case, for each budget that was tried.

    Args:
        budgets: CANDIDATES, or fewer where others could change nothing.
        dice: case id -> one value for each budget.
    """

    budgets: tuple[InferenceBudget, ...]
    dice: dict[str, tuple[float, ...]]
    schema: int = 2

    def __post_init__(self) -> None:
        if odd := next((case for case, dice in self.dice.items() if len(dice) != len(self.budgets)), None):
            problem = f"case {odd} has {len(self.dice[odd])} values of Dice for {len(self.budgets)} budgets"
            raise InputError(problem, remedy="Delete the file: the cases are then predicted again.")


def choose_budget(trials: Sequence[Trials]) -> ChosenBudget | None:
    """Return the fewest passes, and with them the highest gate, that change the mean Dice by TOLERANCE at most.

    The changes count whatever their sign, so that one cannot hide the other.

    Args:
        trials: one for each fold.

    Returns:
        None where not all of CANDIDATES were tried.
    """
    if not trials or any(set(CANDIDATES) - set(fold.budgets) for fold in trials):
        return None
    dice = {
        budget: [values[fold.budgets.index(budget)] for fold in trials for values in fold.dice.values()]
        for budget in CANDIDATES
    }
    changes = {budget: np.subtract(values, dice[EXHAUSTIVE]) for budget, values in dice.items()}
    pairs = itertools.product((*FEWER_PASSES, EXHAUSTIVE), (*GATES, EXHAUSTIVE))
    fewer, gate = next(pair for pair in pairs if sum(abs(changes[saving].mean()) for saving in pair) <= TOLERANCE)
    both = changes[fewer] + changes[gate]
    count = len(both)
    reasons = (
        f"{fewer.text()}; mean Dice of {count} validation cases changes by {changes[fewer].mean():+.4f}",
        f"{gate.text()}; mean Dice changes by {changes[gate].mean():+.4f}",
    )
    budget = InferenceBudget(fewer.passes, gate.gate)
    return ChosenBudget(budget, float(both.mean()), float(both.min()), count, reasons)
