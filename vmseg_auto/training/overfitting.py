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
"""Looks whose median counts, and that must have passed without improvement, at least."""
PATIENCE = 0.1
"""The same as a share of the training."""
EARLIEST = 1 / 3
"""Share of the training before which nothing is said."""


@dataclass(frozen=True)
class GapLook:
    """Mean whole-case Dice of the handful on each side after an epoch (counted from 1)."""

    epoch: int
    train: float
    val: float

    @property
    def gap(self) -> float:
        return self.train - self.val


@dataclass(frozen=True)
class GapAlarm:
    """The gap has widened while validation stood still.

    Args:
        look: at which this was found; its Dice are the medians that the rule goes by.
        since: epoch of the look at which validation last improved.
    """

    look: GapLook
    since: int


def gap_looks(history: Sequence[Mapping[str, float]]) -> list[GapLook]:
    """The looks among a training's epochs (rows of history.csv)."""
    looks = [
        GapLook(int(row["epoch"]), row.get("gap_train_dice", float("nan")), row.get("gap_val_dice", float("nan")))
        for row in history
    ]
    return [look for look in looks if isfinite(look.gap)]


def best_look(looks: Sequence[GapLook]) -> GapLook:
    """The look with the highest validation Dice; the first of equals."""
    return max(looks, key=lambda look: look.val)


def gap_alarm(looks: Sequence[GapLook], epochs: int) -> GapAlarm | None:
    """The first alarm of a training; later looks never change it.

    It is given after a third of the training, when validation has not improved for a tenth of it and the gap has
    widened meanwhile. What counts are medians over the looks of the last tenth of the training, so that one good or
    bad look changes nothing.

    Args:
        looks: in the order of epochs.
        epochs: of the whole training.
    """
    record, at = None, 0
    for index in range(FEWEST - 1, len(looks)):
        now = _median(looks[: index + 1], PATIENCE * epochs)
        if record is None or now.val > record.val + IMPROVED:
            record, at = now, index
        elif (
            now.epoch >= EARLIEST * epochs
            and now.epoch - record.epoch >= PATIENCE * epochs
            and index - at >= FEWEST
            and now.gap - record.gap >= WIDENED
        ):
            return GapAlarm(now, record.epoch)
    return None


def _median(looks: Sequence[GapLook], span: float) -> GapLook:
    """The medians within the last `span` epochs, of FEWEST looks at least."""
    last = looks[-1].epoch
    count = max(FEWEST, sum(look.epoch > last - span for look in looks))
    near = looks[-count:]
    return GapLook(last, median(look.train for look in near), median(look.val for look in near))
