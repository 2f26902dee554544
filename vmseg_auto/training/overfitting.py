"""The gap between training and validation Dice, and when it is a warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

WIDENED = 0.05
"""By how much the gap must have grown since validation last improved."""
IMPROVED = 0.005
"""By how much validation Dice must exceed its record to count as improved."""
FEWEST = 3
"""Checks whose median counts, and that must have passed without improvement, at least."""
PATIENCE = 0.1
"""The same as a share of the training."""
EARLIEST = 1 / 3
"""Share of the training before which no alarm is given."""


@dataclass(frozen=True)
class OverfittingCheck:
    """Mean whole-case Dice of the handful on each side after an epoch (counted from 1)."""

    epoch: int
    train: float
    val: float

    @property
    def gap(self) -> float:
        return self.train - self.val


@dataclass(frozen=True)
class OverfittingAlarm:
    """The gap has widened while validation stood still.

    Args:
        check: at which this was found; its Dice are the medians that the rule goes by.
        since: epoch of the check at which validation last improved.
    """

    check: OverfittingCheck
    since: int


def overfitting_checks(history: Sequence[Mapping[str, float]]) -> list[OverfittingCheck]:
    """Return the checks among a training's epochs (rows of history.csv)."""
    checks = [
        OverfittingCheck(
            int(row["epoch"]), row.get("gap_train_dice", float("nan")), row.get("gap_val_dice", float("nan"))
        )
        for row in history
    ]
    return [check for check in checks if isfinite(check.gap)]


def best_check(checks: Sequence[OverfittingCheck]) -> OverfittingCheck:
    """Return the check with the highest validation Dice; the first of equals.

    Example:
        >>> best_check([OverfittingCheck(10, 0.70, 0.60), OverfittingCheck(20, 0.90, 0.55)]).epoch
        10
    """
    return max(checks, key=lambda check: check.val)


def overfitting_alarm(checks: Sequence[OverfittingCheck], epochs: int) -> OverfittingAlarm | None:
    """Return the first alarm of a training, which later checks never change; None where there is none.

    It is given after a third of the training, when validation has not improved for a tenth of it and the gap has
    widened meanwhile, to more than 0. What counts are medians over the checks of the last tenth of the training, so
    that one good or bad check changes nothing.

    Args:
        checks: in the order of epochs.
        epochs: of the whole training.

    Example:
        >>> checks = [OverfittingCheck(n, 0.5 + n / 250, 0.6) for n in range(10, 101, 10)]
        >>> alarm = overfitting_alarm(checks, epochs=100)
        >>> alarm.check.epoch, alarm.since, round(alarm.check.gap, 2)
        (60, 30, 0.1)
    """
    record, at = None, 0
    for index in range(FEWEST - 1, len(checks)):
        now = _median(checks[: index + 1], PATIENCE * epochs)
        if record is None or now.val > record.val + IMPROVED:
            record, at = now, index
        elif (
            now.epoch >= EARLIEST * epochs
            and now.epoch - record.epoch >= PATIENCE * epochs
            and index - at >= FEWEST
            and now.gap - max(record.gap, 0.0) >= WIDENED
        ):
            return OverfittingAlarm(now, record.epoch)
    return None


def _median(checks: Sequence[OverfittingCheck], span: float) -> OverfittingCheck:
    """Return the medians within the last `span` epochs, of FEWEST checks at least."""
    last = checks[-1].epoch
    count = max(FEWEST, sum(check.epoch > last - span for check in checks))
    near = checks[-count:]
    return OverfittingCheck(last, median(check.train for check in near), median(check.val for check in near))
