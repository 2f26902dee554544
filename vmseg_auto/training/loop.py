"""The only training loop: a fold's parts at work, epoch by epoch, and the way back where steps go wrong.

It reaches neither SimpleITK nor any trainer by name.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain, islice

import numpy as np
import torch

from vmseg_auto.contracts import DeviceAugment
from vmseg_auto.inference.outputs import masks_of_logits, within
from vmseg_auto.models.checkpoints import TrainingState
from vmseg_auto.models.step_record import StepLog
from vmseg_auto.planning.plan import Plan
from vmseg_auto.training.compiled import compile_mode
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.held_cases import HeldCases
from vmseg_auto.training.loader import Batch, Boxes, batches_ahead
from vmseg_auto.training.memory_advice import within_memory
from vmseg_auto.training.overfitting import best_check, overfitting_alarm, overfitting_checks
from vmseg_auto.training.step import Learner, LearnerState, Step
from vmseg_auto.utils.devices import computing, float32_products
from vmseg_auto.utils.distributed import ALONE, LocalBatch, Ranks
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.labels import IGNORE
from vmseg_auto.utils.signals import Stopped

Coming = Generator[Batch | Boxes, None, None]
LOWERED = 0.1
"""What the learning rate is multiplied by when the training goes back."""
TIMED_STEPS = 7
"""By which a training's time is estimated."""
STEPS_AHEAD = 2
"""Steps that a device may still have to do while it is given the next one."""
SCALE_SEARCH = 16
"""Steps in which GradScaler comes down from its first scale, 2^16, to 1: in float16 so many more may be skipped."""


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


class Hooks:
    """What a training calls as it goes on. Here nothing is done: a subclass does what it is there for."""

    def step_ended(self, epoch: int, step: int) -> None:
        """Hear of an optimiser step that is done, by its number in an epoch that is numbered from 0."""

    def epoch_ended(self, record: EpochRecord) -> None:
        """Hear of an epoch."""

    def save(self, state: TrainingState) -> None:
        """Keep the state: after every `config.checkpoint_every` epochs, after the last, and where a training stops."""

    def gone_back(self, epoch: int, trouble: str) -> None:
        """Hear that the training has gone back, with the number of epochs that stand, and in words what went wrong."""

    def not_compiled(self, text: str) -> None:
        """Hear in a sentence that network and loss could not be compiled, and why."""


def train_fold(
    setup: FoldSetup,
    hooks: Hooks,
    state: TrainingState | None = None,
    workers: int = 1,
    ranks: Ranks = ALONE,
    stop: Callable[[], int] = lambda: 0,
) -> TrainingState:
    """Train one fold from the start, or on from `state`.

    Steps whose loss or gradient is not finite are skipped. Where they are many, or the loss grows beyond reason, the
    training goes back to the state that was saved last, with a tenth of the learning rate; it does so once.

    Args:
        setup: the fold's parts, plan and cases.
        hooks: what is called as it goes on.
        state: where an interrupted training stood.
        workers: processes or threads that make patches; their number changes no result.
        ranks: the processes that share batches and the monitor's checks, each calling this; all come to the same.
        stop: called after each step; returns the number of the signal that asks the training to stop, 0 for none.

    Returns:
        The last epoch's state; where it was stopped early, epoch and weights of the best check.

    Raises:
        VmsegError: many steps went wrong or the loss grew again, a worker was ended from outside, or the device's
            memory is too small.
        InputError: several ranks, and a network that mixes the samples of a batch or draws random numbers.
        Stopped: on every rank, after a step in which one of them was asked to; the state is saved.
    """
    config, device, share = setup.parts.config, setup.device, LocalBatch(ranks, setup.plan.batch_size)
    with within_memory(setup.plan, device), computing(config.deterministic, device):
        loop = Loop(setup, state, share, hooks.not_compiled)
        validation, monitor = setup.validation_batches(ranks), setup.overfitting_monitor()
        with setup.training_loader(workers, share.seen) as loader:
            stream: Coming = loader.batches(loop.steps, config.epochs * config.iterations_per_epoch)
            while not loop.ended:
                began, lr = time.monotonic(), loop.lr
                coming = islice(stream, config.iterations_per_epoch - len(loop.under_way))
                signal = loop.train(coming, partial(hooks.step_ended, loop.epoch), stop)
                trouble = loop.trouble()
                if signal:
                    if not trouble:
                        hooks.save(loop.state())
                    raise Stopped(signal)
                if trouble:
                    loop.go_back(trouble)
                    hooks.gone_back(loop.epoch, trouble)
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
                hooks.epoch_ended(record)
                if loop.epoch % config.checkpoint_every == 0 or loop.epoch == config.epochs:
                    hooks.save(loop.keep())
        return loop.final()


