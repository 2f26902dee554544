"""The only training loop. Reaches neither SimpleITK nor any trainer by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vmseg_auto.contracts import DeviceAugment, Parts
from vmseg_auto.core.dataset import Fold
from vmseg_auto.core.errors import VmsegError
from vmseg_auto.core.gap import best_look, gap_alarm, gap_looks
from vmseg_auto.core.plan import Plan
from vmseg_auto.io.batches import Batch, BatchLoader, BatchSource
from vmseg_auto.io.prepared import PreparedFolder
from vmseg_auto.ops.augment import NoAugmentation
from vmseg_auto.ops.devices import sent
from vmseg_auto.ops.gap import GapMonitor
from vmseg_auto.ops.learner import Learner
from vmseg_auto.ops.sampling import PatchSampler, forced_foreground

ALL_STREAM = 1000
"""Number of the fold `all` in random streams."""


@dataclass(frozen=True)
class EpochRecord:
    """One row of history.csv. Losses are means over the epoch; NaN where there is no validation case.

    `val_dice` is that of validation patches; `gap_train_dice` and `gap_val_dice` are those of the handful of cases that
    the gap monitor predicts whole, NaN in epochs without a look.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_dice: float
    lr: float
    seconds: float
    gap_train_dice: float
    gap_val_dice: float

    def to_row(self) -> dict[str, float]:
        return {**asdict(self), "gap": self.gap_train_dice - self.gap_val_dice}


