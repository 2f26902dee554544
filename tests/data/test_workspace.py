"""Where everything of a workspace lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.errors import InputError


def test_the_tree_is_the_documented_one() -> None:
    space = Workspace(Path("w"))
    names = [space.dataset, space.fingerprint, space.splits, space.selection, space.logs]
    assert [path.as_posix() for path in names] == [
        "w/dataset.json", "w/fingerprint.json", "w/splits.json", "w/selection.json", "w/logs",
    ]  # fmt: skip
    assert space.plan("default").as_posix() == "w/plans/default/plan.json"
    assert space.preprocessed("abc").as_posix() == "w/preprocessed/abc"
    assert space.decoded.as_posix() == "w/decoded"
    assert space.tracking("mlflow").as_posix() == "w/tracking/mlflow"
    run = space.run("default", "quick")
    assert run.name == "default/quick"
    assert run.model.as_posix() == "w/runs/default/quick/model.json"
    assert run.cross_validation.as_posix() == "w/runs/default/quick/cross_validation"
    assert run.label_check.as_posix() == "w/runs/default/quick/cross_validation/label_check.csv"
    fold = run.fold(3)
    assert fold.folder.as_posix() == "w/runs/default/quick/fold_3"
    files = (fold.record, fold.init, fold.latest, fold.previous, fold.final, fold.history, fold.curve, fold.validation)
    assert [path.name for path in files] == [
        "fold.json", "init.json", "checkpoint_latest.pt", "checkpoint_previous.pt", "checkpoint_final.safetensors",
        "history.csv", "curve.png", "validation",
    ]  # fmt: skip
    assert run.fold("all").folder.name == "fold_all"
    curve = space.learning_curve("default", "quick")
    assert [path.as_posix() for path in (curve.size(10).fold(0).folder, curve.summary, curve.table, curve.picture)] == [
        f"w/learning_curve/default/quick/{name}"
        for name in ("n_10/fold_0", "learning_curve.json", "learning_curve.csv", "learning_curve.png")
    ]


def test_names_of_folds() -> None:
    assert FoldFolder(Path("fold_12")).name == 12
    assert FoldFolder(Path("fold_all")).name == "all"


def test_folds_are_found_in_order_and_nothing_else_is(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("default", "default")
    assert run.folds() == []
    for name in ("fold_all", "fold_10", "fold_2", "fold_0", "fold_x", "fold_", "fold_²", "other"):
        (run.folder / name).mkdir(parents=True)
    (run.folder / "fold_1").write_text("a file, no folder")
    assert [fold.name for fold in run.folds()] == [0, 2, 10, "all"]


def test_a_fold_is_finished_when_its_final_weights_stand(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("default", "default")
    for fold in (0, 1):
        run.fold(fold).folder.mkdir(parents=True)
    run.fold(0).latest.touch()
    run.fold(1).final.touch()
    assert [fold.name for fold in run.finished_folds()] == [1]


def test_plans_and_runs_are_found(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    assert space.plans() == []
    assert space.runs() == []
    for path in (space.plan("wide"), space.plan("default"), space.run("default", "quick").model):
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "runs" / "default" / "empty").mkdir()
    assert space.plans() == ["default", "wide"]
    assert [run.name for run in space.runs()] == ["default/quick"]


def test_what_is_no_model_is_told_what_it_is(tmp_path: Path) -> None:
    model = Workspace(tmp_path / "vmseg").run("default", "quick").model
    (model.parent / "fold_0").mkdir(parents=True)
    model.touch()
    for name, file in (("nnunet", "plans.json"), ("unpacked", "manifest.json"), ("other", "x")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    for folder, words in {
        tmp_path: f"such as {model.parent}",
        tmp_path / "vmseg": f"such as {model.parent}",
        model.parent / "fold_0": f"give its model, {model.parent}. `vmseg_predict --folds` chooses folds",
        tmp_path / "nnunet": "vmseg_model import",
        tmp_path / "unpacked": "give the zip itself",
        tmp_path / "other": "WORKSPACE/runs/PLANNER/TRAINER",
    }.items():
        with pytest.raises(InputError, match="this is no model folder") as caught:
            Run(folder).usable_folds(None)
        assert words in str(caught.value)


def test_nothing_planned_yet_is_said(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    with pytest.raises(InputError, match=r"nothing is planned.*vmseg_plan_and_preprocess"):
        space.require_planned()
    space.fingerprint.touch()
    space.require_planned()
