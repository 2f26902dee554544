"""The only training loop. Reaches neither SimpleITK nor any trainer by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

import numpy as np

from vmseg_auto.models.checkpoints import TrainingState
from vmseg_auto.training.epoch import Loop
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.memory_advice import within_memory
from vmseg_auto.utils.devices import computing_alike
from vmseg_auto.utils.distributed import ALONE, LocalBatch, Ranks
from vmseg_auto.utils.signals import Stopped


@dataclass(frozen=True)
class EpochRecord:
    """One row of history.csv. Losses are means over the epoch; NaN where there is no validation case.

    Args:
        val_dice: of validation patches.
        gap_train_dice, gap_val_dice: of the handful of cases that the overfitting monitor predicts whole, NaN in
            epochs without a check.
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
        save: called with the state after every `config.checkpoint_every` epochs and after the last, and where it stops.
        back: called with the number of epochs that stand, and in words what went wrong, where the training goes back.
        stop: called after each step; gives the number of the signal that asks the training to stop, 0 for none.
    """

    step: Callable[[int, int], None]
    epoch: Callable[[EpochRecord], None]
    save: Callable[[TrainingState], None]
    back: Callable[[int, str], None]
    stop: Callable[[], int] = lambda: 0

    @classmethod
    def silent(cls, stop: Callable[[], int]) -> Hooks:
        """Those of a process that leaves the telling and saving to another."""
        return cls(lambda epoch, step: None, lambda record: None, lambda state: None, lambda epoch, why: None, stop)


def train_fold(
    setup: FoldSetup,
    hooks: Hooks,
    state: TrainingState | None = None,
    workers: int = 1,
    ranks: Ranks = ALONE,
) -> TrainingState:
    """Train one fold from the start, or on from `state`.

    Steps whose loss or gradient is not finite are skipped. Where they are many, or the loss grows beyond reason, the
    training goes back to the state that was saved last, with a tenth of the learning rate; it does so once.

    Args:
        setup: the fold's parts, plan and cases.
        hooks: who hears of progress.
        state: where an interrupted training stood.
        workers: processes or threads that make patches; their number changes no result.
        ranks: the processes that share batches and the monitor's checks, each calling this; all come to the same.

    Returns:
        The last epoch's state; where the training stopped on the gap, the best look's epoch and weights.

    Raises:
        VmsegError: many steps went wrong or the loss grew again, a worker was ended from outside, or the device's
            memory is too small.
        InputError: several ranks, and a network that mixes the samples of a batch or draws random numbers.
        Stopped: on every rank, after a step in which one of them was asked to; the state is saved.
    """
    config, device, share = setup.parts.config, setup.device, LocalBatch(ranks, setup.plan.batch_size)
    with within_memory(setup.plan, device), computing_alike(config.deterministic, device):
        loop = Loop(setup, state, share)
        validation, monitor = setup.validation_batches(ranks), setup.overfitting_monitor()
        with setup.training_loader(workers, share.seen) as loader:
            stream = loader.batches(loop.steps, config.epochs * config.iterations_per_epoch)
            while not loop.ended:
                began, lr = time.monotonic(), loop.lr
                coming = islice(stream, config.iterations_per_epoch - len(loop.under_way))
                signal = loop.train(coming, partial(hooks.step, loop.epoch), hooks.stop)
                trouble = loop.trouble()
                if signal:
                    if not trouble:
                        hooks.save(loop.state())
                    raise Stopped(signal)
                if trouble:
                    loop.go_back(trouble)
                    hooks.back(loop.epoch, trouble)
                    stream.close()
                    stream = loader.batches(loop.steps, config.epochs * config.iterations_per_epoch)
                    continue
                validated = loop.validate(validation)
                dice = monitor.check(loop.epoch + 1, loop.learner.evaluated, device, loop.learner.dtype, ranks)
                log = loop.under_way
                record = EpochRecord(
                    loop.epoch + 1, log.mean_loss, *validated, lr, time.monotonic() - began, *dice, log.skipped,
                    log.suspects(),
                )  # fmt: skip
                loop.end_epoch(record.to_row())
                hooks.epoch(record)
                if loop.epoch % config.checkpoint_every == 0 or loop.epoch == config.epochs:
                    hooks.save(loop.keep())
        return loop.final()


def seconds_per_step(setup: FoldSetup, workers: int, ranks: Ranks = ALONE) -> float:
    """Median time of an optimiser step here, over seven steps after three to warm up; the slowest rank's.

    Uses the setup's parts up.

    Raises:
        VmsegError: the device's memory is too small.
    """
    times: list[float] = []
    share = LocalBatch(ranks, setup.plan.batch_size)
    with within_memory(setup.plan, setup.device), computing_alike(setup.parts.config.deterministic, setup.device):
        loop = Loop(setup, None, share)
        with setup.training_loader(workers, share.seen) as loader:
            for batch in loader.batches(0, 10):
                began = time.monotonic()
                loop.train([batch], lambda step: None)
                times.append(time.monotonic() - began)
    return max(ranks.all_gather(float(np.median(times[3:]))))
