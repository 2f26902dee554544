"""Deterministic training: the same bits twice, and after an interruption; and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from signal import SIGTERM

import torch

from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_most
from benchmarks.gpu_day.learning import parts_of, setup_of
from vmseg_auto.models.checkpoints import TrainingState
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loop import Hooks, seconds_per_step, train_fold
from vmseg_auto.utils.signals import Stopped

STEPS, TOY_STEPS = 20, 4
COST = 2.0
"""A deterministic step may take so many times as long."""
WORKERS = 2


def find(day: Day) -> Iterator[Figure]:
    once = training(day, None)
    yield at_most("weights that differ, a second time", differing(once, training(day, None)), 0)
    half = interrupted(day)
    yield at_most("weights that differ, after an interruption", differing(once, training(day, half)), 0)
    free, bound = (seconds_per_step(setup(day, deterministic), WORKERS) for deterministic in (False, True))
    yield day.target("time of a deterministic step, of a free one's", bound / free, COST)


def setup(day: Day, deterministic: bool) -> FoldSetup:
    cohort = day.cohort("vmsemi53")
    settings = (
        "epochs=1",
        f"iterations_per_epoch={day.size(STEPS, TOY_STEPS)}",
        "monitor_cases=0",
        "validation_share=0",
        "device_augmentation=on",
    )
    parts = parts_of(cohort, day.device, *settings, f"deterministic={str(deterministic).lower()}")
    return setup_of(cohort, parts, day.device)


def training(day: Day, state: TrainingState | None) -> TrainingState:
    """A short training to its end."""
    return train_fold(setup(day, True), Hooks(), state, WORKERS)


def interrupted(day: Day) -> TrainingState:
    """Where the same training stands when it is told to stop half-way."""
    kept, half = _Kept(), day.size(STEPS, TOY_STEPS) // 2
    try:
        train_fold(setup(day, True), kept, None, WORKERS, stop=lambda: SIGTERM * (kept.steps >= half))
    except Stopped:
        return kept.states[-1]
    raise AssertionError("the training did not stop")


class _Kept(Hooks):
    """Counts the steps of an epoch, and keeps states."""

    def __init__(self) -> None:
        self.steps, self.states = 0, list[TrainingState]()

    def step_ended(self, epoch: int, step: int) -> None:
        self.steps = step

    def save(self, state: TrainingState) -> None:
        self.states.append(state)


def differing(one: TrainingState, other: TrainingState) -> float:
    """How many of the weights' tensors are not the same bits."""
    return sum(not torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
