"""A patient at several times: sums of diameters of lesions that are kept, and what they mean by RECIST 1.1."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmseg_auto.followup.records import Alignment, FollowUp, LesionChange
from vmseg_auto.followup.response import Change, Volume
from vmseg_auto.followup.rigid import RigidTransform
from vmseg_auto.followup.trajectory import COLUMNS, Trajectories, recist, trajectory
from vmseg_auto.followup.trajectory_charts import charts_of

ALIGNED = Alignment.judged(RigidTransform(), 3.0, overlap=0.9, local_ncc=0.8)
APART = Alignment.judged(None, 0.0, 0.0, 0.0)


def lesion(fate: str, before: dict[int, float], after: dict[int, float], after_ml: float = 1.0) -> LesionChange:
    """Lesions by their numbers and diameters; each takes 1 mL before."""
    return LesionChange(
        "vm", fate, tuple(before), tuple(after), float(len(before)), after_ml, None,  # type: ignore[arg-type]
        tuple(before.values()), tuple(after.values()), (1.0,) * len(before),
    )  # fmt: skip


def pair(time: int, *lesions: LesionChange, alignment: Alignment = ALIGNED) -> tuple[int, FollowUp]:
    change = Change.between(Volume.within(10.0, 5), Volume.within(10.0 - time, 5))
    return time, FollowUp("anna", "anna", "anna", {"vm": change}, alignment, lesions, (), alignment.problems)


@pytest.mark.parametrize(
    ("sum_mm", "smallest_mm", "wanted"),
    [
        (100.0, 100.0, "SD"), (70.0, 100.0, "PR"), (70.1, 100.0, "SD"), (0.0, 50.0, "CR"), (60.0, 50.0, "PD"),
        (59.9, 50.0, "PR"), (119.0, 100.0, "SD"), (120.0, 100.0, "PD"), (4.0, 1.0, "PR"), (6.0, 1.0, "PD"),
        (6.0, 0.0, "PD"), (3.0, 0.0, "PR"),
    ],
)  # fmt: skip
def test_thresholds_are_those_of_recist(sum_mm: float, smallest_mm: float, wanted: str) -> None:
    assert recist(sum_mm, 100.0, smallest_mm) == wanted


def test_targets_are_chosen_at_baseline_and_kept() -> None:
    """Six lesions are long enough and five are targets; what is larger later, or new, counts for nothing."""
    lengths = {number: 10.0 + number for number in range(1, 7)}
    small = lesion("same", {7: 9.9}, {9: 50.0})
    first = [lesion("same", {number: mm}, {number: mm - 5}) for number, mm in lengths.items()]
    new = lesion("new", {}, {8: 30.0})
    (points,) = trajectory([pair(1, *first, small, new), pair(2, *first, small, new)]).labels.values()
    assert [point.sum_mm for point in points] == [sum(range(12, 17)), sum(range(7, 12)), sum(range(7, 12))]
    assert [target.number for target in points[0].targets] == [2, 3, 4, 5, 6]
    assert [(point.recist, point.smallest_mm, point.new_lesions) for point in points] == [
        (None, None, None), ("PR", 70.0, 1), ("PR", 45.0, 1),
    ]  # fmt: skip


def test_parts_are_added_up_and_merged_lesions_count_once() -> None:
    whole = [lesion("same", {1: 40.0}, {1: 40.0}), lesion("same", {2: 20.0}, {2: 20.0})]
    split = [lesion("split", {1: 40.0}, {1: 25.0, 3: 10.0}), lesion("gone", {2: 20.0}, {}, after_ml=0.0)]
    merged = [lesion("merged", {1: 40.0, 2: 20.0}, {1: 55.0})]
    (points,) = trajectory([pair(1, *whole), pair(2, *split), pair(3, *merged)]).labels.values()
    assert [point.sum_mm for point in points] == [60.0, 60.0, 35.0, 55.0]
    assert [point.recist for point in points] == [None, "SD", "PR", "PD"]
    assert [[target.mm for target in point.targets] for point in points[2:]] == [[35.0, 0.0], [55.0, 0.0]]
    assert [target.fate for target in points[3].targets] == ["merged", "merged"]


def test_what_was_not_seen_is_not_known() -> None:
    same = lesion("same", {1: 40.0}, {1: 20.0})
    unseen = lesion("out of view", {1: 40.0}, {}, after_ml=0.0)
    found = trajectory([pair(1, same), pair(2, unseen), pair(3, alignment=APART), pair(4, same)])
    (points,) = found.labels.values()
    assert [point.sum_mm for point in points] == [40.0, 20.0, None, None, 20.0]
    assert [point.recist for point in points] == [None, "PR", None, None, "PR"]
    assert [point.sound for point in points] == [True, True, True, False, True]
    assert "sum of diameters not known: a target lesion was not seen" in found.text()


def test_without_lesions_there_is_no_sum() -> None:
    (points,) = trajectory([pair(1), pair(2)]).labels.values()
    assert [(point.sum_mm, point.recist) for point in points] == [(None, None)] * 3
    assert len(charts_of(trajectory([pair(1), pair(2)]))) == 1


def test_as_a_table_and_as_stored() -> None:
    found = trajectory([pair(1, lesion("same", {1: 40.0}, {1: 28.0})), pair(2, lesion("same", {1: 40.0}, {1: 36.0}))])
    rows = list(found.rows())
    assert all(set(row) <= set(COLUMNS) for row in rows)
    totals = [row for row in rows if row["component"] == "all"]
    assert [row["sum_change_percent"] for row in totals] == [None, pytest.approx(-30), pytest.approx(-10)]
    assert [row["sum_above_smallest_percent"] for row in totals][2] == pytest.approx(100 * 8 / 28)
    assert [row["recist"] for row in totals] == [None, "PR", "PD"]
    assert [row["change_percent"] for row in totals] == [None, pytest.approx(-10), pytest.approx(-20)]
    stored = Trajectories((found,))
    assert Trajectories.from_json(stored.to_json()) == stored
    volumes, sums = charts_of(found)
    assert [line.kind for line in volumes.lines] == ["bar", "bar", "bar", "first"]
    assert sums.lines[-1].points == ((0.0, 40.0), (1.0, 28.0), (2.0, 36.0))
    limits = [line.points[0][1] for line in sums.lines if line.kind == "limit"]
    assert limits == [pytest.approx(48.0), pytest.approx(33.6)]


def test_in_words() -> None:
    shrunk = replace(lesion("same", {1: 40.0}, {1: 28.0}))
    told = trajectory([pair(1, shrunk), pair(2, shrunk, lesion("new", {}, {2: 5.0}))]).text().splitlines()
    assert told == [
        "anna: 3 times",
        "  vm, 1 target lesion of 10 mm or more",
        "    time 0, anna: 10.00 mL (9.52 to 10.53); sum of diameters 40 mm",
        "    time 1, anna: 9.00 mL (8.57 to 9.47); -10 %, unchanged; sum of diameters 28 mm (-30 %), PR",
        "    time 2, anna: 8.00 mL (7.62 to 8.42); -20 %, minor; sum of diameters 28 mm (-30 %), PR; 1 new",
        "  A new lesion that is beyond doubt is progression by RECIST 1.1, whatever the sum: look at it.",
    ]


def test_a_time_that_is_not_compared_soundly_says_so() -> None:
    time, apart = pair(2, alignment=APART)
    apart = replace(apart, changes={name: change.uncalled for name, change in apart.changes.items()})
    told = trajectory([pair(1), (time, apart)]).text().splitlines()
    assert "time 2, anna: 8.00 mL (7.62 to 8.42); -20 %, not compared soundly, so no response is called" in told[-1]
