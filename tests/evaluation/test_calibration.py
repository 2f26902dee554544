"""The line from uncertainty to Dice, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.evaluation.calibration import (
    COVERAGE,
    VOLUME_COVERAGE,
    calibrate,
    calibrate_without,
    volume_confidence,
    volume_confidence_without,
)
from vmseg_auto.evaluation.confidence import Confidence, VolumeConfidence

Values = NDArray[np.float64]


def trusts(uncertainty: Values, scatter: Values | float = 0.0) -> list[Confidence]:
    pairs = zip(uncertainty, np.broadcast_to(scatter, uncertainty.shape), strict=True)
    return [Confidence(float(doubt), float(spread), mirrored=True) for doubt, spread in pairs]


def cohort(cases: int, seed: int, noise: float = 0.1) -> tuple[list[Confidence], Values, list[str]]:
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
    confidence, dice, patients = cohort(20, seed=3)
    before = calibrate_without(confidence, dice, patients)
    changed = dice.copy()
    changed[:2] = 0
    after = calibrate_without(confidence, changed, patients)
    assert before[:2] == after[:2]
    assert all(one != other for one, other in zip(before[2:], after[2:], strict=True))


def test_uncertain_cases_get_wider_intervals_where_their_errors_are_larger() -> None:
    """Told over 30 cohorts whose errors grow with the uncertainty: each third is held about as often as stated."""
    held: list[list[bool]] = [[], [], []]
    for seed in range(30):
        rng = np.random.default_rng(seed)

        def drawn(cases: int, rng: np.random.Generator = rng) -> tuple[list[Confidence], Values]:
            doubt = rng.uniform(0, 0.6, cases)
            return trusts(doubt), np.clip(0.8 - 0.5 * doubt + 0.3 * doubt * rng.standard_normal(cases), 0, 1)

        confidence, dice = drawn(50)
        fitted = calibrate(confidence, dice, [f"p{n}" for n in range(50)])
        assert fitted is not None
        for case, true in zip(*drawn(100), strict=True):
            expected = fitted.expect(case)
            assert expected is not None
            held[min(2, int(case.uncertainty / 0.2))].append(expected.low <= true <= expected.high)
    assert all(COVERAGE - 0.07 <= np.mean(third) <= COVERAGE + 0.16 for third in held)
    assert COVERAGE - 0.03 <= np.mean([one for third in held for one in third]) <= COVERAGE + 0.06


@pytest.mark.parametrize(("cases", "patients", "mirrored"), [(4, 4, 0), (20, 4, 0), (20, 1, 0), (12, 12, 1)])
def test_too_few_or_different_measures_tell_nothing(cases: int, patients: int, mirrored: int) -> None:
    confidence = [Confidence(n / cases, 0.5, mirrored=n >= mirrored) for n in range(cases)]
    assert calibrate(confidence, np.linspace(0, 1, cases), [f"p{n % patients}" for n in range(cases)]) is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=5, max_size=30),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_what_is_expected_is_a_dice_and_falls(
    rows: list[tuple[float, float, float]], uncertainty: float, scatter: float
) -> None:
    doubts, spread, dice = (np.array(column) for column in zip(*rows, strict=True))
    fitted = calibrate(trusts(doubts, spread), dice, [f"p{n}" for n in range(len(rows))])
    assert fitted is not None
    expected = fitted.expect(Confidence(uncertainty, scatter, mirrored=True))
    worse = fitted.expect(Confidence(1.0, 1.0, mirrored=True))
    assert expected is not None
    assert worse is not None
    assert 0 <= expected.low <= expected.dice <= expected.high <= 1
    assert worse.dice <= expected.dice


def volumes(cases: int, seed: int, per_patient: int = 2) -> tuple[Values, Values, list[Confidence], list[str]]:
    """Measured too large by a fifth on average, farther off where uncertain; some are missed and some are none."""
    rng = np.random.default_rng(seed)
    doubt = rng.uniform(0, 1, cases)
    true = rng.lognormal(2.5, 1, cases) * (rng.random(cases) > 0.05)
    measured = true * np.exp(0.2 + 0.6 * doubt * rng.standard_normal(cases)) + rng.exponential(0.3, cases)
    return measured * (rng.random(cases) > 0.05), true, trusts(doubt), [f"p{n // per_patient}" for n in range(cases)]


def told_by(measured: Values, true: Values, doubt: Values | None = None) -> VolumeConfidence:
    """One scan a patient."""
    confidence = trusts(np.full(len(measured), 0.5) if doubt is None else doubt)
    return volume_confidence(measured, true, confidence, [f"p{n}" for n in range(len(measured))])


def interval(told: VolumeConfidence, ml: float, doubt: float = 0.5) -> tuple[float, float]:
    found = told.interval(ml, Confidence(doubt, 0.0, mirrored=True))
    assert found is not None
    return found


def test_intervals_told_by_other_patients_hold_nine_true_volumes_in_ten() -> None:
    covered = []
    for seed in range(20):
        measured, true, confidence, patients = volumes(60, seed)
        others = volume_confidence_without(measured, true, confidence, patients)
        for volume, wanted, case, told in zip(measured, true, confidence, others, strict=True):
            if volume > 0:
                found = told.interval(float(volume), case)
                assert found is not None
                covered.append(found[0] <= wanted <= found[1])
    assert VOLUME_COVERAGE - 0.02 <= np.mean(covered) <= VOLUME_COVERAGE + 0.05


def test_the_bound_is_the_one_counted_by_hand() -> None:
    """Of 19 errors the rank ceil(20 x 0.9) = 18 counts, each told without its own patient: 19 / 18 of it."""
    errors = np.linspace(-0.9, 0.9, 19)
    told = told_by(np.full(19, 9.0), np.exp(errors) * 10 - 1)
    assert (told.cases, told.patients) == (19, 19)
    reach = 0.9 * 19 / 18
    assert interval(told, 9.0) == pytest.approx((10 * np.exp(-reach) - 1, 10 * np.exp(reach) - 1))


def test_five_to_eight_patients_are_told_by_students_t() -> None:
    errors = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    told = told_by(np.full(5, 9.0), np.exp(errors) * 10 - 1)
    reach = 2.353363 * np.sqrt(np.mean((errors * 5 / 4) ** 2))  # t with 3 degrees of freedom, 95 % one-sided
    assert interval(told, 9.0)[1] == pytest.approx(10 * np.exp(reach) - 1)


def test_scans_are_measured_farther_off_where_errors_grow_with_uncertainty() -> None:
    doubt = np.linspace(0, 1, 40)
    told = told_by(np.full(40, 9.0), np.exp(0.8 * doubt * np.tile([1, -1], 20)) * 10 - 1, doubt)
    (low, high), (wide_low, wide_high) = interval(told, 9.0, 0.1), interval(told, 9.0, 0.9)
    assert wide_high - wide_low > 3 * (high - low)


def test_a_model_that_always_measures_too_much_still_leaves_the_measured_volume_inside() -> None:
    true = np.linspace(1, 20, 40)
    low, high = interval(told_by(3 * true, true), 30.0)
    assert high == pytest.approx(30)
    assert low < 10


def test_a_patients_own_volumes_tell_nothing_of_it() -> None:
    measured, true, confidence, patients = volumes(60, 1)
    before = volume_confidence_without(measured, true, confidence, patients)
    measured[:2] = 0.0, 1e4
    after = volume_confidence_without(measured, true, confidence, patients)
    assert before[:2] == after[:2]
    assert before[2:] != after[2:]


def test_fewer_than_five_patients_tell_no_interval_however_many_their_scans() -> None:
    measured, true, confidence, _ = volumes(40, 0)
    told = volume_confidence(measured, true, confidence, [f"p{n % 4}" for n in range(40)])
    assert told.found is None
    assert "5 patients, and here are 4" in told.why_no_interval(found=True)


def test_two_missed_lesions_do_not_widen_the_intervals_of_found_ones() -> None:
    rng = np.random.default_rng(0)
    true = rng.lognormal(2.5, 1, 53)
    measured = true * rng.lognormal(0, 0.2, 53)
    some = told_by(measured[2:], true[2:])
    measured[:2], true[:2] = 0.0, (273.0, 40.0)
    told = told_by(measured, true)
    assert interval(told, 22.0) == pytest.approx(interval(some, 22.0))
    assert (told.nothing.scans, told.nothing.missed, told.nothing.largest_ml) == (2, 2, 273.0)
    assert told.nothing.probability == 1.0
    assert told.nothing.low_95 == pytest.approx(0.342, abs=0.001)  # Wilson, 2 of 2
    assert told.interval(0.0, Confidence(1.0, 1.0, True)) is None
    assert "here are 2" in told.why_no_interval(found=False)


def test_scans_without_a_finding_are_counted_by_patients() -> None:
    """Ten scans of one patient, all missed, weigh as much as the one scan of each of nine others."""
    measured, true = np.zeros(19), np.array([5.0] * 10 + [0.0] * 9)
    patients = ["many"] * 10 + [f"p{n}" for n in range(9)]
    nothing = volume_confidence(measured, true, trusts(np.ones(19)), patients).nothing
    assert (nothing.scans, nothing.patients, nothing.missed) == (19, 10, 10)
    assert nothing.probability == pytest.approx(0.1)
    assert nothing.most_ml == 5.0
    assert "10 of them had a lesion: 10%" in nothing.text()


def test_where_every_scan_had_a_finding_nothing_is_said_of_scans_without() -> None:
    nothing = told_by(np.ones(9), np.ones(9)).nothing
    assert nothing.probability is None
    assert "not known" in nothing.text()


def test_exact_measurements_lead_to_intervals_of_no_width() -> None:
    told = told_by(np.full(12, 5.0), np.full(12, 5.0))
    assert told.found is not None
    assert interval(told, 7.0) == pytest.approx((7.0, 7.0))
