"""A follow-up in words, as a table and as stored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vmseg_auto.followup.records import COLUMNS, Alignment, FollowUp, FollowUps, LesionChange, verdict
from vmseg_auto.followup.response import Change, Volume
from vmseg_auto.followup.rigid import RigidTransform
from vmseg_auto.utils.errors import InputError

ALIGNED = Alignment.judged(RigidTransform(), 3.0, overlap=0.9, local_ncc=0.8)
LESIONS = (
    LesionChange("vm", "same", (1,), (1,), 9.0, 6.0, -33.3),
    LesionChange("vm", "split", (2,), (2, 3), 3.0, 2.0, -33.3),
    LesionChange("vm", "gone", (3,), (), 0.5, 0.0, -100.0),
    LesionChange("vm", "new", (), (4,), 0.0, 0.2, None),
    LesionChange("vm", "gone", (4,), (), 0.01, 0.0, -100.0),
    LesionChange("other", "same", (1,), (1,), 1.0, 1.0, 0.0),
)


def between(before: float, after: float, error: float) -> Change:
    return Change.between(Volume.within(before, error), Volume.within(after, error))


def follow_up(alignment: Alignment = ALIGNED, lesions: tuple[LesionChange, ...] = LESIONS) -> FollowUp:
    return FollowUp("anna", "anna_1", "anna_2", {"vm": between(12.5, 8.2, 5)}, alignment, lesions, ("A note.",))


def test_in_words() -> None:
    assert follow_up().text().splitlines() == [
        "anna: anna_1 -> anna_2",
        "  vm: 12.50 mL (11.90 to 13.16) -> 8.20 mL (7.81 to 8.63)",
        "    seen in four cases of five at this error: decreases from 10 % (1.27 mL) on, "
        "increases from 11 % (1.41 mL) on; smaller ones less often",
        "    -34 % (90 % interval -39 to -30 %): intermediate response",
        "    lesion 1, the same: 9.00 -> 6.00 mL, -33 %",
        "    lesion 2, split (lesion 2+3 of the second scan): 3.00 -> 2.00 mL, -33 %",
        "    lesion 3 (0.50 mL): gone",
        "    lesion 4 of the second scan (0.20 mL): new",
        "    and 1 of 0.05 mL or less (followup.csv)",
        "  The scans are aligned: the patient lay 3.0 mm and 0.0 degrees apart.",
        "  A note.",
    ]


def test_scans_that_can_not_be_aligned_say_why() -> None:
    alignment = Alignment.judged(RigidTransform((-1.0, 0, 0, 0, -1, 0, 0, 0, 1)), 3.0, overlap=0.1, local_ncc=0.2)
    told = follow_up(alignment, ()).text()
    for words in ("could not be aligned", "lesions are not matched", "10%", "180 degrees", "local NCC 0.20"):
        assert words in told
    assert "intermediate response" in told
    assert ALIGNED.problems == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (between(10, 7, 40), "-30 % (90 % interval -62 to +29 %): not beyond the measurement error, so unchanged"),
        (between(10, 7, 15), "-44 to -13 %): intermediate response; by the interval intermediate to minor"),
        (between(10, 10.2, 5), "+2 % (90 % interval -5 to +9 %): unchanged"),
        (Change.between(Volume(10), Volume(4)), "-60 %: major response (the measurement error is not known"),
        (Change.between(Volume(0, 0, 0.5), Volume(3, 2, 4)), "nothing before (90 % interval +300 to open): worse"),
    ],
)  # fmt: skip
def test_verdicts(change: Change, words: str) -> None:
    assert words in verdict(change)


def test_the_table_has_totals_and_lesions() -> None:
    rows = list(follow_up().rows())
    assert [(row["component"], row["component_after"], row.get("fate")) for row in rows] == [
        ("all", "all", None),
        ("1", "1", "same"),
        ("2", "2+3", "split"),
        ("3", "", "gone"),
        ("", "4", "new"),
        ("4", "", "gone"),
    ]
    assert all(set(row) <= set(COLUMNS) for row in rows)
    assert rows[0]["beyond_error"] == "yes"
    assert rows[0]["response"] == "intermediate"


@pytest.mark.parametrize(
    ("local_ncc", "mirrored", "exchanged"),
    [
        (0.8, 0.5, False),
        (0.8, 0.85, False),
        (0.5, 0.8, True),
        (0.93, 0.99, True),
        (0.99, 0.999, False),
        (0.1, 0.3, False),
    ],
)
def test_left_and_right_exchanged(local_ncc: float, mirrored: float, exchanged: bool) -> None:
    alignment = Alignment.judged(RigidTransform(), 3.0, 0.9, local_ncc, mirrored)
    assert any("far better mirrored" in problem for problem in alignment.problems) == exchanged


def test_a_comparison_that_is_not_sound_calls_no_response() -> None:
    whole = follow_up()
    one = replace(
        whole,
        changes={name: change.uncalled for name, change in whole.changes.items()},
        doubts=("both times are the same image",),
    )
    assert (whole.sound, one.sound) == (True, False)
    told = one.text()
    assert "no response is called" in told
    assert "intermediate" not in told
    assert told.count("both times are the same image") == 1
    assert one.warning().startswith("anna: ")
    row = next(one.rows())
    assert (row["response"], row["sound"]) == (None, "no")


def test_json_both_ways() -> None:
    pairs = FollowUps((follow_up(), follow_up(Alignment(None, 0, 0, 0, 0, ("they do not overlap",)), ())))
    data = json.loads(json.dumps(pairs.to_json()))
    assert FollowUps.from_json(data) == pairs
    data["pairs"][0]["lesions"][0]["fate"] = "eaten"
    with pytest.raises(InputError, match="eaten"):
        FollowUps.from_json(data)
