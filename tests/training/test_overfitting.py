"""The gap's alarm is given where validation stands still while training goes on, and nowhere else."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.training.overfitting import (
    IMPROVED,
    WIDENED,
    OverfittingCheck,
    best_check,
    overfitting_alarm,
    overfitting_checks,
)

dices = st.floats(0, 1)


def checks(train: list[float], val: list[float], every: int = 1) -> list[OverfittingCheck]:
    return [OverfittingCheck(every * (i + 1), a, b) for i, (a, b) in enumerate(zip(train, val, strict=True))]


def rising(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * i / (count - 1) for i in range(count)]


def test_overfitting_is_noticed_a_tenth_of_the_training_after_validation_stood_still() -> None:
    """20 checks in 1000 epochs; from epoch 400 on only the training cases get better."""
    val = [*rising(0.2, 0.6, 8), *([0.6] * 12)]
    alarm = overfitting_alarm(checks(rising(0.2, 1.0, 20), val, every=50), 1000)
    assert alarm is not None
    assert 400 < alarm.since <= 500
    assert alarm.since + 100 <= alarm.check.epoch <= alarm.since + 200
    assert alarm.check.val == 0.6


def test_a_wide_gap_that_does_not_widen_is_no_alarm() -> None:
    assert overfitting_alarm(checks([0.9] * 40, [0.5] * 40), 40) is None


def test_a_network_that_is_no_better_on_its_training_cases_is_no_alarm() -> None:
    """Its training cases are the harder ones, and it only catches up on them."""
    assert overfitting_alarm(checks(rising(0.2, 0.6, 40), [0.6] * 40), 40) is None


def test_validation_that_still_improves_is_no_alarm() -> None:
    assert overfitting_alarm(checks(rising(0.2, 1.0, 40), rising(0.2, 0.6, 40)), 40) is None


def test_nothing_is_said_in_the_first_third() -> None:
    alarm = overfitting_alarm(checks(rising(0.0, 1.0, 30), [0.1] * 30), 90)
    assert alarm is not None
    assert alarm.check.epoch == 30


def test_one_bad_look_is_no_alarm_and_one_good_one_no_improvement() -> None:
    train, val = rising(0.7, 0.72, 30), [0.7] * 30
    val[20] = 0.3
    assert overfitting_alarm(checks(train, val), 30) is None
    val = [*rising(0.1, 0.5, 10), *([0.5] * 20)]
    smooth = overfitting_alarm(checks(rising(0.1, 1.0, 30), val), 30)
    assert smooth is not None
    val[smooth.check.epoch - 2] += 2 * IMPROVED
    assert overfitting_alarm(checks(rising(0.1, 1.0, 30), val), 30) == smooth


@given(rows=st.lists(st.tuples(dices, dices), max_size=30), more=st.lists(st.tuples(dices, dices), max_size=5))
def test_later_looks_never_change_an_alarm(rows: list[tuple[float, float]], more: list[tuple[float, float]]) -> None:
    """So a training that goes on after a pause stops where it would have stopped without."""
    sequence = [OverfittingCheck(epoch, *row) for epoch, row in enumerate([*rows, *more], 1)]
    alarm = overfitting_alarm(sequence[: len(rows)], 35)
    if alarm is not None:
        assert overfitting_alarm(sequence, 35) == alarm
        assert alarm.since < alarm.check.epoch


@given(val=st.lists(dices, min_size=3, max_size=30), gap=st.floats(-0.2, 0.2), noise=st.floats(0, WIDENED / 3))
def test_a_gap_that_stays_is_never_an_alarm(val: list[float], gap: float, noise: float) -> None:
    train = [v + gap + noise * (-1) ** i for i, v in enumerate(val)]
    assert overfitting_alarm(checks(train, val), len(val)) is None


def test_looks_are_read_from_the_history() -> None:
    nan = math.nan
    history = [
        {"epoch": 1, "train_loss": 0.9},
        {"epoch": 2, "gap_train_dice": nan, "gap_val_dice": nan},
        {"epoch": 3, "gap_train_dice": 0.5, "gap_val_dice": 0.25},
        {"epoch": 4.0, "gap_train_dice": 0.75, "gap_val_dice": 0.25},
    ]
    found = overfitting_checks(history)
    assert found == [OverfittingCheck(3, 0.5, 0.25), OverfittingCheck(4, 0.75, 0.25)]
    assert [check.gap for check in found] == [0.25, 0.5]
    assert best_check(found).epoch == 3
