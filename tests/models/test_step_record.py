"""An epoch's steps: their mean, and when too many went wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.models.step_record import StepLog


def log(pattern: str, cases: str = "") -> StepLog:
    """`+` is a good step, `-` a skipped one; a letter for each step is its case."""
    losses = tuple(0.5 + number if good == "+" else math.nan for number, good in enumerate(pattern))
    named = tuple((case,) for case in cases or "x" * len(pattern))
    return StepLog(losses, tuple(good == "+" for good in pattern), named)


def test_the_mean_is_that_of_good_steps() -> None:
    assert log("+-+").mean_loss == pytest.approx((0.5 + 2.5) / 2)
    assert math.isnan(log("--").mean_loss)
    infinite = StepLog((math.inf, 1.0, 3.0), (False, True, False), ((), (), ()))
    assert infinite.mean_loss == 1.0, "a finite loss with a gradient that is not"


@pytest.mark.parametrize(
    ("pattern", "spare", "expected"),
    [
        ("+" * 50, 0, False),
        ("-", 0, True),
        ("--", 0, True),
        ("+-+", 0, False),
        ("-+-", 0, True),
        ("+" * 90 + "-+" * 5, 0, False),
        ("+" * 89 + "-+" * 5 + "-", 0, False),
        ("+" * 80 + "-+" * 11, 0, True),
        ("+" * 900 + "-" * 9, 0, False),
        ("+" * 900 + "-" * 10, 0, True),
        ("+" * 900 + "-" * 10, 1, False),
        ("-", 1, False),
        ("-" * 18 + "+" * 2, 16, False),
        ("-" * 19 + "+", 16, True),
    ],
)
def test_more_than_a_tenth_or_ten_in_a_row_are_too_many(pattern: str, spare: int, expected: bool) -> None:
    assert log(pattern).too_many(spare) == expected


@given(good=st.lists(st.booleans(), min_size=1, max_size=60), spare=st.integers(0, 20))
def test_one_more_skipped_step_never_makes_it_better(good: list[bool], spare: int) -> None:
    steps = StepLog((1.0,) * len(good), tuple(good), ((),) * len(good))
    worse = StepLog((1.0,) * len(good), (False, *good[1:]), ((),) * len(good))
    assert steps.skipped == sum(not one for one in good)
    assert worse.too_many(spare) >= steps.too_many(spare)


def test_suspects_are_first_the_cases_that_always_fail() -> None:
    assert log("+-+-+-+", "abacabb").suspects() == ("c", "b")
    assert log("+--++", "abcba").suspects() == ("c", "b")
    assert log("+++", "abc").suspects() == ()
    assert log("--------", "abcdefgh").suspects() == tuple("hgfedc"), "the last ones, no more than six"


def test_all_cases_of_a_skipped_step_are_suspects() -> None:
    steps = StepLog((math.nan, 1.0), (False, True), (("a", "b"), ("b", "c")))
    assert steps.suspects() == ("a", "b")


def test_an_epoch_in_two_parts_is_one() -> None:
    first, then = StepLog((1.0,), (True,), (("a",),)), StepLog((math.nan, 2.0), (False, True), (("b",), ("a", "c")))
    whole = StepLog((1.0, math.nan, 2.0), (True, False, True), (("a",), ("b",), ("a", "c")))
    assert repr(first + then) == repr(whole)
    assert [len(log) for log in (StepLog(), first, first + then)] == [0, 1, 3]
    assert not StepLog()


@pytest.mark.parametrize(
    ("losses", "start", "expected"),
    [
        ((0.9, 0.8), None, False),
        ((0.9, 1e21), None, True),
        ((-0.5, -0.9), -0.4, False),
        ((1e6, 2e6), None, False),
        ((3e3, 3e3), 0.9, True),
        ((900.0, 900.0), 0.9, False),
    ],
)
def test_a_loss_beyond_reason_is_one_that_grew(losses: tuple[float, ...], start: float | None, expected: bool) -> None:
    """A loss may be large from the start: a trainer's own may have another scale."""
    assert StepLog(losses, (True,) * len(losses)).beyond_reason(start) == expected
