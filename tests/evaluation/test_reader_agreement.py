"""Two readers beside a model: who agrees with whom, and by how much more."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.evaluation.reader_agreement import BETWEEN, FIRST, SECOND, compare_readers
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.evaluate import evaluate

GRID = Geometry((2, 6, 40), (5.0, 1.0, 1.0))
LABELS = {"background": 0, "lesion": 1}


def draw(folder: Path, starts: dict[str, int], length: int = 10) -> Path:
    """A bar a case, begun at that column."""
    for case, start in starts.items():
        mask = np.zeros(GRID.shape, dtype=np.uint8)
        mask[:, 2:4, start : start + length] = 1
        write_mask(folder / f"{case}.nii.gz", mask, GRID)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The model is 4 columns off reader 1 and 2 off reader 2; the readers are 2 apart, but in c, where they agree."""
    cases = ("a", "b", "c")
    return (
        draw(tmp_path / "model", dict.fromkeys(cases, 4)),
        draw(tmp_path / "one", {"a": 0, "b": 0, "c": 0, "d": 0}),
        draw(tmp_path / "two", {"a": 2, "b": 2, "c": 0, "e": 0}),
    )


def test_agreement_and_differences_by_hand(folders: tuple[Path, Path, Path]) -> None:
    found = compare_readers(*folders, LABELS, 1.0, {"a": "anna", "b": "anna"}, 1)
    dice = {name: list(one.table["dice"]) for name, one in found.comparisons.items()}
    assert dice[FIRST] == pytest.approx([0.6, 0.6, 0.6])
    assert dice[SECOND] == pytest.approx([0.8, 0.8, 0.6])
    assert dice[BETWEEN] == pytest.approx([0.8, 0.8, 1.0])
    rows = found.differences.set_index(["comparison", "metric"])
    assert rows.loc[(FIRST, "dice"), "mean"] == pytest.approx((-0.2 - 0.2 - 0.4) / 3)
    assert rows.loc[(SECOND, "dice"), "mean"] == pytest.approx(-0.4 / 3)
    assert np.isnan(rows.loc[(SECOND, "dice"), "low_95"])  # of two patients
    assert rows.loc[(FIRST, "hd95_mm"), "mean"] == pytest.approx((2 + 2 + 4) / 3, abs=0.2)
    assert "has not outlined: d" in found.comparisons[FIRST].notes[0]


