"""What each training of benchmarks.cohorts gave, case by case: one file, to which every finished training is added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.ablation_results import InputSource
from benchmarks.cohort_scores import Score
from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.locks import locked

PATIENCE_S = 60.0


@dataclass(frozen=True, order=True)
class Budget:
    """How long a training may be; one of the two.

    Args:
        steps: optimiser steps, 0 where time counts.
        minutes: of the training, 0 where steps count.
    """

    steps: int = 0
    minutes: float = 0.0

    @property
    def name(self) -> str:
        """Of folders."""
        return f"{self.steps}steps" if self.steps else f"{self.minutes:g}min"

    def text(self) -> str:
        return f"{self.steps} steps" if self.steps else f"{self.minutes:g} minutes"


@dataclass(frozen=True, order=True)
class Cell:
    """One training.

    Args:
        experiment: its name.
        budget: of the training.
        memory_gb: of the plan.
        row: nnU-Net, or a row of the ablation.
        seed, fold: numbers.
    """

    experiment: str
    budget: Budget
    memory_gb: float
    row: str
    seed: int
    fold: int

    def text(self) -> str:
        return f"{self.experiment}, {self.budget.text()}, {self.row}, seed {self.seed}, fold {self.fold}"


@dataclass(frozen=True)
class Finished:
    """A training with the scores of the cases that it was tested on.

    Args:
        cell: which.
        settings: what of ours was trained, as `trainer`, then `field=value`; empty of nnU-Net.
        reserved: whether no choice may have seen its test cases.
        made: where, and with which precision.
        steps, seconds: that the training took, without preprocessing and prediction.
        patients: test case -> patient.
        scores: label -> test case -> score.
    """

    cell: Cell
    settings: tuple[str, ...]
    reserved: bool
    made: InputSource
    steps: int
    seconds: float
    patients: dict[str, str]
    scores: dict[str, dict[str, Score]]


@dataclass(frozen=True)
class CohortResults(Stored):
    """The file: every finished training, sorted."""

    finished: tuple[Finished, ...] = ()
    schema: int = 1

    def cells(self) -> set[Cell]:
        return {one.cell for one in self.finished}


def load(path: Path) -> CohortResults:
    """Nothing where there is no file yet."""
    return read_stored(CohortResults, path) if path.is_file() else CohortResults()


def add(path: Path, new: Finished) -> None:
    """Write a training into the file, in place of an earlier one of the same cell; others may write to it meanwhile."""
    with locked(path.with_suffix(".lock"), "benchmarks.cohorts", Silent(), PATIENCE_S):
        before = load(path)
        others: Iterable[Finished] = (one for one in before.finished if one.cell != new.cell)
        finished = tuple(sorted((*others, new), key=lambda one: one.cell))
        write_json(path, replace(before, finished=finished).to_json())
