"""How the Dice grows with the number of patients trained on, and how many a given Dice takes: learning_curve.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vmseg_auto.data.dataset import SPLIT_SEED
from vmseg_auto.utils.json_codec import Stored

FURTHEST = 10
"""Times the cohort's patients: nothing is said of more."""


@dataclass(frozen=True)
class Interval:
    """A number and its 95 % interval; None where there is none."""

    value: float
    low: float | None
    high: float | None

    def text(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (no interval)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Point:
    """The Dice of a number of patients trained on."""

    patients: int
    dice: Interval


@dataclass(frozen=True)
class Wanted:
    """How many patients a Dice takes; None where it is more than can be said, or the Dice is never reached.

    Args:
        dice: that was asked for.
        patients: by the curve.
        low, high: 95 % interval; None, too, where the curve has none.
    """

    dice: float
    patients: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True)
class LearningCurve(Stored):
    """Dice(n) = plateau - b n^-c, fitted to trainings on growing groups of patients.

    Args:
        model: PLANNER/TRAINER.
        folds: whose validation patients were scored.
        cohort: patients of the dataset.
        tested: patients scored; no training saw them.
        measured: mean Dice over them for each number of patients trained on.
        plateau: the Dice that no number of patients exceeds.
        b, c: of the fitted curve.
        forecasts: Dice for the whole cohort, and for twice as many patients.
        without_interval: why plateau, forecasts and answer have no interval; empty where they have.
        wanted: the answer for the Dice asked for; None where none was.
    """

    model: str
    folds: tuple[int, ...]
    cohort: int
    tested: int
    measured: tuple[Point, ...]
    plateau: Interval
    b: float
    c: float
    forecasts: tuple[Point, ...]
    without_interval: str
    wanted: Wanted | None = None
    schema: int = 2

    def text(self) -> str:
        """Return it as lines for the screen."""
        lines = [f"Mean Dice of {self.tested} patients of no training set (95 % interval)"]
        lines += [f"  trained on {point.patients:>4} patients  {point.dice.text()}" for point in self.measured]
        lines += ["Expected by the curve through them"]
        lines += [f"  trained on {point.patients:>4} patients  {point.dice.text()}" for point in self.forecasts]
        lines += [f"  {'however many':<24}  {self.plateau.text()}"]
        return "\n".join([*lines, *([self.answer()] if self.wanted else []), *self.caveats()])

    def answer(self) -> str:
        """Return in words how many patients the Dice asked for takes; empty where none was asked for."""
        if self.wanted is None:
            return ""
        goal, limit = f"A Dice of {self.wanted.dice:g}", FURTHEST * self.cohort
        count, low, high = self.wanted.patients, self.wanted.low, self.wanted.high
        if count is None and self.b == 0:
            return f"How many patients {goal[0].lower()}{goal[1:]} takes can't be known from these scores."
        if self.without_interval:
            interval = "No interval is given."
        elif low is None:
            return f"{goal} takes more than {limit} patients, or is never reached; so says the whole 95 % interval."
        elif high is None:
            interval = f"The 95 % interval is open: from {low} patients to more than {limit}, or never."
        else:
            interval = f"95 % interval: {low} to {high} patients."
        if count is None:
            return f"{goal} takes more than {limit} patients by this curve, or is never reached. {interval}"
        about = "at most" if count == self.measured[0].patients else "about"
        more = f"{count - self.cohort} more than" if count > self.cohort else "no more than"
        return (
            f"{goal} takes {about} {count} patients by this curve, {more} the {self.cohort} of this cohort. {interval}"
        )

    def caveats(self) -> list[str]:
        """Return in words what the intervals leave out."""
        found = []
        if self.b == 0:
            found.append(
                "The scores do not rise with the number of patients, so that the curve is their mean: longer trainings "
                "or other sizes may show a rise."
            )
        elif len(self.measured) == 3:
            found.append("A curve of this kind passes through any three sizes: a fourth one would test it.")
        if self.without_interval:
            found.append(
                f"The curve has no interval: {self.without_interval}. The intervals of the measured Dice cover the "
                "choice of validation patients, and not how well these trainings happened to go."
            )
        elif len(self.folds) == 1:
            found.append(
                "How far the sizes lie from the curve tells the luck of training; more --folds tell it better."
            )
        return found


def nested_subsets(patients: Mapping[str, str], sizes: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return groups of patients that grow: each holds all smaller ones.

    Patients are taken in one shuffled order that depends on nothing but their names.

    Args:
        patients: case id -> patient.
        sizes: numbers of patients.

    Returns:
        Size -> ids of all cases of that many patients, sorted.

    Example:
        >>> nested_subsets({"c1": "p1", "c2": "p2", "c3": "p2", "c4": "p3"}, [1, 2])
        {1: ('c1',), 2: ('c1', 'c4')}
    """
    names = sorted(set(patients.values()))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(names))
    groups = {size: {names[i] for i in order[:size]} for size in sizes}
    return {size: tuple(sorted(c for c, p in patients.items() if p in group)) for size, group in groups.items()}


def whole_patients(count: float, limit: int) -> int | None:
    """Return the count rounded up; None beyond the limit.

    Example:
        >>> whole_patients(60.2, limit=400), whole_patients(4000.0, limit=400)
        (61, None)
    """
    return math.ceil(count) if count <= limit else None
