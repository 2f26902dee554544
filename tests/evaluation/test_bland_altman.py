"""Limits of agreement, and the error of a reader."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.evaluation.bland_altman import agreement, errors_grow, look_normal, reading_error
from vmseg_auto.utils.statistics import FEWEST_PATIENTS

LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Peak flow by two meters in 17 people, l/min (Bland and Altman 1986, table 1)."""
OUTPUT = {
    "1": ((7.83, 6.57), (7.42, 5.62), (7.89, 6.9), (7.12, 6.57), (7.88, 6.35)),
    "2": ((6.16, 4.06), (7.26, 4.29), (6.71, 4.26), (6.54, 4.09)),
    "3": ((4.75, 4.71), (5.24, 5.5), (4.86, 5.08), (4.78, 5.02), (6.05, 6.01), (5.42, 5.67)),
    "4": ((4.21, 4.14), (3.61, 4.2), (3.72, 4.61), (3.87, 4.68), (3.92, 5.04)),
    "5": ((3.13, 3.03), (2.98, 2.86), (2.85, 2.77), (3.17, 2.46), (3.09, 2.32), (3.12, 2.43)),
    "6": ((5.92, 5.9), (6.42, 5.81), (5.92, 5.7), (6.27, 5.76)),
    "7": ((7.13, 5.09), (6.62, 4.63), (6.58, 4.61), (6.93, 5.09)),
    "8": ((4.54, 4.72), (4.81, 4.61), (5.11, 4.36), (5.29, 4.2), (5.39, 4.36), (5.57, 4.2)),
    "9": ((4.48, 3.17), (4.92, 3.12), (3.97, 2.96)),
    "10": ((4.22, 4.35), (4.65, 4.62), (4.74, 3.16), (4.44, 3.53), (4.5, 3.53)),
    "11": ((6.78, 7.2), (6.07, 6.09), (6.52, 7.0), (6.42, 7.1), (6.41, 7.4), (5.76, 6.8)),
    "12": ((5.06, 4.5), (4.72, 4.2), (4.9, 3.8), (4.8, 3.8), (4.9, 4.2), (5.1, 4.5)),
}
"""Cardiac output of 12 people by two methods, l/min (Bland and Altman 1999, table 4)."""


def names(count: int) -> list[str]:
    return [f"patient_{number}" for number in range(count)]