def seconds_per_step(setup: FoldSetup, workers: int, ranks: Ranks = ALONE) -> float:
    """Return the mean seconds from one finished optimiser step to the next, with its waiting for data; the slowest
    rank's.

    Seven steps are timed, once those are over whose batches were made beforehand. Uses the setup's parts up.

    Raises:
        VmsegError: the device's memory is too small.
    """
    share = LocalBatch(ranks, setup.plan.batch_size)
    with within_memory(setup.plan, setup.device), computing(setup.parts.config.deterministic, setup.device):
        loop, before = Loop(setup, None, share), batches_ahead(workers)
        with setup.training_loader(workers, share.seen) as loader:
            stream: Coming = loader.batches(0, before + TIMED_STEPS)
            loop.train(islice(stream, before), lambda step: None)
            began = time.monotonic()
            loop.train(stream, lambda step: None)
            seconds = time.monotonic() - began
    return max(ranks.all_gather(seconds / TIMED_STEPS))


class Loop:
    """A training between two epochs: it takes steps, validates, and knows where to go back to.

    Args:
        setup: the fold to be trained.
        state: where to begin; the parts' own weights unless given.
        share: this process's part of each batch.
        note: called with a sentence where network and loss can't be compiled.
    """

    def __init__(
        self,
        setup: FoldSetup,
        state: TrainingState | None,
        share: LocalBatch,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.setup, self.parts, self.device, self.ranks = setup, setup.parts, setup.device, share.ranks
        parts, config = setup.parts, setup.parts.config
        self.ranks.agree(parts.network.to(self.device))
        self.learner = Learner(
            parts.network,
            parts.loss,
            parts.optimizer,
            self.device,
            amp=config.amp,
            gradient_clip=config.gradient_clip,
            ema_decay=config.ema_decay,
            share=share,
            compiled=compile_mode(config, setup.plan, self.device),
            notify=note,
        )
        self.held = setup.held_cases()
        self.epoch, self.lr_factor = 0, 1.0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.under_way = StepLog()
        if state:
            self._stand_at(state)
        self.sound = state or self.state()
        """Where to go back to."""

    @property
    def lr(self) -> float:
        """The learning rate of the epoch that comes."""
        return self.parts.schedule(self.epoch / self.parts.config.epochs) * self.lr_factor

    @property
    def steps(self) -> int:
        """Steps taken since the training's start."""
        return self.epoch * self.parts.config.iterations_per_epoch + len(self.under_way)

    @property
    def ended(self) -> bool:
        """Whether the training has come to its end, after its last epoch or by early stopping."""
        return self.epoch >= self.parts.config.epochs or self._stopped_early()

    def state(self) -> TrainingState:
        now = self.learner.state()
        return TrainingState(
            epoch=self.epoch,
            weights=now.weights,
            optimizer=now.optimizer,
            history=tuple(self.history),
            live=now.live,
            best=self.best,
            scaler=now.scaler,
            lr_factor=self.lr_factor,
            under_way=self.under_way,
        )

    def keep(self) -> TrainingState:
        """Return the state, and keep it: the training goes back to it where later steps go wrong."""
        self.sound = self.state()
        return self.sound

    def final(self) -> TrainingState:
        """Return the last state; where the training was stopped early, epoch and weights of the best check."""
        last = self.state()
        if not self._stopped_early():
            return last
        return replace(last, epoch=best_check(overfitting_checks(self.history)).epoch, weights=self.best)

    def end_epoch(self, row: dict[str, float]) -> None:
        """Record the epoch, and keep the weights if its check is the best."""
        self.epoch += 1
        self.under_way = StepLog()
        self.history.append(row)
        checks = overfitting_checks(self.history) if self.parts.config.early_stopping else []
        if checks and best_check(checks).epoch == self.epoch:
            self.best = self.learner.state().weights

    def trouble(self) -> str | None:
        """Return in words why the epoch's steps can't stand; None where they can."""
        log, spare = self.under_way, SCALE_SEARCH if self.learner.scaler.is_enabled() else 0
        if log.too_many(spare):
            named = f"; they learnt from {', '.join(log.suspects())}" if log.suspects() else ""
            return (
                f"{log.skipped} of {len(log)} steps of epoch {self.epoch + 1} gave a NaN or infinite loss or "
                f"gradient{named}"
            )
        if not self.learner.is_finite():
            return f"weights became NaN or infinite in epoch {self.epoch + 1}; the last step learnt from " + ", ".join(
                log.cases[-1]
            )
        if log.beyond_reason(self.history[0]["train_loss"] if self.history else None):
            return f"the loss grew to {log.mean_loss:.3g} in epoch {self.epoch + 1}; the last step learnt from " + (
                ", ".join(log.cases[-1])
            )
        return None

    def go_back(self, trouble: str) -> None:
        """Go back to the last kept state, with a lower learning rate; once in a training.

        Raises:
            VmsegError: it has been done before.
        """
        if self.lr_factor < 1:
            raise VmsegError(
                f"the training fails also with {self.lr_factor:g} times the learning rate: {trouble}",
                remedy="Look at the scans and masks of the cases named. Where they are sound, train with a lower "
                f"learning rate: --set lr={self.parts.config.lr * LOWERED**2:g} --fresh.",
            )
        self._stand_at(replace(self.sound, lr_factor=LOWERED))

    def train(
        self, batches: Iterable[Batch | Boxes], stepped: Callable[[int], None], stop: Callable[[], int] = lambda: 0
    ) -> int:
        """Take a step on each batch, on with the epoch that is under way.

        CUDA is given the next step while it does the last ones, and waited for at the end.

        Args:
            stepped: called with each step's number in the epoch, once the device has done it.
            stop: returns the number of the signal that asks this process to stop; 0 for none.

        Returns:
            The number of a signal that one of the ranks got; 0 where all steps are taken.
        """
        for group in self.parts.optimizer.param_groups:
            group["lr"] = self.lr
        steps: list[Step] = []
        done = _Done(self.device, stepped)
        cases, signal = [], 0
        for image, label, batch in self._tensors(batches, self.setup.device_augment):
            number = len(self.under_way) + len(steps)
            # So that layers that draw random numbers draw the same after an interruption.
            seed = np.random.SeedSequence([*self.setup.stream, self.epoch, number])
            torch.manual_seed(int(seed.generate_state(1)[0]))
            steps.append(self.learner.step(image, label))
            cases.append(batch.cases)
            done.soon(number + 1)
            if signal := self.ranks.all_max(stop()):
                break
        done.wait()
        if steps:
            losses, good = (torch.stack(values).tolist() for values in zip(*steps, strict=True))
            gathered = zip(*self.ranks.all_gather(cases), strict=True)
            learnt = tuple(tuple(dict.fromkeys(chain.from_iterable(ranks))) for ranks in gathered)
            self.under_way += StepLog(tuple(losses), tuple(good), learnt)
        return signal

    @torch.inference_mode()
    def validate(self, batches: Iterable[Batch]) -> tuple[float, float]:
        """Return the mean loss, and the Dice over all validation patches taken together, mean over foreground classes.

        Args:
            batches: those of this process.
        """
        network = self.learner.evaluated.eval()
        own = []
        for image, label, _ in self._tensors(batches):
            logits = self.learner.forward(network, image)
            own.append((self.parts.loss([logits], label), _overlap(logits, label, self.setup.plan)))
        seen = self.ranks.gather_in_order((float(loss), overlap.cpu()) for loss, overlap in own)
        if not seen:
            return math.nan, math.nan
        losses, overlaps = zip(*seen, strict=True)
        counts = torch.stack(overlaps).sum(0)
        present = counts[:, 1] > 0
        dice = 2 * counts[present, 0] / counts[present, 1]
        return float(np.mean(losses)), float(dice.mean()) if len(dice) else math.nan

    def _stand_at(self, state: TrainingState) -> None:
        self.epoch, self.history, self.best = state.epoch, list(state.history), state.best
        self.lr_factor, self.under_way = state.lr_factor, state.under_way
        self.learner.restore(LearnerState(state.weights, state.live, state.optimizer, state.scaler), self.steps)

    def _stopped_early(self) -> bool:
        config = self.parts.config
        return config.early_stopping and overfitting_alarm(overfitting_checks(self.history), config.epochs) is not None

    def _tensors(
        self, batches: Iterable[Batch | Boxes], augment: DeviceAugment | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, Batch | Boxes]]:
        for image, label, batch in sent(batches, self.device, self.held):
            if augment is not None:
                with float32_products(self.device, self.learner.dtype):
                    image, label = augment(image, label, batch.seeds)
            yield image, label.long(), batch


