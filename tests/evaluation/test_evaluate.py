"""Folders of masks to tables of scores."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.evaluation.evaluate import Evaluation, evaluate, evaluate_pairs, infer_labels
from vmseg_auto.evaluation.metrics.score import metrics
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory

GRID = Geometry((2, 6, 8), (5.0, 1.0, 1.0))
LABELS = {"background": 0, "lesion": 1}


def block(start: int, stop: int, value: int = 1) -> NDArray[np.uint8]:
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    mask[:, 2:4, start:stop] = value
    return mask


def summed(evaluation: Evaluation, label: str, metric: str, field: str) -> float:
    rows = evaluation.summary
    return float(rows.loc[(rows["label"] == label) & (rows["metric"] == metric), field].item())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three cases with Dice 1, 0.5 and 0; one prediction has another file format."""
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    for case, start in (("a", 0), ("b", 2), ("c", 4)):
        write_mask(references / f"{case}.nii.gz", block(0, 4), GRID)
        write_mask(predictions / f"{case}{'.nrrd' if case == 'b' else '.nii.gz'}", block(start, start + 4), GRID)
    (predictions / "volumes.csv").write_text("not a mask")
    return predictions, references


def test_scores_by_hand(folders: tuple[Path, Path]) -> None:
    done: list[int] = []
    evaluation = evaluate(
        *folders, LABELS, patients={"a": "anna", "b": "anna"}, jobs=2, progress=lambda: done.append(1)
    )
    assert len(done) == 3
    table = evaluation.table
    assert list(table.columns) == ["case", "patient", "label", *(metric.name for metric in metrics())]
    assert list(table["case"]) == ["a", "b", "c"]
    assert list(table["patient"]) == ["anna", "anna", "c"]
    assert list(table["dice"]) == pytest.approx([1, 0.5, 0])
    assert summed(evaluation, "lesion", "dice", "mean") == pytest.approx(0.5)
    assert summed(evaluation, "lesion", "dice", "median") == pytest.approx(0.5)
    assert math.isnan(summed(evaluation, "lesion", "dice", "low_95"))  # of two patients
    assert "No interval is given: it takes 5 patients, and here are 2." in evaluation.text()
    assert evaluation.notes == ()


def test_saved_and_shown(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_mask(folders[0] / "c.nii.gz", block(0, 0), GRID)
    evaluation = evaluate(*folders, LABELS, tolerance_mm=2.0)
    assert evaluation.save(tmp_path / "out") == (tmp_path / "out" / "metrics.csv", tmp_path / "out" / "metrics.json")
    table, about = evaluation.save(tmp_path / "scores.csv")
    assert (table.name, about.name) == ("scores.csv", "scores.json")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["dice"]) for row in rows] == pytest.approx([1, 0.5, 0])
    assert rows[2]["hd95_mm"] == ""  # missing
    data = json.loads(about.read_text())
    assert data["summary"]["lesion"]["dice"]["mean"] == pytest.approx(0.5)
    assert data["summary"]["lesion"]["hd95_mm"]["n_missing"] == 1
    assert data["tolerance_mm"] == 2
    assert set(data["metrics"]) == {metric.name for metric in metrics()}
    assert "marching_cubes" in data["metrics"]["nsd"]["computed_by"]
    assert data["versions"]["numpy"] == np.__version__
    text = evaluation.text()
    assert "lesion: 3 cases of 3 patients" in text
    assert "NSD at 2 mm" in text
    assert next(line for line in text.splitlines() if "HD95" in line).endswith(" 1")
    assert "1 of 3 masks without a distance" in text
    shown = [metric.title for metric in metrics() if metric.on_screen]
    assert all(title in text for title in shown)
    assert len(shown) < len(metrics()) / 2 + 1