@dataclass(frozen=True)
class TrainingState:
    """What it takes to go on.

    Args:
        epoch: epochs done.
        weights: those to predict with.
        optimizer: the optimizer's state.
        history: one row an epoch.
        live: the weights to learn on from, where they are others than those to predict with.
        best: the weights at the best look at the validation cases, where the recipe says to stop on the gap.
    """

    epoch: int
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    history: tuple[dict[str, float], ...]
    live: dict[str, torch.Tensor] = field(default_factory=dict)
    best: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Hooks:
    """Who hears of a training.

    Args:
        step: called with (epoch, step) after each optimiser step.
        epoch: called with the epoch's record.
        save: called with the state after every `recipe.checkpoint_every` epochs and after the last.
    """

    step: Callable[[int, int], None]
    epoch: Callable[[EpochRecord], None]
    save: Callable[[TrainingState], None]


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
        VmsegError: the loss became NaN or infinite, or a worker was ended from outside.
    """
    recipe = parts.recipe
    loop = _Loop(parts, device)
    history = list(state.history) if state else []
    start = state.epoch if state else 0
    if state:
        loop.restore(state)
    validation = _validation_batches(parts, plan, prepared, cases, fold)
    monitor = _gap_monitor(parts, plan, prepared, cases)
    with _loader(parts, plan, prepared, cases, fold, device, workers) as loader:
        stream = loader.batches(start * recipe.steps, recipe.epochs * recipe.steps)
        for epoch in range(start, recipe.epochs):
            if loop.stopped(history):
                break
            began = time.monotonic()
            lr = parts.schedule(epoch / recipe.epochs)
            train_loss = loop.train(islice(stream, recipe.steps), lr, partial(hooks.step, epoch))
            if not math.isfinite(train_loss):
                raise VmsegError(
                    f"the training loss became {train_loss} in epoch {epoch + 1}",
                    remedy="Run the same command again with a lower learning rate, such as --set lr=0.001 --fresh.",
                )
            val_loss, val_dice = loop.validate(validation)
            dice = monitor.look(epoch + 1, loop.learner.evaluated, device, loop.learner.dtype)
            record = EpochRecord(epoch + 1, train_loss, val_loss, val_dice, lr, time.monotonic() - began, *dice)
            history.append(record.to_row())
            loop.keep_best(history)
            hooks.epoch(record)
            if (epoch + 1) % recipe.checkpoint_every == 0 or epoch + 1 == recipe.epochs:
                hooks.save(loop.state(epoch + 1, history))
    return loop.end(history)


def seconds_per_step(
    parts: Parts, plan: Plan, prepared: Path, cases: Fold, fold: int | str, device: torch.device, workers: int
) -> float:
    """Median time of an optimiser step here, over seven steps after three to warm up. Uses `parts` up."""
    loop = _Loop(parts, device)
    times: list[float] = []
    with _loader(parts, plan, prepared, cases, fold, device, workers) as loader:
        for batch in loader.batches(0, 10):
            began = time.monotonic()
            loop.train([batch], parts.schedule(0.0), lambda step: None)
            times.append(time.monotonic() - began)
    return float(np.median(times[3:]))


def device_augmentation(parts: Parts, device: torch.device) -> DeviceAugment | None:
    """What augments whole batches on the device; None where workers augment samples."""
    stand_in, choice = parts.device_augment, parts.recipe.device_augmentation
    wanted = choice == "on" or (choice == "auto" and device.type == "cuda")
    # A trainer that replaced only `augment` must not lose it.
    return stand_in if wanted and stand_in is not None and stand_in.stands_for == parts.augment else None


def training_source(
    parts: Parts, plan: Plan, prepared: Path, cases: Fold, fold: int | str, device: torch.device
) -> BatchSource:
    """What the training batches of a fold are made from; raw patches where the device augments."""
    share, size = parts.recipe.foreground_share, plan.batch_size
    return BatchSource(
        folder=prepared,
        cases=cases.train,
        sampler=parts.sampler,
        augment=NoAugmentation() if device_augmentation(parts, device) else parts.augment,
        foreground=tuple(forced_foreground(i, size, share) for i in range(size)),
        stream=_stream(parts, fold),
    )


def _loader(
    parts: Parts, plan: Plan, prepared: Path, cases: Fold, fold: int | str, device: torch.device, workers: int
) -> BatchLoader:
    source = training_source(parts, plan, prepared, cases, fold, device)
    return BatchLoader(source, workers, threads=device_augmentation(parts, device) is not None)


class _Loop:
    """A fold's parts at work on one device."""

    def __init__(self, parts: Parts, device: torch.device) -> None:
        self.parts, self.device = parts, device
        recipe = parts.recipe
        self.learner = Learner(
            parts.network.to(device),
            parts.loss,
            parts.optimizer,
            device,
            amp=recipe.amp,
            gradient_clip=recipe.gradient_clip,
            averaging=recipe.averaging,
        )
        self.best: dict[str, torch.Tensor] = {}

    def restore(self, state: TrainingState) -> None:
        self.learner.restore(state.weights, state.live, state.optimizer, state.epoch * self.parts.recipe.steps)
        self.best = state.best

    def state(self, epoch: int, history: list[dict[str, float]]) -> TrainingState:
        weights, live, optimizer = self.learner.state()
        return TrainingState(epoch, weights, optimizer, tuple(history), live, self.best)

    def stopped(self, history: list[dict[str, float]]) -> bool:
        """Whether the training has come to its end before its last epoch."""
        recipe = self.parts.recipe
        return recipe.stop_on_gap and gap_alarm(gap_looks(history), recipe.epochs) is not None

    def keep_best(self, history: list[dict[str, float]]) -> None:
        """Keep the weights if the last epoch's look is the best."""
        looks = gap_looks(history) if self.parts.recipe.stop_on_gap else []
        if looks and best_look(looks).epoch == history[-1]["epoch"]:
            self.best = self.learner.state()[0]

    def end(self, history: list[dict[str, float]]) -> TrainingState:
        last = self.state(self.parts.recipe.epochs, history)
        if not self.stopped(history):
            return last
        return replace(last, epoch=best_look(gap_looks(history)).epoch, weights=self.best)

    def train(self, batches: Iterable[Batch], lr: float, stepped: Callable[[int], None]) -> float:
        """Take a step on each batch; gives the mean loss. The device is waited for only once, at the end."""
        for group in self.parts.optimizer.param_groups:
            group["lr"] = lr
        total, count = torch.zeros((), device=self.device), 0
        for image, label in self._tensors(batches, device_augmentation(self.parts, self.device)):
            total += self.learner.step(image, label)
            count += 1
            stepped(count)
        return float(total) / max(count, 1)

    @torch.inference_mode()
    def validate(self, batches: Iterable[Batch]) -> tuple[float, float]:
        """Mean loss, and Dice over all validation patches taken together, mean over the foreground classes."""
        network = self.learner.evaluated.eval()
        losses, counts = [], torch.zeros(0, device=self.device)
        for image, label in self._tensors(batches):
            logits = self.learner.forward(network, image)
            losses.append(self.parts.loss([logits], label))
            counts = counts + _overlap(logits, label) if len(counts) else _overlap(logits, label)
        if not losses:
            return math.nan, math.nan
        present = counts[:, 1] > 0
        dice = 2 * counts[present, 0] / counts[present, 1]
        return float(torch.stack(losses).mean()), float(dice.mean()) if len(dice) else math.nan

    def _tensors(
        self, batches: Iterable[Batch], augment: DeviceAugment | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for image, label, seeds in sent(batches, self.device):
            if augment is not None:
                image, label = augment(image, label, seeds)
            yield image, label.long()


def _overlap(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """For each foreground class, [intersection, prediction + truth] in voxels, float32 [K - 1, 2]."""
    guess = logits.argmax(1)
    rows = []
    for k in range(1, logits.shape[1]):
        ours, theirs = guess == k, label == k
        rows.append(torch.stack([(ours & theirs).sum(), ours.sum() + theirs.sum()]))
    return torch.stack(rows).float()


def _gap_monitor(parts: Parts, plan: Plan, prepared: Path, cases: Fold) -> GapMonitor:
    folder = PreparedFolder(prepared)
    train, val = ([folder.load(case) for case in side] for side in (cases.train, cases.val))
    return GapMonitor(parts.recipe, plan, train, val)


def _validation_batches(parts: Parts, plan: Plan, prepared: Path, cases: Fold, fold: int | str) -> list[Batch]:
    """The same un-augmented patches after every epoch, so that the curve compares like with like."""
    count = round(parts.recipe.validation_share * parts.recipe.steps) if cases.val else 0
    share, size = max(parts.recipe.foreground_share, 1 / 3), plan.batch_size
    source = BatchSource(
        folder=prepared,
        cases=cases.val,
        sampler=PatchSampler(plan.patch, plan.patch),
        augment=NoAugmentation(),
        foreground=tuple(forced_foreground(i, size, share) for i in range(size)),
        stream=(*_stream(parts, fold), 1),
    )
    opened = source.open() if count else []
    return [source.batch(opened, number) for number in range(count)]


def _stream(parts: Parts, fold: int | str) -> tuple[int, int]:
    return parts.recipe.seed, ALL_STREAM if fold == "all" else int(fold)
