"""What validation cases tell of volumes, and how it comes into a table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.confidence import Confidence
from vmseg_auto.models.selection_record import THRESHOLDS
from vmseg_auto.selection.candidates import Candidates
from vmseg_auto.selection.choose import Setting
from vmseg_auto.selection.validation_volumes import VALIDATION_COLUMNS, ValidationVolumes, is_covered

CASES = 40


def validation() -> ValidationVolumes:
    """Lesions are measured well, but one of 5 mL as 100; of nodes there are as many as patients, all of patient p0."""
    rng = np.random.default_rng(0)
    true = rng.lognormal(2, 1, (CASES, 2))
    measured = true * rng.uniform(0.8, 1.25, true.shape)
    true[7, 0], measured[7, 0] = 5.0, 100.0
    cases = tuple((f"case_{n:02d}", f"p{n // 2}") for n in range(CASES))
    confidence = tuple(Confidence(float(doubt), 0.0, True) for doubt in rng.uniform(0, 0.5, CASES))
    return ValidationVolumes(("lesion", "node"), cases, true, measured, confidence)


def test_every_label_has_its_own_errors() -> None:
    told = validation().trusted
    assert list(told) == ["lesion", "node"]
    assert told["lesion"].found != told["node"].found
    assert (told["node"].cases, told["node"].patients) == (CASES, CASES // 2)


def test_table_and_picture_show_every_case_with_what_others_told(tmp_path: Path) -> None:
    volumes, run = validation(), Run(tmp_path)
    volumes.save(run)
    with run.volumes.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == VALIDATION_COLUMNS
    assert [(row["case"], row["label"]) for row in rows] == [
        (case, label) for label in ("lesion", "node") for case, _ in volumes.cases
    ]
    covered = [is_covered(row) for row in rows if row["label"] == "lesion"]
    assert not covered[7]
    assert float(rows[7]["volume_high_ml"]) > 100
    assert volumes.reasons[0].startswith(f"lesion: {sum(covered)} of {CASES} true volumes, of 20 patients, lie in the")
    assert volumes.reasons[1].startswith("lesion: every validation scan had a finding")
    assert run.volumes_picture.stat().st_size > 5000


def test_too_few_cases_leave_the_intervals_empty(tmp_path: Path) -> None:
    all_of_them = validation()
    few = replace(
        all_of_them,
        cases=all_of_them.cases[:8],
        reference_ml=all_of_them.reference_ml[:8],
        measured_ml=all_of_them.measured_ml[:8],
        confidence=all_of_them.confidence[:8],
    )
    assert [one.found for one in few.trusted.values()] == [None, None]
    assert (
        "lesion: no interval of a volume is given: it takes validation scans with a finding of 5 patients, "
        in (few.reasons[0])
    )
    few.save(Run(tmp_path))
    assert Run(tmp_path).volumes.is_file()
    assert not Run(tmp_path).volumes_picture.exists()
    with Run(tmp_path).volumes.open(newline="") as file:
        assert all(row["no_interval"].endswith("and here are 3") for row in csv.DictReader(file))


def test_missed_lesions_stand_apart(tmp_path: Path) -> None:
    volumes = validation()
    volumes.measured_ml[[3, 20], 0] = 0
    volumes.reference_ml[3, 0] = 300.0
    volumes.save(Run(tmp_path))
    with Run(tmp_path).volumes.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "lesion"]
    assert [number for number, row in enumerate(rows) if not row["volume_high_ml"]] == [3, 20]
    assert rows[20]["largest_missed_ml"] == "300"
    assert rows[20]["lesion_probability"] == "1"
    assert "2 of them had a lesion" in volumes.reasons[1]


@pytest.mark.parametrize(("threshold", "keep", "expected"), [(0.3, False, 10), (0.5, False, 8), (0.5, True, 6)])
def test_volumes_are_those_under_the_chosen_setting(threshold: float, keep: bool, expected: float) -> None:
    measured = np.zeros((1, 5, 1, 2))
    measured[0, :, 0] = [[10, 9], [9, 8], [8, 6], [7, 5], [6, 4]]
    made = Candidates(("p",), np.zeros(1, int), {}, (("a", "p"),), np.ones((1, 1)), {("r",): measured})
    found = made.volumes(("r",), Setting(threshold, (keep,)), ["lesion"], {"a": Confidence(0.5, 0.5, True)})
    assert found.measured_ml.tolist() == [[expected]]


def test_masks_annotated_in_part_tell_no_volume_and_are_named() -> None:
    measured = np.ones((3, len(THRESHOLDS), 1, 2))
    cases = (("a", "p"), ("b", "q"), ("c", "r"))
    reference = np.array([[1.0], [np.nan], [2.0]])
    made = Candidates(("p", "q", "r"), np.zeros(3, int), {}, cases, reference, {("r",): measured})
    confidence = {case: Confidence(0.1, 0.0, True) for case, _ in cases}
    told = made.volumes(("r",), Setting(0.5, (False,)), ("lesion",), confidence)
    assert [case for case, _ in told.cases] == ["a", "c"]
    assert told.reference_ml.tolist() == [[1.0], [2.0]]
    assert told.reasons[0] == "left out, as their masks are annotated in part: b"


def test_where_all_masks_are_annotated_in_part_there_is_no_interval() -> None:
    none = replace(
        validation(), cases=(), reference_ml=np.empty((0, 2)), measured_ml=np.empty((0, 2)), confidence=(),
        partly_annotated=("a",),
    )  # fmt: skip
    assert [one.found for one in none.trusted.values()] == [None, None]
    assert none.rows == []
    assert len(none.reasons) == 5
