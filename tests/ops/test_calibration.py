"""The line from uncertainty to Dice, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.core.trust import Trust, VolumeError
from vmseg_auto.ops.calibration import (
    COVERAGE,
    FEWEST_CASES,
    VOLUME_COVERAGE,
    calibrate,
    calibrate_without,
    volume_error,
    volume_errors_without,
)

Values = NDArray[np.float64]


def trusts(uncertainty: Values, scatter: Values | float = 0.0) -> list[Trust]:
    pairs = zip(uncertainty, np.broadcast_to(scatter, uncertainty.shape), strict=True)
    return [Trust(float(doubt), float(spread), mirrored=True) for doubt, spread in pairs]


def cohort(cases: int, seed: int, noise: float = 0.1) -> tuple[list[Trust], Values, list[str]]:
    """Dice falls from 0.9 by uncertainty and scatter; two cases a patient."""
    rng = np.random.default_rng(seed)
    uncertainty, scatter = rng.uniform(0, 0.6, cases), rng.uniform(0, 0.8, cases)
    dice = np.clip(0.9 - 0.8 * uncertainty - 0.4 * scatter + noise * rng.standard_normal(cases), 0, 1)
    return trusts(uncertainty, scatter), dice, [f"p{number // 2}" for number in range(cases)]


def test_an_exact_plane_is_found() -> None:
    uncertainty, scatter = np.linspace(0.1, 0.7, 20), np.tile([0.1, 0.5], 10)
    dice = 0.8 - uncertainty - 0.1 * scatter
    fitted = calibrate(trusts(uncertainty, scatter), dice, [f"p{n}" for n in range(20)])
    assert fitted is not None
    assert (fitted.best, fitted.by_uncertainty, fitted.by_scatter) == pytest.approx((0.8, -1, -0.1))
    assert (fitted.below, fitted.above) == pytest.approx((0, 0), abs=1e-6)
    assert (fitted.cases, fitted.patients) == (20, 20)
    assert fitted.look_first == pytest.approx(np.quantile(dice, 0.25))


def test_dice_that_rises_with_uncertainty_is_taken_for_chance() -> None:
    uncertainty = np.linspace(0.1, 0.7, 12)
    fitted = calibrate(trusts(uncertainty), uncertainty, [f"p{n}" for n in range(12)])
    assert fitted is not None
    assert (fitted.best, fitted.by_uncertainty) == pytest.approx((0.4, 0), abs=1e-6)


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
    before = calibrate_without(trust, dice, patients)
    changed = dice.copy()
    changed[:2] = 0
    after = calibrate_without(trust, changed, patients)
    assert before[:2] == after[:2]
    assert all(one != other for one, other in zip(before[2:], after[2:], strict=True))


@pytest.mark.parametrize(
    ("cases", "patients", "mirrored"),
    [(FEWEST_CASES - 1, FEWEST_CASES - 1, 0), (FEWEST_CASES, 1, 0), (FEWEST_CASES, FEWEST_CASES, 1)],
)
def test_too_few_or_different_measures_tell_nothing(cases: int, patients: int, mirrored: int) -> None:
    trust = [Trust(n / cases, 0.5, mirrored=n >= mirrored) for n in range(cases)]
    assert calibrate(trust, np.linspace(0, 1, cases), [f"p{n % patients}" for n in range(cases)]) is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=FEWEST_CASES, max_size=30),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_what_is_expected_is_a_dice_and_falls(
    rows: list[tuple[float, float, float]], uncertainty: float, scatter: float
) -> None:
    doubts, spread, dice = (np.array(column) for column in zip(*rows, strict=True))
    fitted = calibrate(trusts(doubts, spread), dice, [f"p{n}" for n in range(len(rows))])
    assert fitted is not None
    expected = fitted.expect(Trust(uncertainty, scatter, mirrored=True))
    worse = fitted.expect(Trust(1.0, 1.0, mirrored=True))
    assert expected is not None
    assert worse is not None
    assert 0 <= expected.low <= expected.dice <= expected.high <= 1
    assert worse.dice <= expected.dice


def volumes(cases: int, seed: int, per_patient: int = 2) -> tuple[Values, Values, list[str]]:
    """Measured too large by a fifth on average, by half to twice; some lesions are missed and some are none."""
    rng = np.random.default_rng(seed)
    true = rng.lognormal(2.5, 1, cases) * (rng.random(cases) > 0.05)
    measured = true * rng.lognormal(0.2, 0.3, cases) * (rng.random(cases) > 0.05) + rng.exponential(0.3, cases)
    return measured, true, [f"p{number // per_patient}" for number in range(cases)]


def test_intervals_told_by_other_patients_hold_nine_true_volumes_in_ten() -> None:
    covered = []
    for seed in range(20):
        measured, true, patients = volumes(60, seed)
        told = volume_errors_without(measured, true, patients)
        for volume, wanted, error in zip(measured, true, told, strict=True):
            assert error is not None
            low, high = error.interval(float(volume))
            covered.append(low <= wanted <= high)
    assert VOLUME_COVERAGE - 0.02 <= np.mean(covered) <= 0.97


def test_bounds_are_those_counted_by_hand() -> None:
    """Of 19 errors the largest on each side, as the 20th case lies beyond them once in twenty."""
    ratios = np.exp(np.linspace(-0.9, 0.9, 19))
    error = volume_error(ratios * 10 - 1, np.full(19, 9.0), [f"p{n}" for n in range(19)])
    assert error is not None
    assert (error.below, error.above) == pytest.approx((0.9, 0.9))
    assert (error.cases, error.patients) == (19, 19)
    assert error.interval(9.0) == pytest.approx((10 * np.exp(-0.9) - 1, 10 * np.exp(0.9) - 1))


def test_a_model_that_always_measures_too_much_still_leaves_the_measured_volume_inside() -> None:
    true = np.linspace(1, 20, 40)
    error = volume_error(3 * true, true, [f"p{n}" for n in range(40)])
    assert error is not None
    assert error.above == 0
    assert error.interval(30.0)[1] == pytest.approx(30)


def test_a_patients_own_volumes_tell_nothing_of_it() -> None:
    measured, true, patients = volumes(60, 1)
    before = volume_errors_without(measured, true, patients)
    measured[:2] = 0.0, 1e4
    after = volume_errors_without(measured, true, patients)
    assert before[:2] == after[:2]
    assert before[2:] != after[2:]


@pytest.mark.parametrize(("cases", "per_patient"), [(18, 1), (40, 40)])
def test_too_few_cases_or_one_patient_tell_no_interval(cases: int, per_patient: int) -> None:
    assert volume_error(*volumes(cases, 0, per_patient)) is None


def test_missed_and_invented_lesions_are_errors_like_others() -> None:
    zeros, some = np.zeros(30), np.full(30, 5.0)
    patients = [f"p{n}" for n in range(30)]
    for measured, true, expected in ((zeros, some, (0.0, 5.0)), (some, zeros, (0.0, 5.0)), (zeros, zeros, (0.0, 0.0))):
        error = volume_error(measured, true, patients)
        assert isinstance(error, VolumeError)
        assert error.interval(float(measured[0])) == pytest.approx(expected)
