"""The line from uncertainty to Dice, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.core.trust import Trust
from vmseg_auto.ops.calibration import COVERAGE, calibrate, expect_held_out

Values = NDArray[np.float64]


def trusts(uncertainty: Values) -> list[Trust]:
    return [Trust(float(value), mirrored=True) for value in uncertainty]


def cohort(cases: int, seed: int, noise: float = 0.1) -> tuple[list[Trust], Values, list[str]]:
    """Dice falls from 0.9 by uncertainty; two cases a patient."""
    rng = np.random.default_rng(seed)
    uncertainty = rng.uniform(0, 0.8, cases)
    dice = np.clip(0.9 - uncertainty + noise * rng.standard_normal(cases), 0, 1)
    return trusts(uncertainty), dice, [f"p{number // 2}" for number in range(cases)]


def test_an_exact_line_is_found() -> None:
    uncertainty = np.linspace(0.1, 0.7, 20)
    fitted = calibrate(trusts(uncertainty), 0.8 - uncertainty, [f"p{n}" for n in range(20)])
    assert fitted is not None
    assert (fitted.certain, fitted.doubtful) == pytest.approx((0.8, -0.2))
    assert (fitted.below, fitted.above) == pytest.approx((0, 0), abs=1e-9)
    assert (fitted.cases, fitted.patients) == (20, 20)
    assert fitted.look_first == pytest.approx(0.55)


def test_dice_that_rises_with_uncertainty_is_taken_for_chance() -> None:
    uncertainty = np.linspace(0.1, 0.7, 12)
    fitted = calibrate(trusts(uncertainty), uncertainty, [f"p{n}" for n in range(12)])
    assert fitted is not None
    assert fitted.certain == fitted.doubtful == pytest.approx(0.4)


def test_the_interval_holds_new_cases_as_often_as_it_says() -> None:
    shares = []
    for seed in range(20):
        fitted = calibrate(*cohort(50, seed))
        assert fitted is not None
        new, dice, _ = cohort(200, 1000 + seed)
        expected = [fitted.expect(case) for case in new]
        shares.append(np.mean([e is not None and e.low <= d <= e.high for e, d in zip(expected, dice, strict=True)]))
    assert COVERAGE - 0.03 <= np.mean(shares) <= COVERAGE + 0.08


def test_a_case_is_judged_without_its_patients_cases() -> None:
    trust, dice, patients = cohort(20, seed=3)
    before = expect_held_out(trust, dice, patients)
    changed = dice.copy()
    changed[:2] = 0
    after = expect_held_out(trust, changed, patients)
    assert before[:2] == after[:2]
    assert before[2:] != after[2:]


def test_few_cases_leave_the_whole_range() -> None:
    trust, dice, patients = cohort(6, seed=1)
    fitted = calibrate(trust, dice, patients)
    assert fitted is not None
    assert (fitted.below, fitted.above) == (1, 1)


@pytest.mark.parametrize(
    "trust", [[Trust(0.1, True), Trust(0.2, True)], [Trust(0.1, True), Trust(0.2, False), Trust(0.3, True)]]
)
def test_too_few_patients_or_different_measures_tell_nothing(trust: list[Trust]) -> None:
    assert calibrate(trust, np.full(len(trust), 0.5), [f"p{n}" for n in range(len(trust))]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=30), st.floats(0, 1))
def test_what_is_expected_is_a_dice(rows: list[tuple[float, float]], uncertainty: float) -> None:
    doubts, dice = (np.array(column) for column in zip(*rows, strict=True))
    fitted = calibrate(trusts(doubts), dice, [f"p{n}" for n in range(len(rows))])
    assert fitted is not None
    expected = fitted.expect(Trust(uncertainty, mirrored=True))
    assert expected is not None
    assert 0 <= expected.low <= expected.dice <= expected.high <= 1