def test_json_has_no_nan(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """One patient has no interval: null, as JSON knows no NaN."""
    one = dict.fromkeys("abc", "anna")
    _, about = evaluate(*folders, LABELS, patients=one).save(tmp_path / "out")
    data = json.loads(about.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert data["summary"]["lesion"]["dice"]["low_95"] is None


def test_same_masks_give_the_same_evaluation(folders: tuple[Path, Path]) -> None:
    first, again = evaluate(*folders, LABELS), evaluate(*folders, LABELS, jobs=3)
    assert first.table.equals(again.table)
    assert first.summary.equals(again.summary)


def test_missing_predictions_are_refused_all_at_once(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.nii.gz").unlink()
    (folders[0] / "b.nrrd").unlink()
    with pytest.raises(InputError, match="2 of 3 references have no prediction: a, b"):
        evaluate(*folders, LABELS)


def test_predictions_without_reference_are_noted(folders: tuple[Path, Path]) -> None:
    (folders[1] / "b.nii.gz").unlink()
    evaluation = evaluate(*folders, LABELS)
    assert list(evaluation.table["case"]) == ["a", "c"]
    assert evaluation.notes == ("Left out, as they have no reference: b.",)
    assert "no reference: b" in evaluation.text()


def test_files_named_almost_as_a_reference_are_named_with_it(folders: tuple[Path, Path]) -> None:
    """A corrected mask beside the prediction is not scored, and is said not to be; capitals alone make another name."""
    write_mask(folders[0] / "a_corrected.nii.gz", block(0, 4), GRID)
    write_mask(folders[0] / "other.nii.gz", block(0, 4), GRID)
    left = Inventory()
    evaluate(*folders, LABELS, left=left)
    told = left.text()
    assert "1 prediction, which looks like a corrected mask of that case; save it under the name of the case" in told
    assert "so that it counts: a_corrected.nii.gz (of a)" in told
    assert "1 prediction, without a reference: other.nii.gz" in told
    with pytest.raises(DatasetError, match=r"--strict.*\n.*a_corrected\.nii\.gz \(of a\)"):
        evaluate(*folders, LABELS, left=Inventory(strict=True))
    (folders[0] / "a.nii.gz").rename(folders[0] / "A.nii.gz")
    with pytest.raises(InputError, match=r"1 of 3 references have no prediction: a \(there is A, a_corrected\)"):
        evaluate(*folders, LABELS)


def test_other_grids_are_refused_all_at_once(folders: tuple[Path, Path]) -> None:
    write_mask(folders[0] / "a.nii.gz", block(0, 4), replace(GRID, origin_mm=(0.0, 9.0, 0.0)))
    write_mask(folders[0] / "c.nii.gz", block(0, 4)[:, :, :7], replace(GRID, shape=(2, 6, 7)))
    with pytest.raises(DatasetError) as caught:
        evaluate(*folders, LABELS)
    assert caught.value.exit_code == 2
    assert [error.case for error in caught.value.errors] == ["a", "c"]
    assert "origin" in str(caught.value)
    assert "size 7 x 6 x 2 against 8 x 6 x 2" in str(caught.value)


@pytest.mark.parametrize("side", [0, 1])
def test_a_value_that_is_no_label(folders: tuple[Path, Path], side: int) -> None:
    write_mask(folders[side] / "a.nii.gz", block(0, 4, value=3), GRID)
    with pytest.raises(InputError, match="the mask holds 3, which is no label") as caught:
        evaluate(*folders, LABELS)
    assert caught.value.case == "a"
    assert caught.value.file == folders[side] / "a.nii.gz"


def test_a_damaged_mask(folders: tuple[Path, Path]) -> None:
    (folders[1] / "b.nii.gz").write_bytes((folders[1] / "b.nii.gz").read_bytes()[:-20])
    with pytest.raises(InputError) as caught:
        evaluate(*folders, LABELS)
    assert caught.value.case == "b"
    with pytest.raises(InputError):
        evaluate(*folders)


def test_masks_of_0_and_255(folders: tuple[Path, Path]) -> None:
    write_mask(folders[1] / "a.nii.gz", block(0, 4, value=255), GRID)
    for labels in (LABELS, None):
        found = evaluate(*folders, labels)
        assert list(found.table["dice"]) == pytest.approx([1, 0.5, 0])
        assert "The mask holds 0 and 255, read as 0 and 1: a." in found.notes


def test_a_label_that_no_reference_holds_has_no_score(folders: tuple[Path, Path]) -> None:
    labels = {"background": 0, "lesion": 1, "vein": 2}
    found = evaluate(*folders, labels)
    assert set(found.table["label"]) == {"lesion"}
    assert "vein: no reference mask holds it, so it has no score." in found.notes
    alone = evaluate(*folders, {"background": 0, "lesion": 1})
    assert summed(found, "lesion", "dice", "mean") == summed(alone, "lesion", "dice", "mean")


def test_two_files_of_one_case(folders: tuple[Path, Path]) -> None:
    write_mask(folders[0] / "a.mha", block(0, 4), GRID)
    with pytest.raises(InputError, match="the same case"):
        evaluate(*folders, LABELS)


def test_folders_that_hold_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        evaluate(tmp_path / "nowhere", folders[1], LABELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no mask"):
        evaluate(folders[0], tmp_path / "empty", LABELS)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_senseless_tolerance(folders: tuple[Path, Path], tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance"):
        evaluate(*folders, LABELS, tolerance_mm=tolerance)


def test_labels_are_inferred_from_the_references(folders: tuple[Path, Path]) -> None:
    assert infer_labels(folders[1].glob("*.gz")) == {"lesion": 1}
    assert list(evaluate(*folders).table["label"].unique()) == ["lesion"]
    both = block(0, 2) + block(6, 8, value=2)
    for folder in folders:
        write_mask(folder / "a.nii.gz", both, GRID)
    assert infer_labels(folders[1].glob("*.gz")) == {"label_1": 1, "label_2": 2}
    evaluation = evaluate(*folders)
    assert len(evaluation.table) == 6
    assert list(evaluation.summary["label"].unique()) == ["label_1", "label_2", "all labels"]


def test_pairs_of_files_and_rows(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    evaluation = evaluate_pairs({"b": (predictions / "b.nrrd", references / "b.nii.gz")}, LABELS, notes=["Fold 0."])
    assert list(evaluation.table["dice"]) == pytest.approx([0.5])
    rows = [{str(name): value for name, value in row.items()} for row in evaluation.table.to_dict("records")]
    again = Evaluation.from_rows(rows, notes=["Fold 0."])
    assert again.table.equals(evaluation.table)
    assert again.notes == evaluation.notes == ("Fold 0.",)


def test_real_masks(shared_data: Path) -> None:
    """nnU-Net's own masks of the hippocampus: its mean Dice is known."""
    evaluation = evaluate(
        shared_data / "nnunet" / "hippocampus53" / "expected",
        shared_data / "hippocampus53" / "labelsTs",
        {"background": 0, "anterior": 1, "posterior": 2},
        jobs=2,
    )
    assert summed(evaluation, "all labels", "dice", "mean") == pytest.approx(0.8245, abs=5e-5)


@pytest.mark.parametrize("top", [2000.0, 255.0])
@pytest.mark.parametrize("side", [0, 1])
def test_scans_in_the_place_of_masks_are_told(folders: tuple[Path, Path], side: int, top: float) -> None:
    for number, path in enumerate(sorted(folders[side].glob("[abc].*"))):
        noise = np.rint(np.random.default_rng(number).uniform(1, top, GRID.shape))
        write_image(path, noise.astype(np.float32), GRID)
    what, option = (("predictions", "-p"), ("references", "-r"))[side]
    with pytest.raises(InputError, match=rf"3 of 3 {what} look like scans.*: a\.nii.*of masks with {option}"):
        evaluate(*folders)


SPARSE = {**LABELS, "ignore": 2}


def test_a_reference_annotated_in_part_is_scored_there_and_named(folders: tuple[Path, Path]) -> None:
    """Of case b half of what is outlined and predicted alike is ignored: 2 TP of 4 + 4 become 1 of 3 + 2 a slice."""
    reference = block(0, 4)
    reference[:, :, 3] = 2
    write_mask(folders[1] / "b.nii.gz", reference, GRID)
    found = evaluate(*folders, SPARSE)
    assert list(found.table["label"]) == ["lesion"] * 3
    assert list(found.table["dice"]) == pytest.approx([1, 2 / 6, 0])
    assert found.table["reference_ml"].isna().tolist() == [False, True, False]
    assert found.notes == ("Annotated in part, so that they tell no volume: b.",)
    assert found.agreement()["lesion"][0].scans == 2
    with pytest.raises(InputError, match="holds 2, which is no label"):
        evaluate(*folders, LABELS)


def test_a_predicted_mask_never_holds_the_label(folders: tuple[Path, Path]) -> None:
    write_mask(folders[0] / "a.nii.gz", block(0, 4, value=2), GRID)
    with pytest.raises(InputError, match="holds 2, which is no label") as caught:
        evaluate(*folders, SPARSE)
    assert caught.value.file == folders[0] / "a.nii.gz"


def test_a_reference_that_nobody_has_annotated_is_refused(folders: tuple[Path, Path]) -> None:
    write_mask(folders[1] / "a.nii.gz", np.full(GRID.shape, 2, np.uint8), GRID)
    with pytest.raises(InputError, match="every voxel is ignored"):
        evaluate(*folders, SPARSE)
