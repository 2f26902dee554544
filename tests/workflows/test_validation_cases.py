"""After a mask or a scan is corrected, only what depends on it is done again."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consoles import Heard
from small_cohort import GRID, ball, small_cohort

from vmseg_auto.data.images.images import read_image, write_image, write_mask
from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.utils.atomic import read_json, read_stored
from vmseg_auto.utils.console import Progress
from vmseg_auto.workflows.paths import read_splits
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.train import train

SETTINGS = ["epochs=2", "iterations_per_epoch=10", "mirror_axes=[2]"]
CASES = 22
FOLDS = (0, 1, 2, 3, 4)
CHOICE = ["Comparing validation cases", "Describing components"]
"""What follows whenever all folds are validated."""


@dataclass
class Notes(Heard):
    """Keeps the titles of the work that is done, too."""

    work: list[str] = field(default_factory=list)

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        self.work += [title] * (total > done)
        return super().progress(title, total, done)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-two cases, five folds, trained for a moment."""
    folder = small_cohort(tmp_path_factory.mktemp("small"), CASES)
    plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    train(FOLDS, dataset=folder, settings=SETTINGS, device="cpu")
    return folder


@pytest.fixture
def cohort(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "cohort")


def the_run(cohort: Path) -> Run:
    return Workspace(cohort / "vmseg").run("default", "default")


def holder(cohort: Path, case: str) -> FoldFolder:
    """The fold that holds a case out."""
    splits = read_splits(Workspace(cohort / "vmseg"))
    (number,) = [n for n, fold in enumerate(splits.folds) if case in fold.val]
    return the_run(cohort).fold(number)


def plan_again(cohort: Path) -> list[str]:
    notes = Notes()
    plan_and_preprocess(cohort, jobs=1, console=notes)
    return notes.said + notes.warned


def train_again(cohort: Path, fold: FoldFolder) -> Notes:
    notes = Notes()
    train([fold.name], dataset=cohort, settings=SETTINGS, device="cpu", console=notes)
    return notes


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def state(folder: FoldFolder, case: str) -> dict[str, Any]:
    return {
        "weights": folder.final.stat().st_mtime_ns,
        "mask": (folder.validation / f"{case}.nii.gz").stat().st_mtime_ns,
        "confidence": read_json(folder.validation_record)["cases"][case]["confidence"],
        "dice": read_json(folder.budgets)["dice"][case],
    }


def test_a_wrong_mask_is_found_and_its_correction_changes_scores_alone(cohort: Path) -> None:
    fold, path = holder(cohort, "b"), cohort / "labelsTr" / "b.nii.gz"
    right = state(fold, "b")
    shutil.copy(path, cohort.parent / "kept.nii.gz")
    write_mask(path, ball(1)[:, ::-1, ::-1].copy(), GRID)
    said = plan_again(cohort)
    assert any(f"Fold {fold.name} keeps its weights, with b to be scored again" in text for text in said)
    assert any(f"1 case preprocessed, {CASES - 1} kept" in text for text in said)
    others = [str(number) for number in FOLDS if number != fold.name]
    (stale,) = [text for text in said if "are stale" in text]
    command = f'vmseg_train {" ".join(others)} --set {" ".join(SETTINGS[:2])} "{SETTINGS[2]}" --fresh'
    assert f"folds of default/default are stale; `{command}`" in stale
    assert f"  - folds {', '.join(others)}: training cases changed: b" in stale

    notes = train_again(cohort, fold)
    assert notes.work == CHOICE
    wrong = state(fold, "b")
    assert {**wrong, "dice": None} == {**right, "dice": None}
    assert max(wrong["dice"]) < min(right["dice"])
    first, *others = rows(the_run(cohort).label_check)
    assert (first["case"], first["rank"]) == ("b", "1")
    assert float(first["dice"]) == pytest.approx(wrong["dice"][0], rel=1e-4)
    assert all(float(row["dice"]) > float(first["dice"]) for row in others)

    shutil.copy(cohort.parent / "kept.nii.gz", path)
    assert not any("are stale" in text for text in plan_again(cohort))
    assert train_again(cohort, fold).work == CHOICE
    assert state(fold, "b") == right


def test_where_nothing_changed_nothing_is_due(cohort: Path) -> None:
    assert not any("keeps its weights" in text for text in plan_again(cohort))
    before = (the_run(cohort).fold(0).validation / "metrics.json").stat().st_mtime_ns
    assert train_again(cohort, the_run(cohort).fold(0)).work == CHOICE
    assert (the_run(cohort).fold(0).validation / "metrics.json").stat().st_mtime_ns == before


