"""Classes of response, and when a change counts as one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.followup.response import Change, Volume, response_to

ML = st.floats(0.01, 500)
ERROR = st.floats(0, 99)


@pytest.mark.parametrize(
    ("percent", "response"),
    [
        (math.inf, "worse"), (10.01, "worse"), (10, "unchanged"), (0, "unchanged"), (-10, "unchanged"),
        (-10.01, "minor"), (-25, "minor"), (-25.01, "intermediate"), (-50, "intermediate"), (-50.01, "major"),
        (-100, "major"),
    ],
)  # fmt: skip
def test_classes(percent: float, response: str) -> None:
    assert response_to(percent) == response


@pytest.mark.parametrize(
    ("percent", "error", "response", "beyond"),
    [
        (-60, 5, "major", True),
        (-30, 5, "intermediate", True),
        (-15, 5, "minor", True),
        (0, 5, "unchanged", False),
        (20, 5, "worse", True),
        (-30, 40, "unchanged", False),
        (20, 40, "unchanged", False),
        (-60, 30, "major", True),
        (8, 1, "unchanged", True),
    ],
)
def test_a_change_counts_only_beyond_the_error(percent: float, error: float, response: str, beyond: bool) -> None:
    change = Change.between(Volume.within(20, error), Volume.within(20 * (1 + percent / 100), error))
    assert change.percent == pytest.approx(percent)
    assert (change.response, change.beyond_error) == (response, beyond)


@given(before=ML, after=ML, first=ERROR, second=ERROR)
def test_the_interval_holds_the_change_and_grows_with_either_error(
    before: float, after: float, first: float, second: float
) -> None:
    change = Change.between(Volume.within(before, first), Volume.within(after, second))
    assert change.percent is not None
    assert change.low_percent is not None
    assert change.high_percent is not None
    assert change.low_percent <= change.percent + 1e-6 * abs(change.percent) + 1e-6
    assert change.high_percent >= change.percent - 1e-6 * abs(change.percent) - 1e-6
    wider = Change.between(Volume.within(before, first), Volume.within(after, min(99.5, second + 0.5)))
    assert wider.low_percent is not None
    assert wider.low_percent <= change.low_percent + 1e-9
    if change.response != "unchanged":
        assert (change.low_percent > 0) == (change.response == "worse")


@given(before=ML, after=ML, error=st.floats(0.1, 90), grids=st.floats(1.001, 3))
def test_other_slices_widen_the_interval_and_explain_small_changes(
    before: float, after: float, error: float, grids: float
) -> None:
    first, second = Volume.within(before, error), Volume.within(after, error)
    plain, wider = Change.between(first, second), Change.between(first, second, grids)
    assert plain.low_percent is not None
    assert wider.low_percent is not None
    assert wider.low_percent <= plain.low_percent
    assert wider.grid_percent == pytest.approx(100 * (grids - 1))
    if response_to(100 * (after / before - 1)) == "unchanged":
        assert wider.response == "unchanged"
    elif abs(math.log(after / before)) <= math.log(grids):
        assert wider.response is None
    else:
        assert wider.response is not None


def test_an_unknown_interval_stays_unknown_with_other_slices() -> None:
    change = Change.between(Volume(10), Volume(4), 1.2)
    assert (change.low_percent, change.beyond_error, change.response) == (None, None, "major")


@given(volume=ML, error=st.floats(0.01, 99))
def test_no_change_is_never_called_one(volume: float, error: float) -> None:
    change = Change.between(Volume.within(volume, error), Volume.within(volume, error))
    assert (change.percent, change.beyond_error, change.response) == (0, False, "unchanged")


def test_the_interval_is_what_its_source_gives() -> None:
    change = Change.between(Volume(10, 8, 12), Volume(5, 4, 7))
    down, up = math.hypot(math.log(5 / 4), math.log(12 / 10)), math.hypot(math.log(7 / 5), math.log(10 / 8))
    assert change.low_percent == pytest.approx(100 * (0.5 * math.exp(-down) - 1))
    assert change.high_percent == pytest.approx(100 * (0.5 * math.exp(up) - 1))
    assert change.possible == ("major", "intermediate")


def test_an_error_is_a_share_of_the_true_volume() -> None:
    """What is measured 40 % too small or too large is 10 mL where the truth is 16.7 or 7.1 mL."""
    measured = Volume.within(10, 40)
    assert (measured.low_ml, measured.high_ml) == pytest.approx((7.142857, 16.666667))
    assert measured.high_ml is not None
    assert measured.low_ml is not None
    assert (measured.high_ml * 0.6, measured.low_ml * 1.4) == pytest.approx((10, 10))


@pytest.mark.parametrize(("error", "decrease", "increase"), [(10, -19.3, 24.0), (25, -42.3, 73.4), (40, -60.3, 152.1)])
def test_the_smallest_change_that_can_be_seen_is_that_seen_in_four_of_five(
    error: float, decrease: float, increase: float
) -> None:
    """Measured with errors of which nine in ten reach so far: four in five changes of that size lie beyond them."""
    rng = np.random.default_rng(0)
    found = Change.between(Volume.within(10, error), Volume.within(10, error)).detectable
    assert found is not None
    assert (found.decrease_percent, found.increase_percent) == pytest.approx((decrease, increase), abs=0.1)
    down, up = math.log(1 + error / 100), -math.log(1 - error / 100)

    def measured(ml: float) -> Volume:
        z = rng.standard_normal() / 1.644854
        return Volume.within(ml * math.exp(z * down if z > 0 else z * up), error)

    for percent in (found.decrease_percent, found.increase_percent):
        assert percent is not None
        pairs = [Change.between(measured(10), measured(10 * (1 + percent / 100))) for _ in range(1000)]
        assert np.mean([one.beyond_error for one in pairs]) == pytest.approx(0.8, abs=0.06)


def test_of_a_volume_that_may_be_nothing_no_decrease_can_be_seen() -> None:
    found = Change.between(Volume(2, 0, 4), Volume(1, 0.5, 2)).detectable
    assert found is not None
    assert found.decrease_percent is None
    assert found.increase_percent is not None
    assert Change.between(Volume(2), Volume(1)).detectable is None
    assert Change.between(Volume(0, 0, 1), Volume(1, 0.5, 2)).detectable is None


def test_a_volume_of_nothing_after_is_judged_by_the_error_before() -> None:
    here = Change.between(Volume.within(10, 25), Volume(0)).detectable
    assert here == Change.between(Volume.within(10, 25), Volume.within(10, 25)).detectable


def test_without_an_error_the_class_is_that_of_the_change() -> None:
    change = Change.between(Volume(10), Volume(7))
    assert (change.response, change.beyond_error, change.possible) == ("intermediate", None, None)
    assert (change.low_percent, change.high_percent) == (None, None)


@pytest.mark.parametrize(
    ("before", "after", "percent", "ends", "response"),
    [
        (Volume(0, 0, 0), Volume(0, 0, 0), 0, (0, 0), "unchanged"),
        (Volume(0, 0, 0.5), Volume(0, 0, 0.5), 0, (-100, None), "unchanged"),
        (Volume(0, 0, 0.5), Volume(3, 2, 4), None, (300, None), "worse"),
        (Volume(0, 0, 0.5), Volume(0.1, 0, 0.6), None, (-100, None), "unchanged"),
        (Volume(4, 3, 5), Volume(0, 0, 0.5), -100, (-100, pytest.approx(-83.33, abs=0.01)), "major"),
        (Volume(0.2, 0, 0.9), Volume(0, 0, 0.5), -100, (-100, None), "unchanged"),
        (Volume(0), Volume(2), None, (None, None), "worse"),
    ],
)
def test_volumes_of_0(
    before: Volume, after: Volume, percent: float | None, ends: tuple[float | None, float | None], response: str
) -> None:
    change = Change.between(before, after)
    assert change.percent == percent
    assert (change.low_percent, change.high_percent) == ends
    assert change.response == response
