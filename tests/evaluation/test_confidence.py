"""Expected Dice by uncertainty, and what is stored of validation cases."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.evaluation.confidence import (
    Calibration,
    Confidence,
    Expectation,
    Spread,
    ValidationCase,
    ValidationRecord,
    VolumeError,
)
from vmseg_auto.utils.errors import InputError

CALIBRATION = Calibration(
    best=0.9, by_uncertainty=-0.8, by_scatter=-0.4, below=0.2, above=0.3,
    spread=Spread(1.0, 0.0, 0.0), look_first=0.5, mirrored=True, cases=50, patients=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("uncertainty", "scatter", "expected"),
    [(0.0, 0.0, (0.9, 0.7, 1.0)), (0.5, 0.25, (0.4, 0.2, 0.7)), (1.0, 1.0, (0.0, 0.0, 0.3))],
)
def test_expectation_follows_the_line_within_what_dice_can_be(
    uncertainty: float, scatter: float, expected: tuple[float, float, float]
) -> None:
    found = CALIBRATION.expect(Confidence(uncertainty, scatter, mirrored=True))
    assert isinstance(found, Expectation)
    assert (found.dice, found.low, found.high) == pytest.approx(expected)


def test_cases_beyond_any_dice_still_have_an_order() -> None:
    assert (
        CALIBRATION.line(Confidence(1.0, 1.0, mirrored=True))
        < CALIBRATION.line(Confidence(1.0, 0.9, mirrored=True))
        < 0
    )


def test_nothing_is_expected_of_what_was_measured_differently() -> None:
    assert CALIBRATION.expect(Confidence(0.5, 0.0, mirrored=False)) is None


@pytest.mark.parametrize(
    ("uncertainty", "scatter", "alike", "light"),
    [
        (0.0, 0.0, True, "green"),
        (0.0, 0.0, False, "amber"),
        (0.24, 0.0, True, "green"),  # 0.71, and at least 0.5 in nine of ten
        (0.26, 0.0, True, "amber"),
        (0.49, 0.0, True, "amber"),  # 0.51
        (0.51, 0.0, True, "red"),
        (0.51, 0.0, False, "red"),
        (1.0, 1.0, True, "red"),
    ],
)
def test_the_light_tells_whether_a_usable_mask_is_expected_and_sure(
    uncertainty: float, scatter: float, alike: bool, light: str
) -> None:
    assert CALIBRATION.light(Confidence(uncertainty, scatter, mirrored=True), alike) == light


def test_what_is_to_be_looked_at_first_is_not_green_however_good_the_model() -> None:
    good = replace(CALIBRATION, look_first=0.85)
    assert good.light(Confidence(0.05, 0.0, mirrored=True)) == "green"
    assert good.light(Confidence(0.07, 0.0, mirrored=True)) == "amber"


def test_there_is_no_light_for_what_was_measured_differently() -> None:
    assert CALIBRATION.light(Confidence(0.0, 0.0, mirrored=False)) is None


def test_doubtful_cases_have_wider_intervals() -> None:
    grown = replace(CALIBRATION, spread=Spread(0.5, 1.0, 2.0))
    found = grown.expect(Confidence(0.25, 0.25, mirrored=True))  # a spread of 1.25
    assert found is not None
    assert (found.dice, found.low, found.high) == pytest.approx((0.6, 0.35, 0.975))


SURE = Confidence(0.0, 0.0, mirrored=True)


def test_volumes_lie_within_shares_of_large_and_millilitres_of_small_ones() -> None:
    error = VolumeError(math.log(1.5) / 2 - math.log(2) / 2, math.log(3) / 2, Spread(1.0, 0.0, 0.0), True)
    assert error.interval(99.0, SURE) == pytest.approx((49.0, 149.0))
    assert error.interval(0.0, SURE) == pytest.approx((0.0, 0.5))
    assert error.interval(1.0, SURE) == pytest.approx((0.0, 2.0))
    assert error.interval(1.0, replace(SURE, mirrored=False)) is None


def test_volumes_reach_farther_where_the_looks_were_uncertain() -> None:
    error = VolumeError(0.0, math.log(2), Spread(1.0, 2.0, 0.0), True)
    assert error.interval(99.0, replace(SURE, uncertainty=0.5)) == pytest.approx((24.0, 399.0))


@given(st.floats(-3, 3), st.floats(0, 5), st.floats(0, 1e4), st.floats(0, 1e4))
def test_an_interval_holds_the_measured_volume_and_grows_with_it(
    bias: float, reach: float, one: float, other: float
) -> None:
    error = VolumeError(bias, reach, Spread(1.0, 0.0, 0.0), True)
    found = [error.interval(volume, SURE) for volume in sorted((one, other))]
    assert found[0] is not None
    assert found[1] is not None
    (low, high), (low_2, high_2) = found
    assert 0 <= low <= min(one, other) * (1 + 1e-9) + 1e-9
    assert min(one, other) * (1 - 1e-9) - 1e-9 <= high <= high_2
    assert low <= low_2


def test_stored_and_read_back() -> None:
    first, second = (
        ValidationCase("1", Confidence(0.25, 0.1, True, 0.5), scored="2"),
        ValidationCase("3", Confidence(1.0, 1.0, False)),
    )
    held = ValidationRecord({"a": first, "b": second})
    assert ValidationRecord.from_json(json.loads(json.dumps(held.to_json()))) == held


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(InputError, match="uncertainty"):
        ValidationRecord.from_json({"cases": {"a": {"image": "1", "confidence": {"mirrored": True}}}})
