"""Nested groups of patients, and what a learning curve says."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.evaluation.learning_curve_record import Interval, LearningCurve, Point, Wanted, nested_subsets
from vmseg_auto.utils.errors import InputError

CURVE = LearningCurve(
    model="default/quick",
    folds=(0,),
    cohort=53,
    tested=11,
    measured=tuple(Point(n, Interval(d, d - 0.05, d + 0.05)) for n, d in ((10, 0.5), (20, 0.6), (40, 0.65))),
    plateau=Interval(0.9, 0.8, 1.0),
    b=1.2,
    c=0.6,
    forecasts=(Point(53, Interval(0.67, 0.6, 0.7)), Point(106, Interval(0.72, 0.65, 0.8))),
    without_interval="",
)


@given(st.integers(1, 30), st.integers(1, 4), st.sets(st.integers(1, 30), min_size=1, max_size=5))
def test_each_group_holds_the_smaller_ones(people: int, scans: int, sizes: set[int]) -> None:
    patients = {f"p{p}_scan{s}": f"p{p}" for p in range(people) for s in range(scans)}
    wanted = sorted(size for size in sizes if size <= people)
    groups = nested_subsets(patients, wanted)
    assert list(groups) == wanted
    for size, cases in groups.items():
        assert len({patients[case] for case in cases}) == size
        assert len(cases) == size * scans
    for small, large in pairwise(wanted):
        assert set(groups[small]) < set(groups[large])


def test_groups_depend_on_names_alone() -> None:
    patients = {f"case_{n}": f"case_{n}" for n in range(20)}
    backwards = dict(reversed(patients.items()))
    assert nested_subsets(patients, [7]) == nested_subsets(backwards, [7])
    assert nested_subsets(patients, [7])[7] == nested_subsets(patients, [3, 7, 9])[7]
    assert nested_subsets(patients, [7])[7] != tuple(sorted(patients)[:7])


def test_json_round_trip() -> None:
    for wanted in (None, Wanted(0.8, 75, 60, None)):
        curve = replace(CURVE, wanted=wanted)
        assert LearningCurve.from_json(json.loads(json.dumps(curve.to_json()))) == curve
    with pytest.raises(InputError, match="schema 9"):
        LearningCurve.from_json({**CURVE.to_json(), "schema": 9})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            Wanted(0.8, 75, 60, 120),
            "A Dice of 0.8 takes about 75 patients by this curve, 22 more than the 53 of this cohort. "
            "95 % interval: 60 to 120 patients.",
        ),
        (
            Wanted(0.6, 20, 15, 53),
            "A Dice of 0.6 takes about 20 patients by this curve, no more than the 53 of this cohort. "
            "95 % interval: 15 to 53 patients.",
        ),
        (
            Wanted(0.4, 10, 10, 12),
            "A Dice of 0.4 takes at most 10 patients by this curve, no more than the 53 of this cohort. "
            "95 % interval: 10 to 12 patients.",
        ),
        (
            Wanted(0.8, 75, 40, None),
            "A Dice of 0.8 takes about 75 patients by this curve, 22 more than the 53 of this cohort. "
            "The 95 % interval is open: from 40 patients to more than 530, or never.",
        ),
        (
            Wanted(0.8, None, 40, None),
            "A Dice of 0.8 takes more than 530 patients by this curve, or is never reached. "
            "The 95 % interval is open: from 40 patients to more than 530, or never.",
        ),
        (
            Wanted(0.95, None, None, None),
            "A Dice of 0.95 takes more than 530 patients, or is never reached; so says the whole 95 % interval.",
        ),
    ],
)
def test_the_answer_in_words(wanted: Wanted, words: str) -> None:
    curve = replace(CURVE, wanted=wanted)
    assert curve.answer() == words
    assert words in curve.text()


def test_a_flat_curve_tells_no_number() -> None:
    """Resamples of scores that do not rise are flat, too: their narrow interval must not be believed."""
    flat = replace(CURVE, b=0.0, wanted=Wanted(0.8, None, None, None))
    assert flat.answer() == "How many patients a Dice of 0.8 takes can't be known from these scores."
    assert "do not rise with the number of patients" in flat.text()
    assert "takes at most 10 patients" in replace(flat, wanted=Wanted(0.1, 10, 10, 10)).answer()


def test_what_the_screen_shows() -> None:
    lines = CURVE.text().splitlines()
    assert lines[0] == "Mean Dice of 11 patients of no training set (95 % interval)"
    assert lines[3] == "  trained on   40 patients  0.650 (0.600 to 0.700)"
    assert lines[6] == "  trained on  106 patients  0.720 (0.650 to 0.800)"
    assert lines[7] == "  however many              0.900 (0.800 to 1.000)"
    assert CURVE.answer() == ""


def test_what_the_intervals_leave_out_is_said() -> None:
    assert "a fourth one would test it" in CURVE.text()
    assert "more --folds tell it better" in CURVE.text()
    four = (Point(5, Interval(0.4, 0.3, 0.5)), *CURVE.measured)
    assert replace(CURVE, measured=four, folds=(0, 1)).caveats() == []


def test_a_curve_without_interval_says_why() -> None:
    bare = replace(
        CURVE,
        plateau=Interval(0.9, None, None),
        without_interval="it takes 10 validation patients, and here are 6",
        wanted=Wanted(0.8, 75, None, None),
    )
    text = bare.text()
    assert "  however many              0.900 (no interval)" in text
    assert "22 more than the 53 of this cohort. No interval is given." in text
    assert "The curve has no interval: it takes 10 validation patients, and here are 6." in text
    assert "not how well these trainings happened to go" in text
    assert "never reached. No interval is given." in replace(bare, wanted=Wanted(0.95, None, None, None)).text()