def test_what_is_written_and_said(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, one, two = folders
    (one / "d.nii.gz").unlink()
    left = Inventory()
    evaluate(model, one, tmp_path / "out" / "scores.csv", second_reader=two, left=left)
    assert "1 mask, of the second reader without a reference: e.nii.gz" in left.text()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"scores.csv", "scores.json", "scores_readers.csv", "scores_readers.json"} <= names
    with (tmp_path / "out" / "scores_readers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["comparison"] for row in rows] == [FIRST] * 3 + [SECOND] * 3 + [BETWEEN] * 3
    about = json.loads((tmp_path / "out" / "scores_readers.json").read_text())
    assert about["comparisons"][BETWEEN]["summary"]["lesion"]["dice"]["mean"] == pytest.approx(2.6 / 3)
    (dice,) = [row for row in about["differences"]["rows"] if (row["comparison"], row["metric"]) == (FIRST, "dice")]
    assert dice["mean"] == pytest.approx(-0.8 / 3)
    assert about["measurement_error_percent"] == {"lesion": None}  # three cases tell no error


def test_the_table_on_the_screen(folders: tuple[Path, Path, Path]) -> None:
    lines = compare_readers(*folders, LABELS, 1.0, {}, 1).text().splitlines()
    assert lines[0] == "lesion: 3 cases of 3 patients that both readers outlined"
    (dice,) = [line for line in lines if line.strip().startswith("Dice")]
    assert dice.split()[:4] == ["Dice", "0.600", "0.733", "0.867"]
    assert "-0.267 (none: 3 patients) | -0.133 (none: 3 patients)" in dice
    assert "No interval is given: it takes 5 patients, and here are 3." in lines
    assert lines[-1].startswith("lesion: no measurement error is given: it takes 10 cases of 5 patients")
    assert lines[-1].endswith("and here are 3 of 3.")


def test_differences_of_five_patients_have_intervals(tmp_path: Path) -> None:
    cases = "abcde"
    model = draw(tmp_path / "model", dict.fromkeys(cases, 4))
    one = draw(tmp_path / "one", dict.fromkeys(cases, 0))
    two = draw(tmp_path / "two", {case: 0 if case == "c" else 2 for case in cases})
    (dice,) = [
        line for line in compare_readers(model, one, two, LABELS, 1.0, {}, 1).text().splitlines() if "Dice" in line
    ]
    assert "-0.240 (-0.367 to -0.113) | -0.080 (-0.335 to +0.175)" in dice


def test_the_readers_tell_a_measurement_error(tmp_path: Path) -> None:
    cases = [f"case_{number:02d}" for number in range(12)]
    model = draw(tmp_path / "model", dict.fromkeys(cases, 0))
    one = draw(tmp_path / "one", dict.fromkeys(cases, 0))
    two = draw(tmp_path / "two", dict.fromkeys(cases, 0), length=12)
    found = compare_readers(model, one, two, LABELS, 1.0, {}, 1)
    assert found.measurement_errors() == {"lesion": pytest.approx(100 * 2 / 11 / np.sqrt(2))}
    told = "at most 13 % (12 cases of 12 patients; for masks drawn by hand: vmseg_followup --error 13)"
    assert told in found.text()


def test_two_labels_of_five_cases_tell_no_error(tmp_path: Path) -> None:
    """Ten rows are no ten cases."""
    labels = {"background": 0, "vein": 1, "node": 2}
    for reader, length in (("model", 10), ("one", 10), ("two", 12)):
        for case in "abcde":
            mask = np.zeros(GRID.shape, dtype=np.uint8)
            mask[0, 2:4, :length], mask[1, 2:4, :length] = 1, 2
            write_mask(tmp_path / reader / f"{case}.nii.gz", mask, GRID)
    found = compare_readers(*(tmp_path / reader for reader in ("model", "one", "two")), labels, 1.0, {}, 1)
    assert found.measurement_errors() == {"vein": None, "node": None}
    assert "node: no measurement error is given: it takes 10 cases of 5 patients" in found.text()


def test_readers_without_a_common_case(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, one, _ = folders
    with pytest.raises(InputError, match="first reader and the model"):
        compare_readers(model, one, draw(tmp_path / "three", {"x": 0}), LABELS, 1.0, {}, 1)


def test_labels_are_inferred_from_both_readers(folders: tuple[Path, Path, Path]) -> None:
    found = compare_readers(*folders, None, 1.0, {}, 1)
    assert set(found.comparisons[BETWEEN].table["label"]) == {"lesion"}


def test_a_lesion_that_one_reader_saw_alone_is_no_small_error(tmp_path: Path) -> None:
    cases = [f"case_{number:02d}" for number in range(12)]
    model = draw(tmp_path / "model", dict.fromkeys(cases, 0))
    one = draw(tmp_path / "one", dict.fromkeys(cases, 0))
    two = draw(tmp_path / "two", dict.fromkeys(cases, 0))
    write_mask(two / "case_00.nii.gz", np.zeros(GRID.shape, dtype=np.uint8), GRID)
    found = compare_readers(model, one, two, LABELS, 1.0, {}, 1)
    assert found.measurement_errors() == {"lesion": None}
    assert "in too many of 12 cases one reader alone saw it" in found.text()


def test_readers_are_compared_where_both_have_annotated(folders: tuple[Path, Path, Path]) -> None:
    """Reader 2 has looked at the first slice of case a alone, and reader 1 at columns up to 5 of case b."""
    for folder, case, part in ((folders[2], "a", np.s_[1]), (folders[1], "b", np.s_[:, :, 6:])):
        mask, grid = read_mask(folder / f"{case}.nii.gz")
        mask[part] = 2
        write_mask(folder / f"{case}.nii.gz", mask, grid)
    found = compare_readers(*folders, {**LABELS, "ignore": 2}, 1.0, {}, 1)
    dice = {name: list(one.table["dice"]) for name, one in found.comparisons.items()}
    assert dice[FIRST] == pytest.approx([0.6, 2 * 2 / (2 + 6), 0.6])
    assert dice[SECOND] == pytest.approx([0.8, 0.8, 0.6])
    assert dice[BETWEEN] == pytest.approx([0.8, 2 * 4 / (4 + 6), 1.0])