def test_a_changed_scan_is_predicted_again_with_the_same_weights(cohort: Path) -> None:
    fold, path = holder(cohort, "c"), cohort / "imagesTr" / "c_0000.nii.gz"
    before = state(fold, "c")
    image, geometry = read_image(path)
    write_image(path, image + np.random.default_rng(5).normal(0, 20, image.shape).astype(np.float32), geometry)
    assert any(f"Fold {fold.name} keeps its weights, with c to be predicted" in text for text in plan_again(cohort))
    assert train_again(cohort, fold).work == [f"Validating fold {fold.name}", *CHOICE]
    after = state(fold, "c")
    assert after["weights"] == before["weights"]
    assert after["confidence"] != before["confidence"]


def test_a_case_that_joins_a_fold_as_validation_is_only_predicted(cohort: Path) -> None:
    mask = ball(9)
    write_image(cohort / "imagesTr" / "z_0000.nii.gz", (100 + 60 * mask).astype(np.float32), GRID)
    write_mask(cohort / "labelsTr" / "z.nii.gz", mask, GRID)
    said = plan_again(cohort)
    fold = holder(cohort, "z")
    assert any(f"Fold {fold.name} keeps its weights, with z to be predicted" in text for text in said)
    weights = fold.final.stat().st_mtime_ns
    assert train_again(cohort, fold).work == [f"Validating fold {fold.name}", *CHOICE]
    assert fold.final.stat().st_mtime_ns == weights
    assert "z" in [row["case"] for row in rows(fold.validation / "metrics.csv")]


def test_new_scans_get_what_is_to_be_expected_of_them(cohort: Path) -> None:
    calibration = read_stored(ModelInfo, the_run(cohort).model).calibration
    assert calibration is not None
    assert (calibration.cases, calibration.patients) == (CASES, CASES)
    expected = [float(row["expected_dice"]) for row in rows(the_run(cohort).confidence)]
    assert len(expected) == CASES
    assert expected == sorted(expected)
    told = rows(the_run(cohort).volumes)
    assert len(told) == CASES
    assert all(float(row["volume_low_ml"]) <= float(row["volume_high_ml"]) for row in told)
    image, geometry = read_image(cohort / "imagesTr" / "a_0000.nii.gz")
    write_image(cohort / "new" / "alike.nii.gz", image, geometry)
    write_image(cohort / "new" / "flat.nii.gz", np.full_like(image, 100), geometry)
    notes = Notes()
    predict(cohort / "new", cohort / "masks", dataset=cohort, save_uncertainty=True, device="cpu", console=notes)
    undecided, grid = read_image(cohort / "masks" / "uncertainty" / "alike_uncertainty.nii.gz")
    assert geometry.differences(grid) == []
    assert 0 <= undecided.min() < 0.5 < undecided.max() <= 1
    table = {row["case"]: row for row in rows(cohort / "masks" / "volumes.csv") if row["component"] == "all"}
    alike, flat = table["alike"], table["flat"]
    assert 0 < float(alike["uncertainty"]) < float(flat["uncertainty"])
    low, volume, high = (float(alike[name]) for name in ("volume_low_ml", "volume_ml", "volume_high_ml"))
    assert low <= volume <= high
    assert alike["unlike"] == ""
    assert flat["unlike"].startswith("intensities of channel 1: ")
    assert (flat["volume_low_ml"], flat["expected_dice"]) == ("", "")
    assert flat["traffic_light"] in ("amber", "red")
    assert any(text.startswith("Confidence: ") for text in notes.said)
    assert float(alike["expected_dice_low"]) <= float(alike["expected_dice"]) <= float(alike["expected_dice_high"])
    assert 0 < float(alike["fold_agreement"]) <= 1
    assert any("look at these first" in text and "flat" in text for text in notes.warned)


def test_nothing_is_expected_without_mirroring_or_of_unlike_scans(cohort: Path) -> None:
    image, geometry = read_image(cohort / "imagesTr" / "a_0000.nii.gz")
    write_image(cohort / "new" / "a.nii.gz", image, geometry)
    for number, options in enumerate(({"tta": False}, {})):
        predict(cohort / "new", cohort / f"masks_{number}", dataset=cohort, device="cpu", **options)
    plain, mirrored = (rows(cohort / f"masks_{number}" / "volumes.csv")[0] for number in (0, 1))
    assert plain["uncertainty"]
    assert plain["expected_dice"] == ""
    assert mirrored["expected_dice"] != ""
