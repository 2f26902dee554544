"""Commands side by side in one workspace: each its fold, what is shared in turns, and summed up once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from leftovers import left_by_a_killed_command
from raw_dataset import describe
from workspaces import CONFIG, GRID, Cohort, cohort, finished_run, trained_run

from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import OutputFolder, Workspace
from vmseg_auto.utils.atomic import leftovers
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.locks import locked
from vmseg_auto.workflows.evaluate import evaluate
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.select import select
from vmseg_auto.workflows.train import train

SETTINGS = ("epochs=1", "iterations_per_epoch=1", "mirror_axes=[]", "tile_step_size=1")
"""Those of CONFIG, for `train`."""
LEFT = left_by_a_killed_command("model.json")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cohort]:
    folder = tmp_path_factory.mktemp("cohort")
    return folder, cohort(folder)


@pytest.fixture
def made(planned: tuple[Path, Cohort], tmp_path: Path) -> Cohort:
    """The cohort with a dataset and a workspace of its own."""
    folder = shutil.copytree(planned[0], tmp_path / "cohort")
    plan_and_preprocess(folder, jobs=1)
    return replace(planned[1], space=Workspace(folder / "vmseg"))


@pytest.fixture
def run(made: Cohort) -> Run:
    """Trained and not validated; `train` has only that to do."""
    assert SETTINGS[:2] == (f"epochs={CONFIG.epochs}", f"iterations_per_epoch={CONFIG.iterations_per_epoch}")
    return trained_run(made, "default")


def start(made: Cohort, *folds: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vmseg_auto.cli.train", *folds, "-w", str(made.space.root), "--device", "cpu"]
    return subprocess.Popen([*command, "--set", *SETTINGS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_folds_of_three_commands_at_once_are_summed_up_once_by_the_last(made: Cohort, run: Run) -> None:
    processes = [start(made, "0", "1"), start(made, "2"), start(made, "3", "4")]
    shown = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], shown
    together = "\n".join(shown)
    assert together.count(f"Cross-validation of {run.name}") == 1
    assert together.count("The choice: ") == 1
    table = (run.cross_validation / "metrics.csv").read_bytes()
    assert made.space.selection.is_file()
    train(range(5), workspace=made.space.root, settings=SETTINGS, device="cpu")
    assert (run.cross_validation / "metrics.csv").read_bytes() == table
    assert sorted(made.space.root.rglob("*.lock")) == []
    assert len(list(made.space.logs.iterdir())) == 3


def test_who_ends_first_leaves_the_sum_to_the_other(made: Cohort, run: Run) -> None:
    with locked(run.fold(4).lock, "vmseg_train 4", Silent()):
        train([0, 1, 2, 3], workspace=made.space.root, settings=SETTINGS, device="cpu")
    assert not run.cross_validation.exists()
    train([4], workspace=made.space.root, settings=SETTINGS, device="cpu")
    assert run.cross_validation.is_dir()


def test_a_fold_at_work_is_not_trained_twice(made: Cohort, run: Run) -> None:
    before = run.model.read_bytes()
    with (
        locked(run.fold(2).lock, "vmseg_train 2", Silent()),
        pytest.raises(InputError, match=r"fold_2\.lock: vmseg_train 2 \(process .+ is at work here"),
    ):
        train([0, 2], workspace=made.space.root, settings=SETTINGS, device="cpu", fresh=True)
    assert run.fold(0).final.is_file()  # nothing is begun with, and nothing forgotten
    assert run.model.read_bytes() == before
    assert sorted(made.space.root.rglob("*.lock")) == []


def test_all_folds_are_looked_at_before_the_first_is_begun(made: Cohort, run: Run) -> None:
    shutil.rmtree(run.fold(0).folder)
    with pytest.raises(InputError, match="fold 1 was begun with other settings"):
        train([0, 1], workspace=made.space.root, settings=("epochs=2", *SETTINGS[1:]), device="cpu")
    assert not run.fold(0).folder.exists()


def test_a_changed_cohort_is_not_planned_under_a_training(made: Cohort) -> None:
    with locked(made.space.run("default", "default").fold(0).lock, "vmseg_train 0", Silent()):
        plan_and_preprocess(made.space.root.parent, jobs=1)  # nothing to change
        path = made.space.root.parent / "labelsTr" / "a.nii.gz"
        mask, geometry = read_mask(path)
        write_mask(path, np.ascontiguousarray(mask[:, ::-1]), geometry)
        fingerprint = made.space.fingerprint.read_bytes()
        with pytest.raises(
            InputError, match=r"the cohort has changed, but it is being trained on \(fold 0: vmseg_train 0"
        ):
            plan_and_preprocess(made.space.root.parent, jobs=1)
        assert made.space.fingerprint.read_bytes() == fingerprint
        assert not made.space.decoded.exists()
    plan_and_preprocess(made.space.root.parent, jobs=1)
    assert made.space.fingerprint.read_bytes() != fingerprint


def test_what_is_shared_is_written_by_one(made: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmseg_auto.workflows.locking.PATIENCE_S", 0.2)
    with locked(made.space.lock, "vmseg_plan_and_preprocess", Silent()):
        for work in (
            lambda: plan_and_preprocess(made.space.root.parent, jobs=1),
            lambda: train([0], workspace=made.space.root, device="cpu"),
            lambda: select(workspace=made.space.root),
        ):
            with pytest.raises(InputError, match=r"workspace\.lock: vmseg_plan_and_preprocess \(process"):
                work()


def test_a_check_and_a_mistake_leave_no_workspace(tmp_path: Path) -> None:
    made = cohort(tmp_path / "cohort")
    shutil.rmtree(made.space.root)
    (tmp_path / "cohort" / "labelsTr" / "a.nii.gz").write_bytes(b"damaged")
    with pytest.raises(VmsegError, match="can't be used"):
        plan_and_preprocess(tmp_path / "cohort", jobs=1)
    with pytest.raises(InputError, match="nothing is planned"):
        train([0], dataset=tmp_path / "cohort", device="cpu")
    assert not made.space.root.exists()


def test_the_next_command_removes_what_killed_ones_left_in_its_place(made: Cohort, run: Run) -> None:
    places = [made.space.root, made.space.preprocessed("x"), run.folder, run.fold(0).folder, run.fold(1).validation]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / LEFT).write_text("half")
    with locked(run.fold(1).lock, "vmseg_train 1", Silent()):
        train([0], workspace=made.space.root, settings=SETTINGS, device="cpu")
        assert leftovers(made.space.root) == [run.fold(1).validation / LEFT]
    train([1], workspace=made.space.root, settings=SETTINGS, device="cpu")
    assert leftovers(made.space.root) == []


def test_an_output_folder_is_written_by_one_command(made: Cohort, tmp_path: Path) -> None:
    run = finished_run(made, "default", lambda case, reference: reference.astype(np.float32))
    scan, out = made.dataset.cases[0].images[0], tmp_path / "out"
    with locked(OutputFolder(out).lock, "vmseg_predict", Silent()):
        for work in (
            lambda: predict(scan, out, model=run.folder, device="cpu"),
            lambda: evaluate(out, made.space.root.parent / "labelsTr"),
        ):
            with pytest.raises(InputError, match=r"vmseg\.lock: vmseg_predict \(process"):
                work()
    (out / "probabilities" / "lesion").mkdir(parents=True)
    (out / "probabilities" / "lesion" / LEFT).touch()
    (mask,) = predict(scan, out, model=run.folder, device="cpu")
    assert read_mask(mask)[1].shape == GRID.shape
    assert sorted(path.name for path in out.iterdir()) == [
        "a.json",
        "a.nii.gz",
        "itksnap.label",
        "probabilities",
        "sources.csv",
        "volumes.csv",
    ]
    assert leftovers(out) == []


def test_a_command_of_another_dataset_has_its_own_locks(made: Cohort, tmp_path: Path) -> None:
    describe(tmp_path)
    with locked(made.space.lock, "vmseg_select", Silent()):
        other = cohort(tmp_path / "other")
    assert other.space.fingerprint.is_file()
