"""Expected Dice by uncertainty, and what is stored of held-out cases."""

from __future__ import annotations

import json

import pytest

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.trust import Calibration, Expectation, HeldOut, HeldOutCase, Trust

CALIBRATION = Calibration(
    best=0.9, by_uncertainty=-0.8, by_scatter=-0.4, below=0.2, above=0.3,
    look_first=0.5, mirrored=True, cases=50, patients=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("uncertainty", "scatter", "expected"),
    [(0.0, 0.0, (0.9, 0.7, 1.0)), (0.5, 0.25, (0.4, 0.2, 0.7)), (1.0, 1.0, (0.0, 0.0, 0.3))],
)
def test_expectation_follows_the_line_within_what_dice_can_be(
    uncertainty: float, scatter: float, expected: tuple[float, float, float]
) -> None:
    found = CALIBRATION.expect(Trust(uncertainty, scatter, mirrored=True))
    assert isinstance(found, Expectation)
    assert (found.dice, found.low, found.high) == pytest.approx(expected)


def test_cases_beyond_any_dice_still_have_an_order() -> None:
    assert CALIBRATION.line(Trust(1.0, 1.0, mirrored=True)) < CALIBRATION.line(Trust(1.0, 0.9, mirrored=True)) < 0


def test_nothing_is_expected_of_what_was_measured_differently() -> None:
    assert CALIBRATION.expect(Trust(0.5, 0.0, mirrored=False)) is None


def test_stored_and_read_back() -> None:
    first, second = HeldOutCase("1", Trust(0.25, 0.1, True, 0.5), scored="2"), HeldOutCase("3", Trust(1.0, 1.0, False))
    held = HeldOut({"a": first, "b": second})
    assert HeldOut.from_json(json.loads(json.dumps(held.to_json()))) == held


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(InputError, match="uncertainty"):
        HeldOut.from_json({"cases": {"a": {"image": "1", "trust": {"mirrored": True}}}})