def volumes(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.exp(np.random.default_rng(seed).normal(1.8, 1.1, count))


def test_figures_of_the_original_paper() -> None:
    """Bias -2.1 with 95 % interval -22.0 to 17.8, from t = 2.12 and a standard error of 9.4; SD 38.8 (p. 309)."""
    found = agreement([float(v) for v in MINI], [float(v) for v in LARGE], names(17))
    assert found is not None
    assert not found.ratio
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert found.bias_ends == pytest.approx((-22.0, 17.8), abs=0.06)
    half = 2.1314 * 38.8 * math.sqrt(1 + 1 / 17)  # t of 15: one degree of freedom less, for the choice of mL
    assert (found.low, found.high) == pytest.approx((-2.1 - half, -2.1 + half), abs=0.2)
    assert (found.pairs, found.patients, found.low_ends) == (17, 17, None)


def test_the_limits_of_the_original_paper_lie_in_their_own_intervals() -> None:
    """Three times its people, so that such intervals are told. With a standard error of sqrt(3 / n) x 38.8, as the
    paper has it, each would reach 2.01 x 9.4 = 19 to either side; these reach less far inward and further outward.
    """
    found = agreement([float(v) for v in MINI * 3], [float(v) for v in LARGE * 3], names(51))
    assert found is not None
    assert found.low_ends is not None
    assert found.high_ends is not None
    for (low, high), limit, out in ((found.low_ends, -76.6, -1), (found.high_ends, 72.4, 1)):
        assert low < limit < high
        assert (high - low) / 2 == pytest.approx(19, abs=1.5)
        assert (abs(high - limit) - abs(low - limit)) * out > 0


def test_several_pairs_a_patient_as_in_the_paper_of_1999() -> None:
    """0.60 l/min with an SD of 0.99, made of the variance between and within people; so limits of -1.34 and 2.54."""
    pairs = [(rv, ic, person) for person, both in OUTPUT.items() for rv, ic in both]
    one, two, people = [ic for _, ic, _ in pairs], [rv for rv, _, _ in pairs], [person for *_, person in pairs]
    found = agreement(one, two, people, ratio=False)
    assert found is not None
    assert found.bias == pytest.approx(0.60, abs=0.005)
    assert (found.pairs, found.patients) == (60, 12)
    plain = 1.96 * 0.9906
    assert found.low < 0.6022 - plain < 0.6022 + plain < found.high
    t_of_13_8, error = 2.1475, 0.2569  # Satterthwaite's 14.75 less one; standard error by leaving out each person
    assert found.high - found.bias == pytest.approx(t_of_13_8 * math.hypot(0.9906, error), abs=0.005)


def test_errors_that_grow_are_told_as_ratios() -> None:
    true = volumes(60)
    factors = np.exp(np.random.default_rng(1).normal(0.1, 0.2, 60))
    found = agreement(list(true), list(true * factors), names(60))
    assert found is not None
    assert found.ratio
    assert found.bias == pytest.approx(np.exp(np.log(factors).mean()))
    assert found.bias**2 == pytest.approx(found.low * found.high)
    assert np.mean((found.low < factors) & (factors < found.high)) >= 0.9
    assert found.low_ends is not None
    assert found.low_ends[0] < found.low_ends[1] < found.bias


def test_errors_of_one_size_are_told_in_ml() -> None:
    true = volumes(100) + 3
    found = agreement(list(true), list(true + np.random.default_rng(1).normal(0.5, 1, 100)), names(100))
    assert found is not None
    assert not found.ratio
    assert found.bias == pytest.approx(0.5, abs=0.4)


def test_scans_without_a_volume_are_left_out_and_counted() -> None:
    true = np.append(volumes(30), [0, 0, 3.0])
    told = np.append(volumes(30) * np.tile([0.8, 1.25], 15), [0, 2.0, 0])
    found = agreement(list(true), list(told), names(33))
    assert found is not None
    assert found.ratio
    assert (found.pairs, found.empty, found.one_empty) == (30, 1, 2)
    without = agreement(list(true[:30]), list(told[:30]), names(30))
    assert without is not None
    assert (found.low, found.high) == (without.low, without.high)


def test_in_ml_a_missed_lesion_counts() -> None:
    true = np.append(volumes(30) + 3, [0.0, 30.0])
    told = np.append(true[:30] + np.tile([-1.0, 1.0], 15), [0.0, 0.0])
    found = agreement(list(true), list(told), names(32))
    assert found is not None
    assert (found.ratio, found.pairs, found.empty, found.one_empty) == (False, 31, 1, 1)
    assert found.low < -10


def test_missed_lesions_of_most_patients_are_told_in_ml() -> None:
    """Too few pairs have a ratio."""
    true = volumes(8)
    found = agreement(list(true), [*(true[:4] * 1.2), 0.0, 0.0, 0.0, 0.0], names(8))
    assert found is not None
    assert (found.ratio, found.pairs) == (False, 8)


def test_few_patients_tell_nothing() -> None:
    four = [f"patient_{number % (FEWEST_PATIENTS - 1)}" for number in range(20)]
    assert agreement(list(volumes(20)), list(volumes(20, 1)), four) is None
    assert agreement([0.0] * 20, [0.0] * 20, names(20)) is None


def test_limits_have_intervals_where_errors_of_enough_scans_look_normal() -> None:
    rng = np.random.default_rng(1)
    normal, tailed = np.exp(0.2 * rng.normal(size=60)), np.exp(0.2 * rng.standard_t(2, 60))
    assert look_normal(np.log(normal))
    assert not look_normal(np.log(normal[:49]))
    assert not look_normal(np.log(tailed))
    assert not look_normal(np.ones(60))
    nineteen = [f"patient_{number % 19}" for number in range(60)]
    for factors, owners, told in ((normal, names(60), True), (tailed, names(60), False), (normal, nineteen, False)):
        found = agreement(list(volumes(60)), list(volumes(60) * factors), owners)
        assert found is not None
        assert (found.low_ends is not None) == (found.high_ends is not None) == told


def test_no_error_at_all() -> None:
    found = agreement([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0], names(5))
    assert found is not None
    assert (found.low, found.bias, found.high) == pytest.approx((1.0, 1.0, 1.0))


PAIRS = st.tuples(st.floats(0.01, 100), st.floats(0.01, 100), st.integers(1, 8))


@given(st.lists(PAIRS, min_size=5, max_size=40))
def test_limits_hold_the_bias_whatever_the_order(pairs: list[tuple[float, float, int]]) -> None:
    def told(rows: list[tuple[float, float, int]]) -> tuple[float, ...] | None:
        found = agreement([a for a, _, _ in rows], [b for _, b, _ in rows], [str(owner) for *_, owner in rows])
        if found is None:
            return None
        assert found.low <= found.bias <= found.high
        assert found.bias_ends[0] <= found.bias <= found.bias_ends[1]
        return found.bias, found.low, found.high

    first, again = told(pairs), told(pairs[::-1])
    if len({owner for *_, owner in pairs}) < FEWEST_PATIENTS:
        assert first is None
    else:
        assert again == pytest.approx(first, rel=1e-6, abs=1e-6)


def test_errors_of_equal_volumes_are_alike_in_ml_and_as_ratios() -> None:
    assert errors_grow(np.full(5, 2.0), np.array([2.0, 2.1, 1.9, 2.3, 2.0]))
    assert not errors_grow(np.array([1.0, 2.0]), np.array([1.1, 2.5]))


def test_the_error_of_a_reader_is_of_rank_nine_in_ten_of_one_more() -> None:
    """Of ten, 0.9 x 11 = 9.9 is the tenth: the largest difference, not a value between the ninth and the tenth."""
    one = [10.0] * 10
    two = [10.0 + number / 10 for number in range(10)]
    assert reading_error(one, two, names(10)) == pytest.approx(100 * 0.9 / 10.45 / math.sqrt(2))
    assert reading_error(one[1:], two[1:], names(9)) is None
    assert reading_error(one, two, names(4)[:2] * 5) is None


def test_scans_that_neither_reader_outlined_tell_no_error() -> None:
    one, two = [10.0] * 10 + [0.0] * 5, [11.0] * 10 + [0.0] * 5
    assert reading_error(one, two, names(15)) == reading_error(one[:10], two[:10], names(10))
    assert reading_error([10.0] * 9 + [0.0] * 5, [11.0] * 9 + [0.0] * 5, names(14)) is None


def test_what_one_reader_alone_saw_is_worse_than_all_else() -> None:
    ten, none = [10.0] * 20, [11.0] * 19 + [0.0]
    assert reading_error(ten, none, names(20)) == pytest.approx(100 / 10.5 / math.sqrt(2))
    assert reading_error(ten, [11.0] * 17 + [0.0] * 3, names(20)) is None
