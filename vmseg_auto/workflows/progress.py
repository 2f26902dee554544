"""What the user sees of a training while it runs."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence

from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.figures.plots import write_charts
from vmseg_auto.figures.training_charts import dice_chart, loss_chart
from vmseg_auto.models.checkpoints import TrainingState
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.loop import EpochRecord, Hooks
from vmseg_auto.training.overfitting import best_check, overfitting_alarm, overfitting_checks
from vmseg_auto.utils.console import Console, Progress
from vmseg_auto.utils.tables import write_csv

CURVE_SECONDS = 20
"""Seconds between two drawings of the curve, so that drawing never holds training up."""
JUDGED_STEPS = 9
"""By which the duration is estimated."""


class FoldProgress(Hooks):
    """Follows a fold's training for the user: writes history and curve, estimates the duration, and warns.

    Args:
        history: the epochs done before.
        validation_work: that of predicting the fold's validation cases afterwards, in optimiser steps.
        log: passes an epoch on to the loggers of the user's choice.
        keep: keeps a state to go on from.
        before: steps that are not judged: their batches were made beforehand, and workers or a compiler still start.
    """

    def __init__(
        self,
        folder: FoldFolder,
        config: TrainingConfig,
        console: Console,
        progress: Progress,
        history: Sequence[dict[str, float]] = (),
        validation_work: float = 0.0,
        log: Callable[[EpochRecord], None] = lambda record: None,
        keep: Callable[[TrainingState], None] = lambda state: None,
        before: int = 3,
    ) -> None:
        self.folder, self.config, self.console, self.progress = folder, config, console, progress
        self.history, self.validation_work = list(history), validation_work
        self.log, self.keep = log, keep
        self.drawn = self.last = time.monotonic()
        self.steps, self.before, self.told = 0, before, False
        self.step_seconds: deque[float] = deque(maxlen=JUDGED_STEPS)
        self.warned = overfitting_alarm(overfitting_checks(self.history), config.epochs) is not None
        self.warned_of_skipped = any(row.get("skipped_steps", 0) for row in self.history)

    def step_ended(self, epoch: int, step: int) -> None:
        """Note that a step is finished; once, estimate what is left by the steps until now and their waiting."""
        self.progress.advance()
        now, self.steps = time.monotonic(), self.steps + 1
        # What an epoch's first step waits for is the end of the one before.
        if self.steps > self.before and (step > 1 or self.config.iterations_per_epoch == 1):
            self.step_seconds.append(now - self.last)
        self.last = now
        if len(self.step_seconds) == JUDGED_STEPS and not self.told:
            self.told, one = True, statistics.mean(self.step_seconds)
            left = (self.config.epochs - epoch) * self.config.epoch_work
            validation = one * self.validation_work
            after = f"; {duration(validation)} of it for predicting its validation cases" if validation else ""
            self.console.say(
                f"Fold {self.folder.name} will take about {duration(one * left + validation)} here "
                f"({self.config.epochs - epoch} epochs of {self.config.iterations_per_epoch} steps{after})."
            )

    def epoch_ended(self, record: EpochRecord) -> None:
        self.history.append(record.to_row())
        write_csv(self.folder.history, list(record.to_row()), self.history)
        self.progress.note(*self._notes(record))
        self._warn_of_overfitting()
        self._warn_of_skipped(record)
        if time.monotonic() - self.drawn > CURVE_SECONDS:
            self.draw()
        self.log(record)

    def save(self, state: TrainingState) -> None:
        self.keep(state)

    def gone_back(self, epoch: int, trouble: str) -> None:
        """Note that the training goes on from the end of an earlier epoch, with a lower learning rate."""
        lost = len(self.history) + 1 - epoch
        self.history = self.history[:epoch]
        self.progress.advance(-lost * self.config.iterations_per_epoch)
        start = f"the state after epoch {epoch}" if epoch else "its start"
        self.console.warn(
            f"Fold {self.folder.name} goes back to {start}, and on with a tenth of the learning rate: {trouble}."
        )

    def not_compiled(self, text: str) -> None:
        self.console.warn(text)

    def _warn_of_skipped(self, record: EpochRecord) -> None:
        """Warn of skipped steps, once in a training; history.csv counts on."""
        if not record.skipped_steps or self.warned_of_skipped:
            return
        self.warned_of_skipped = True
        named = f" They learnt from {', '.join(record.suspects)}." if record.suspects else ""
        skipped = f"{record.skipped_steps} of {self.config.iterations_per_epoch} steps"
        self.console.warn(
            f"Fold {self.folder.name}, epoch {record.epoch}: {skipped} gave a NaN or infinite loss or gradient and "
            f"were skipped.{named} A few do no harm; history.csv counts them (skipped_steps)."
        )

    def _notes(self, record: EpochRecord) -> list[str]:
        """Return the last check at whole cases, or before the first the Dice of validation patches; then epoch and
        loss.
        """
        where = [f"epoch {record.epoch}/{self.config.epochs}", f"loss {record.train_loss:.3f}"]
        if checks := overfitting_checks(self.history):
            last = checks[-1]
            return [f"validation Dice {last.val:.3f}", f"train Dice {last.train:.3f}", *where, f"gap {last.gap:.3f}"]
        dice = self.history[-1]["val_dice"]
        return where if math.isnan(dice) else [f"Dice of patches {dice:.3f}", *where]

    def _warn_of_overfitting(self) -> None:
        """Warn of overfitting, once in a training."""
        checks = overfitting_checks(self.history)
        alarm = None if self.warned else overfitting_alarm(checks, self.config.epochs)
        if alarm is None:
            return
        self.warned = True
        best = best_check(checks)
        what_now = (
            f"It ends here, in epoch {alarm.check.epoch} of {self.config.epochs}, with the weights of epoch "
            f"{best.epoch}, the best on validation cases ({best.val:.2f})."
            if self.config.early_stopping
            else "More patients or more augmentation (--set strong_augmentation=true) may help; more epochs do not. "
            "With --set early_stopping=true --fresh a training ends at this point, with its best weights."
        )
        self.console.warn(
            f"Fold {self.folder.name} learns its training cases by heart: Dice {alarm.check.train:.2f} on them and "
            f"{alarm.check.val:.2f} on validation cases, which have not improved since epoch {alarm.since}. {what_now}"
        )

    def draw(self) -> None:
        charts = loss_chart([self.history]), dice_chart(self.folder.name, self.history)
        write_charts(charts, self.folder.curve)
        self.drawn = time.monotonic()


def duration(seconds: float) -> str:
    """Write a time as a person reads it: "40 s", "12 min", "3 h 20 min".

    >>> duration(40), duration(750), duration(12_000)
    ('40 s', '12 min', '3 h 20 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
