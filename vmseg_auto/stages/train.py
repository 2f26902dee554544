"""The only training loop. Reaches neither SimpleITK nor any trainer by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from vmseg_auto.contracts import Parts
from vmseg_auto.core.dataset import Fold
from vmseg_auto.core.plan import Plan
from vmseg_auto.ops.devices import computing_alike
from vmseg_auto.ops.memory_advice import within_memory
from vmseg_auto.stages.fold_data import gap_monitor, training_loader, validation_batches
from vmseg_auto.stages.loop import Loop, TrainingState


@dataclass(frozen=True)
class EpochRecord:
    """One row of history.csv. Losses are means over the epoch; NaN where there is no validation case.

    Args:
        val_dice: of validation patches.
        gap_train_dice, gap_val_dice: of the handful of cases that the gap monitor predicts whole, NaN in epochs
            without a look.
        skipped_steps: those whose loss or gradient was NaN or infinite; `train_loss` is without them.
        suspects: the cases that they learnt from, not in the row.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_dice: float
    lr: float
    seconds: float
    gap_train_dice: float
    gap_val_dice: float
    skipped_steps: int = 0
    suspects: tuple[str, ...] = ()

    def to_row(self) -> dict[str, float]:
        row = asdict(self)
        del row["suspects"]
        return {**row, "gap": self.gap_train_dice - self.gap_val_dice}


@dataclass(frozen=True)
class Hooks:
    """Who hears of a training.

    Args:
        step: called with (epoch, step) after each optimiser step.
        epoch: called with the epoch's record.
        save: called with the state after every `recipe.checkpoint_every` epochs and after the last.
        back: called with the number of epochs that stand, and in words what went wrong, where the training goes back.
    """

    step: Callable[[int, int], None]
    epoch: Callable[[EpochRecord], None]
    save: Callable[[TrainingState], None]
    back: Callable[[int, str], None]


def train_fold(
    parts: Parts,
    plan: Plan,
    prepared: Path,
    cases: Fold,
    fold: int | str,
    device: torch.device,
    hooks: Hooks,
    state: TrainingState | None = None,
    workers: int = 1,
) -> TrainingState:
    """Train one fold from the start, or on from `state`.

    Steps whose loss or gradient is not finite are skipped. Where they are many, the training goes back to the state
    that was saved last, with a tenth of the learning rate; it does so once.

    Args:
        parts: network, loss and the rest, as a trainer made them.
        plan: patch and batch size.
        prepared: folder of the prepared cases.
        cases: the fold's training and validation cases.
        fold: its number or "all"; with the recipe's seed it decides all random numbers.
        device: where to compute.
        hooks: who hears of progress.
        state: where an interrupted training stood.
        workers: processes or threads that make patches; their number changes no result.

    Returns:
        The last epoch's state; where the training stopped on the gap, the best look's epoch and weights.

    Raises:
        VmsegError: many steps went wrong again, a worker was ended from outside, or the device's memory is too small.
    """
    recipe = parts.recipe
    every, last = recipe.checkpoint_every, recipe.epochs * recipe.steps
    with within_memory(plan, device), computing_alike(recipe.deterministic, device):
        loop = Loop(parts, device, fold, state)
        validation = validation_batches(parts, plan, prepared, cases, fold)
        monitor = gap_monitor(parts, plan, prepared, cases)
        with training_loader(parts, plan, prepared, cases, fold, device, workers) as loader:
            stream = loader.batches(loop.epoch * recipe.steps, last)
            while not loop.ended:
                began, lr = time.monotonic(), loop.lr
                log = loop.train(islice(stream, recipe.steps), partial(hooks.step, loop.epoch))
                if trouble := loop.trouble(log):
                    loop.go_back(trouble)
                    hooks.back(loop.epoch, trouble)
                    stream.close()
                    stream = loader.batches(loop.epoch * recipe.steps, last)
                    continue
                validated = loop.validate(validation)
                dice = monitor.look(loop.epoch + 1, loop.learner.evaluated, device, loop.learner.dtype)
                record = EpochRecord(
                    loop.epoch + 1, log.mean_loss, *validated, lr, time.monotonic() - began, *dice, log.skipped,
                    log.suspects(),
                )  # fmt: skip
                loop.end_epoch(record.to_row())
                hooks.epoch(record)
                if loop.epoch % every == 0 or loop.epoch == recipe.epochs:
                    hooks.save(loop.keep())
        return loop.final()


def seconds_per_step(
    parts: Parts, plan: Plan, prepared: Path, cases: Fold, fold: int | str, device: torch.device, workers: int
) -> float:
    """Median time of an optimiser step here, over seven steps after three to warm up. Uses `parts` up.

    Raises:
        VmsegError: the device's memory is too small.
    """
    times: list[float] = []
    with within_memory(plan, device), computing_alike(parts.recipe.deterministic, device):
        loop = Loop(parts, device, fold)
        with training_loader(parts, plan, prepared, cases, fold, device, workers) as loader:
            for batch in loader.batches(0, 10):
                began = time.monotonic()
                loop.train([batch], lambda step: None)
                times.append(time.monotonic() - began)
    return float(np.median(times[3:]))