class _Done:
    """Tells of each step when the device has done it, at most STEPS_AHEAD steps after it was asked for."""

    def __init__(self, device: torch.device, tell: Callable[[int], None]) -> None:
        self.device, self.tell = device, tell
        self._coming: deque[tuple[int, torch.cuda.Event]] = deque()

    def soon(self, step: int) -> None:
        """Tell of a step that the device has just been asked for, and of those before it that are done."""
        if self.device.type != "cuda":
            self.tell(step)
            return
        self._coming.append((step, torch.cuda.Event()))  # type: ignore[no-untyped-call]
        self._coming[-1][1].record(torch.cuda.current_stream(self.device))
        while self._coming and (len(self._coming) > STEPS_AHEAD or self._coming[0][1].query()):  # type: ignore[no-untyped-call]
            self._tell_next()

    def wait(self) -> None:
        """Wait until all steps are done."""
        while self._coming:
            self._tell_next()

    def _tell_next(self) -> None:
        step, event = self._coming.popleft()
        event.synchronize()
        self.tell(step)


def _overlap(logits: torch.Tensor, label: torch.Tensor, plan: Plan) -> torch.Tensor:
    """Return for each label [intersection, prediction + truth] in annotated voxels, float32 [labels, 2]."""
    masks = masks_of_logits(logits.movedim(1, 0), bool(plan.regions)) & (label != IGNORE)
    rows = []
    for ours, values in zip(masks, plan.label_values(logits.shape[1]), strict=True):
        theirs = within(label, values)
        rows.append(torch.stack([(ours & theirs).sum(), ours.sum() + theirs.sum()]))
    return torch.stack(rows).float()


def sent(
    batches: Iterable[Batch | Boxes], device: torch.device, held: HeldCases | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor, Batch | Boxes]]:
    """Yield images and labels of each batch, on the device, and the batch itself; boxes are cut from cases held there.

    To CUDA they go from pinned memory on a stream of their own: a batch is copied while the device still works on
    the one before, and the CPU waits for neither.
    """
    side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    for batch in batches:
        if isinstance(batch, Boxes):
            assert held is not None
            yield *held.cut(batch), batch
            continue
        image, label = torch.from_numpy(batch.image), torch.from_numpy(batch.label)
        if side is None:
            yield image.to(device), label.to(device), batch
            continue
        with torch.cuda.stream(side):
            image = image.pin_memory().to(device, non_blocking=True)
            label = label.pin_memory().to(device, non_blocking=True)
        main = torch.cuda.current_stream(device)
        main.wait_stream(side)
        # Their memory belongs to the side stream, which must not reuse it while the main one reads.
        image.record_stream(main)
        label.record_stream(main)
        yield image, label, batch
