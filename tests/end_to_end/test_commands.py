"""The installed commands, from raw files to scores, as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.images.images import read_image, read_mask, write_image
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.demo.run import make_cohort

MEMORY = "0.01"
SETTINGS = ["epochs=2", "iterations_per_epoch=2", "validation_share=0.5", "mirror_axes=[2]", "tile_step_size=1"]
PREDICT = ["--no-tta", "--save-probabilities", "--previews"]
SHORT = ["--set", *SETTINGS, "--device", "cpu"]


def command(name: str, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run an installed command of this environment."""
    script = shutil.which(name, path=str(Path(sys.executable).parent))
    assert script, f"{name} is not installed here: pip install -e '.[test]'"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [script, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def succeed(name: str, *arguments: str | Path, cwd: Path | None = None) -> str:
    done = command(name, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def refuse(code: int, name: str, *arguments: str | Path, cwd: Path | None = None) -> str:
    done = command(name, *arguments, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of five phantoms, planned and with all five folds trained for a moment."""
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, cases=5, seed=1, jobs=1)
    succeed("vmseg_plan_and_preprocess", "--memory", MEMORY, cwd=folder)
    succeed("vmseg_train", "0", "1", "2", "3", "4", *SHORT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def masks(dataset: Path) -> Path:
    """Masks of the first two test phantoms."""
    scans = dataset / "two_scans"
    scans.mkdir()
    for path in sorted((dataset / "imagesTs").iterdir())[:2]:
        shutil.copy(path, scans)
    succeed("vmseg_predict", "-i", "two_scans", "-o", "masks", *PREDICT, cwd=dataset)
    return dataset / "masks"


def test_workspace_holds_what_the_docs_say(dataset: Path) -> None:
    space = Workspace(dataset / "vmseg")
    assert space.plans() == ["default"]
    (run,) = space.runs()
    assert [fold.name for fold in run.finished_folds()] == [0, 1, 2, 3, 4]
    for fold in run.folds():
        assert not fold.latest.exists()
        assert fold.curve.stat().st_size > 5000
        assert len(fold.history.read_text().splitlines()) == 3
        assert (fold.validation / "metrics.csv").is_file()
        (probabilities,) = (fold.validation / "probabilities").iterdir()
        assert probabilities.stem in json.loads(fold.record.read_text())["val"]
    assert len(read_table(run.cross_validation / "metrics.csv")) == 5
    assert json.loads(space.selection.read_text())["runs"] == ["default/default"]
    model = json.loads(run.model.read_text())
    assert model["postprocessing"]["reasons"]
    assert model["inference_budget"]["cases"] == 5
    assert model["scans"]["spacing_mm"][0][0] > 5
    assert not space.decoded.exists()
    leftovers = [path for path in space.root.rglob(".*") if path.is_file()]
    assert leftovers == []


def test_masks_lie_on_the_scans_grids(dataset: Path, masks: Path) -> None:
    for scan in sorted((dataset / "two_scans").iterdir()):
        _, geometry = read_image(scan)
        mask, own = read_mask(masks / scan.name.replace("_0000", ""))
        assert geometry.differences(own) == []
        assert set(np.unique(mask)) <= {0, 1}
        probability, _ = read_image(masks / "probabilities" / "venous_malformation" / scan.name.replace("_0000", ""))
        model = json.loads((dataset / "vmseg/runs/default/default/model.json").read_text())
        likely = probability > model["threshold"]
        if model["postprocessing"]["keep_largest"]:
            assert not (mask == 1)[~likely].any()
        else:
            assert np.array_equal(likely, mask == 1)


def test_reports_are_one_file_each_and_name_no_phantom(dataset: Path, masks: Path) -> None:
    assert "Keep it apart from the report." in succeed("vmseg_report", cwd=dataset)
    succeed("vmseg_report", "-i", masks, "-o", "patients.html", cwd=dataset)
    for page, key in (("vmseg/report.html", "vmseg/report_key.csv"), ("patients.html", "patients_key.csv")):
        assert "phantom_0" not in (dataset / page).read_text()
        assert all(row["case"].startswith("phantom_0") for row in read_table(dataset / key))
    refused = refuse(2, "vmseg_report", "-i", dataset, cwd=dataset)
    assert "volumes.csv" in refused


def test_a_scan_unlike_the_cohort_gets_everything_and_is_named(dataset: Path, masks: Path, tmp_path: Path) -> None:
    scan = next((dataset / "two_scans").iterdir())
    image, geometry = read_image(scan)
    write_image(tmp_path / "far.nii.gz", image, replace(geometry, spacing_mm=(12.0, 3.0, 3.0)))
    done = command("vmseg_predict", "-i", tmp_path / "far.nii.gz", "-o", tmp_path / "out", cwd=dataset)
    assert done.returncode == 0, done.stderr
    assert "spacing along z 12 mm" in done.stderr
    shown = succeed("vmseg_predict", "-i", scan, "-o", tmp_path / "alike", cwd=dataset)
    assert "found" in shown
    assert "--exhaustive" in shown
    shown = succeed("vmseg_predict", "-i", scan, "-o", tmp_path / "whole", "--exhaustive", cwd=dataset)
    assert "found" not in shown


def test_selecting_again_gives_the_same(dataset: Path) -> None:
    before = (dataset / "vmseg" / "selection.json").read_bytes()
    shown = succeed("vmseg_select", "--jobs", "1", cwd=dataset)
    assert "* default/default" in shown
    assert "What choosing is worth" in shown
    assert (dataset / "vmseg" / "selection.json").read_bytes() == before


def test_every_scan_has_its_preview(masks: Path) -> None:
    names = {path.name.removesuffix(".nii.gz") for path in masks.glob("*.nii.gz")}
    previews = list((masks / "previews").iterdir())
    assert {path.name for path in previews} == {f"{name}_overlay.png" for name in names}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in previews)


def test_volumes_agree_with_the_masks(masks: Path) -> None:
    rows = read_table(masks / "volumes.csv")
    for path in masks.glob("*.nii.gz"):
        mask, geometry = read_mask(path)
        (total,) = [r for r in rows if r["case"] == path.name.removesuffix(".nii.gz") and r["component"] == "all"]
        assert float(total["volume_ml"]) == pytest.approx(mask.sum() * geometry.voxel_ml, rel=1e-5)


def test_predicting_again_keeps_finished_masks_and_makes_changed_ones_anew(dataset: Path, masks: Path) -> None:
    first, second = sorted(masks.glob("*.nii.gz"))
    before = {path: path.stat().st_mtime_ns for path in (first, second)}
    whole = second.read_bytes()
    second.unlink()
    succeed("vmseg_predict", "-i", "two_scans", "-o", "masks", *PREDICT, cwd=dataset)
    assert first.stat().st_mtime_ns == before[first]
    assert second.read_bytes() == whole


def test_evaluation_writes_table_and_summary(dataset: Path, masks: Path) -> None:
    references = dataset / "two_references"
    references.mkdir()
    for path in masks.glob("*.nii.gz"):
        shutil.copy(dataset / "labelsTs" / path.name, references)
    shown = succeed("vmseg_evaluate", "-p", "masks", "-r", "two_references", "-o", "scores.csv", cwd=dataset)
    assert "Dice" in shown
    assert "HD95" in shown
    assert len(read_table(dataset / "scores.csv")) == 2
    assert json.loads((dataset / "scores.json").read_text())["cases"] == 2


def test_evaluation_beside_a_second_reader(dataset: Path, masks: Path, tmp_path: Path) -> None:
    for path in masks.glob("*.nii.gz"):
        shutil.copy(dataset / "labelsTs" / path.name, tmp_path)
    second = ("--second-reader", dataset / "labelsTs")
    shown = succeed("vmseg_evaluate", "-p", "masks", "-r", tmp_path, *second, cwd=dataset)
    assert "model minus readers" in shown
    (agreement,) = {
        row["dice"] for row in read_table(masks / "metrics_readers.csv") if row["comparison"] == "reader 2, reader 1"
    }
    assert float(agreement) == 1


def test_a_patient_at_two_times(dataset: Path, masks: Path, tmp_path: Path) -> None:
    scan = next((dataset / "two_scans").iterdir())
    image, geometry = read_image(scan)
    write_image(tmp_path / "later.nii.gz", 2 * image, geometry)
    shown = succeed("vmseg_followup", scan, tmp_path / "later.nii.gz", "-o", tmp_path / "out", cwd=dataset)
    assert "both times are the same image, or a copy of it" in shown
    assert "The scans are aligned" in shown
    total = read_table(tmp_path / "out" / "followup.csv")[0]
    before, after = (read_table(tmp_path / "out" / when / "volumes.csv")[0] for when in ("before", "after"))
    assert (total["before_ml"], total["after_ml"]) == (before["volume_ml"], after["volume_ml"])
    assert (tmp_path / "out" / f"{total['case']}_followup.png").is_file()
    assert "no such file" in refuse(2, "vmseg_followup", tmp_path / "gone", scan, "-o", tmp_path / "out", cwd=dataset)


def test_evaluation_refuses_missing_predictions(dataset: Path, masks: Path) -> None:
    assert "have no prediction" in refuse(2, "vmseg_evaluate", "-p", masks, "-r", dataset / "labelsTs")


def test_planning_again_keeps_everything(dataset: Path) -> None:
    shown = succeed("vmseg_plan_and_preprocess", cwd=dataset)
    assert "Fingerprint kept" in shown
    assert "Split kept" in shown
    assert "Plan kept" in shown
    assert "0 cases preprocessed, 5 kept" in shown


def test_training_again_keeps_a_finished_fold_and_refuses_other_settings(dataset: Path) -> None:
    assert "already trained" in succeed("vmseg_train", "0", *SHORT, cwd=dataset)
    message = refuse(2, "vmseg_train", "0", "--set", *SETTINGS, "epochs=3", cwd=dataset)
    assert "epochs: 2 against 3" in message
    assert "--fresh" in message


def test_time_that_does_not_suffice_is_refused_and_nothing_is_lost(dataset: Path) -> None:
    message = refuse(2, "vmseg_train", "0", *SHORT, "--fresh", "--hours", "0.0000001", cwd=dataset)
    assert "one epoch takes" in message
    assert Workspace(dataset / "vmseg").run("default", "default").fold(0).final.is_file()


def test_epochs_that_fit_are_those_of_the_config_at_most(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "workspace"
    shutil.copytree(dataset / "vmseg", copy)
    shown = succeed("vmseg_train", "0", "1", *SHORT, "--fresh", "--hours", "1", "-w", copy, cwd=tmp_path)
    assert "2 of 2 epochs of 2 steps fit into 60 min" in shown
    assert "already trained" in succeed("vmseg_train", "0", *SHORT, "--hours", "0.0000001", "-w", copy, cwd=tmp_path)


def test_workspace_alone_is_enough(dataset: Path, tmp_path: Path) -> None:
    succeed("vmseg_train", "0", *SHORT, "-w", dataset / "vmseg", cwd=tmp_path)


def test_an_edited_plan_is_honoured_and_an_impossible_one_refused(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "vmseg" / "plans", tmp_path / "plans")
    for name in ("fingerprint.json", "splits.json", "dataset.json"):
        shutil.copy(dataset / "vmseg" / name, tmp_path)
    path = tmp_path / "plans" / "default" / "plan.json"
    plan = json.loads(path.read_text())
    plan["batch_size"] = 3
    path.write_text(json.dumps(plan))
    assert "kept as you edited it" in succeed("vmseg_plan_and_preprocess", "-w", tmp_path)
    assert json.loads(path.read_text())["batch_size"] == 3
    plan["patch"] = [7, 33, 33]
    path.write_text(json.dumps(plan))
    assert "no multiple of the strides" in refuse(2, "vmseg_plan_and_preprocess", "-w", tmp_path)


def test_a_case_added_later_joins_the_split_and_marks_folds_stale(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cohort"
    shutil.copytree(dataset, copy)
    old = json.loads((copy / "vmseg" / "splits.json").read_text())["folds"]
    shutil.copy(copy / "imagesTs" / "phantom_005_0000.nii.gz", copy / "imagesTr")
    shutil.copy(copy / "labelsTs" / "phantom_005.nii.gz", copy / "labelsTr")
    done = command("vmseg_plan_and_preprocess", cwd=copy)
    assert done.returncode == 0
    assert "1 case preprocessed, 5 kept" in done.stdout
    new = json.loads((copy / "vmseg" / "splits.json").read_text())["folds"]
    (holder,) = [number for number, fold in enumerate(new) if "phantom_005" in fold["val"]]
    assert f"Fold {holder} keeps its weights, with phantom_005 to be predicted" in done.stdout
    others = [number for number in range(5) if number != holder]
    told = re.search(rf"stale; `vmseg_train {' '.join(map(str, others))}( --set .*) --fresh` trains them", done.stderr)
    assert told
    again = f"vmseg_train {' '.join(map(str, others))}{told[1]} --fresh"
    assert done.stdout.splitlines()[-1] == f"Go on with `{again}` and then `vmseg_train {holder}{told[1]}`."
    for before, after in zip(old, new, strict=True):
        assert set(before["val"]) <= set(after["val"])
        assert set(before["train"]) <= set(after["train"])
    assert "cases added: phantom_005" in refuse(2, "vmseg_train", str(others[0]), *SHORT, cwd=copy)


def test_commands_in_the_wrong_order(tmp_path: Path) -> None:
    make_cohort(tmp_path, cases=5, seed=1, jobs=1)
    assert "vmseg_plan_and_preprocess" in refuse(2, "vmseg_train", "0", cwd=tmp_path)
    message = refuse(2, "vmseg_predict", "-i", "imagesTs", "-o", "out", cwd=tmp_path)
    assert "nothing is planned" in message
    succeed("vmseg_plan_and_preprocess", "--memory", MEMORY, cwd=tmp_path)
    assert "vmseg_train" in refuse(2, "vmseg_predict", "-i", "imagesTs", "-o", "out", cwd=tmp_path)
    assert "`vmseg_train 0 1 2 3 4`" in refuse(2, "vmseg_select", cwd=tmp_path)
    assert not (tmp_path / "out").exists()
    assert "there is no fold 7" in refuse(2, "vmseg_train", "7", cwd=tmp_path)
    assert "no trainer 'nobody'" in refuse(2, "vmseg_train", "0", "--trainer", "nobody", cwd=tmp_path)
    assert "no setting 'epoch'" in refuse(2, "vmseg_train", "0", "--set", "epoch=1", cwd=tmp_path)
    assert "no planner 'nobody'" in refuse(2, "vmseg_plan_and_preprocess", "--planner", "nobody", cwd=tmp_path)


def test_a_workspace_of_another_schema_is_refused(dataset: Path, tmp_path: Path) -> None:
    for name in ("splits.json", "dataset.json"):
        shutil.copy(dataset / "vmseg" / name, tmp_path)
    shutil.copytree(dataset / "vmseg" / "plans", tmp_path / "plans")
    fingerprint = json.loads((dataset / "vmseg" / "fingerprint.json").read_text())
    del fingerprint["sha256"]
    (tmp_path / "fingerprint.json").write_text(json.dumps({**fingerprint, "schema": 99}))
    for name, *rest in (("vmseg_train", "0"), ("vmseg_plan_and_preprocess",)):
        assert "schema 99" in refuse(2, name, *rest, "-w", tmp_path)


def test_one_bad_scan_does_not_stop_the_others(dataset: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(dataset / "imagesTs" / "phantom_005_0000.nii.gz", scans)
    (scans / "broken.nii.gz").write_bytes(b"no image at all")
    message = refuse(3, "vmseg_predict", "-i", scans, "-o", tmp_path / "out", "--no-tta", "-d", dataset)
    assert "broken" in message
    assert (tmp_path / "out" / "phantom_005.nii.gz").is_file()
    assert not list((tmp_path / "out").glob("broken*"))


def test_bad_cases_are_all_listed_and_nothing_is_written(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cohort"
    for part in ("imagesTr", "labelsTr", "dataset.json"):
        source = dataset / part
        shutil.copytree(source, copy / part) if source.is_dir() else shutil.copy(source, copy / part)
    (copy / "imagesTr" / "phantom_001_0000.nii.gz").write_bytes(b"\x1f\x8bcut")
    shutil.copy(copy / "labelsTr" / "phantom_000.nii.gz", copy / "labelsTr" / "phantom_003.nii.gz")
    (copy / "labelsTr" / "phantom_004.nii.gz").rename(copy / "labelsTr" / "misnamed.nii.gz")
    message = refuse(2, "vmseg_plan_and_preprocess", cwd=copy)
    for case in ("phantom_001", "phantom_003", "phantom_004", "misnamed"):
        assert f"- case {case}, " in message
    (copy / "labelsTr" / "misnamed.nii.gz").rename(copy / "labelsTr" / "phantom_004.nii.gz")
    message = refuse(2, "vmseg_plan_and_preprocess", cwd=copy)
    assert "2 of " in message
    assert "phantom_001" in message
    assert "phantom_003" in message
    assert [path.name for path in (copy / "vmseg").iterdir()] == ["logs"]
