"""Trainings of tiny cases: what their hooks are called with, and whether two came to the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tiny import PLAN

from vmseg_auto.contracts import Parts
from vmseg_auto.data.dataset import Fold
from vmseg_auto.models.checkpoints import TrainingState
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loop import EpochRecord, Hooks, train_fold
from vmseg_trainers.default import DefaultTrainer

CPU = torch.device("cpu")
CASES = Fold(train=("a", "b"), val=("c",))


def make_parts(config: TrainingConfig, plan: Plan = PLAN) -> Parts:
    torch.manual_seed(config.seed)
    return DefaultTrainer()(plan, config, CPU, channels=1, classes=2)


@dataclass
class Diary(Hooks):
    """Writes down what it is called with."""

    events: list[tuple[object, ...]] = field(default_factory=list)
    records: list[EpochRecord] = field(default_factory=list)
    states: list[TrainingState] = field(default_factory=list)

    def step_ended(self, epoch: int, step: int) -> None:
        self.events.append(("step", epoch, step))

    def epoch_ended(self, record: EpochRecord) -> None:
        self.events.append(("epoch", record.epoch))
        self.records.append(record)

    def gone_back(self, epoch: int, trouble: str) -> None:
        self.events.append(("back", epoch, trouble))

    def save(self, state: TrainingState) -> None:
        self.events.append(("save", state.epoch))
        self.states.append(state)


def trained(
    preprocessed: Path,
    config: TrainingConfig,
    cases: Fold = CASES,
    state: TrainingState | None = None,
    workers: int = 1,
    change: Callable[[Parts], Parts] = lambda parts: parts,
    fold: int | str = 0,
    plan: Plan = PLAN,
) -> tuple[TrainingState, Diary]:
    """A training from the start, or from a state on, and what its hooks were called with."""
    diary = Diary()
    parts = change(make_parts(config, plan))
    return train_fold(FoldSetup(parts, plan, preprocessed, cases, fold, CPU), diary, state, workers), diary


def timeless(row: dict[str, float]) -> dict[str, float | None]:
    """Without the time, and comparable: NaN differs from itself."""
    return {name: None if math.isnan(value) else value for name, value in row.items() if name != "seconds"}


def assert_same(ours: TrainingState, theirs: TrainingState, moment: str = "momentum_buffer") -> None:
    for name, tensor in ours.weights.items():
        assert torch.equal(tensor, theirs.weights[name]), name
    for a, b in zip(ours.history, theirs.history, strict=True):
        assert timeless(a) == timeless(b)
    ours_momentum, theirs_momentum = (state.optimizer["state"] for state in (ours, theirs))
    assert isinstance(ours_momentum, dict)
    assert isinstance(theirs_momentum, dict)
    for index, values in ours_momentum.items():
        assert torch.equal(values[moment], theirs_momentum[index][moment])
