"""Every command that reads an input tells at its end what of it was not used; with --strict it ends before any work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from nnunet_model import nnunet_model
from workspaces import cohort, finished_run

from vmseg_auto.cli.common import Screen, make_parser, run
from vmseg_auto.utils.console import Silent
from vmseg_auto.workflows.validate import finish_run

STRANGE = "imagesTr, of another format than .nii.gz: notes.dat"
Commands = dict[str, list[str]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planned, trained and cross-validated; with a stray file among the images since."""
    folder = tmp_path_factory.mktemp("strict") / "data"
    made = cohort(folder)
    run = finished_run(made, "default", lambda case, reference: np.float32(0.9) * reference)
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Silent())
    (folder / "imagesTr" / "notes.dat").write_text("?")
    return folder


def on_the_dataset(dataset: Path) -> Commands:
    places = ["-d", str(dataset)]
    return {
        "plan_and_preprocess": places,
        "train": ["0", *places, "--device", "cpu", "--fresh"],
        "learning_curve": ["--patients", "1", "2", "3", "--folds", "0", "1", *places, "--device", "cpu"],
        "select": places,
        "report": places,
        "doctor": places,
    }


def on_folders(dataset: Path, out: Path) -> Commands:
    """Commands on the same scans and masks: each has a file that it does not use."""
    scans, masks = out / "scans", out / "masks"
    scans.mkdir()
    shutil.copytree(dataset / "labelsTr", masks)
    for path in (dataset / "imagesTr").glob("*.nii.gz"):
        shutil.copy(path, scans / path.name.replace("_0000", ""))
    (scans / "notes.dat").write_text("?")
    (masks / "notes.dat").write_text("?")
    return {
        "predict": ["-i", str(scans), "-o", str(out / "new"), "-d", str(dataset), "--device", "cpu"],
        "evaluate": ["-p", str(masks), "-r", str(dataset / "labelsTr")],
        "followup": [str(scans), str(scans), "-o", str(out / "new"), "--masks", str(masks), str(masks)],
        "make_dataset": ["-i", str(scans), "-m", str(masks), "-o", str(out / "new"), "--yes"],
    }


def files(folder: Path) -> dict[Path, int]:
    """Everything but logs and locks, with the time of its last change."""
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and "logs" not in path.parts and path.suffix != ".lock"
    }


def main(command: str) -> Callable[[Sequence[str]], int]:
    found: Callable[[Sequence[str]], int] = import_module(f"vmseg_auto.cli.{command}").main
    return found


@pytest.mark.parametrize("command", ["plan_and_preprocess", "train", "learning_curve", "select", "report", "doctor"])
def test_strict_ends_before_any_work_on_a_dataset(
    command: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(dataset)
    assert main(command)([*on_the_dataset(dataset)[command], "--strict"]) == 2
    assert files(dataset) == before
    err = capsys.readouterr().err
    assert "--strict: not all of the input would be used, and nothing is done" in err
    assert STRANGE in err


@pytest.mark.parametrize("command", ["predict", "evaluate", "followup", "make_dataset"])
def test_strict_ends_before_any_work_on_folders(
    command: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = on_folders(dataset, tmp_path)[command]
    before = files(tmp_path)
    assert main(command)([*arguments, "--strict"]) == 2
    assert files(tmp_path) == before
    err = capsys.readouterr().err
    assert "--strict: not all of the input would be used, and nothing is done" in err
    assert "notes.dat" in err


@pytest.mark.parametrize("command", ["report", "doctor"])
def test_without_it_all_is_told_at_the_end(command: str, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command)(on_the_dataset(dataset)[command]) == 0
    assert STRANGE in capsys.readouterr().err.splitlines()[-1]


def test_models_tell_of_their_folds(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(dataset / "vmseg" / "runs" / "default" / "default", run)
    (run / "fold_4" / "checkpoint_final.safetensors").unlink()
    target = tmp_path / "model.zip"
    export = ["export", "-m", str(run), "-o", str(target)]
    assert main("model")([*export, "--strict"]) == 2
    assert not target.exists()
    assert f"1 fold in {run}, whose weights are gone: fold_4" in capsys.readouterr().err
    assert main("model")(["info", str(run), "--strict"]) == 2
    predict = ["-i", str(dataset / "imagesTr" / "a_0000.nii.gz"), "-o", str(tmp_path / "out"), "-m", str(run)]
    assert main("predict")([*predict, "--device", "cpu", "--strict"]) == 2
    assert not list((tmp_path / "out").glob("*.nii.gz"))
    assert f"1 fold in {run}, whose weights are gone: fold_4" in capsys.readouterr().err
    assert main("model")([*export, "--folds", "0", "1", "--strict"]) == 0
    assert f"3 folds in {run}, not chosen: fold_2, fold_3, fold_4" in capsys.readouterr().out


def test_predicting_names_folds_whose_weights_are_gone_and_what_that_means(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = Path(shutil.copytree(dataset, tmp_path / "data"))
    run = dataset / "vmseg" / "runs" / "default" / "default"
    (run / "fold_4").rename(tmp_path / "fold_4")
    shutil.copy(run / "fold_1" / "checkpoint_final.safetensors", run / "fold_1" / "checkpoint_latest.pt")
    (run / "fold_1" / "checkpoint_final.safetensors").unlink()
    where = ["-i", str(dataset / "imagesTr" / "a_0000.nii.gz"), "-d", str(dataset), "--device", "cpu"]
    out = tmp_path / "out"
    assert main("predict")([*where, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert "folds 0, 2, 3 of 5" in said.out
    assert "the weights of fold 4 of default/default are gone: masks, volumes and uncertainty are those" in said.err
    assert "`vmseg_train 4 --planner default --trainer default -w " in said.err
    assert f"1 fold in {run}, whose weights are gone: fold_4" in said.err
    assert f"1 fold in {run}, not trained to its end: fold_1" in said.err
    assert main("predict")([*where, "-o", str(tmp_path / "strict"), "--strict"]) == 2
    assert not list(tmp_path.glob("strict/*.nii.gz"))
    capsys.readouterr()
    assert main("predict")([*where, "-o", str(out), "--folds", "0", "2", "--strict"]) == 0
    assert "are gone" not in capsys.readouterr().err.replace("or are gone", "")
    for fold, words in (
        ("9", "there is no fold 9: the split has 5 folds, 0 to 4; finished: 0, 2, 3. Choose"),
        ("4", "not finished: fold 4; finished: 0, 2, 3. Train with `vmseg_train 4 "),
    ):
        assert main("predict")([*where, "-o", str(out), "--folds", fold]) == 2
        assert words in capsys.readouterr().err


def test_nnunets_post_processing_is_not_passed_over_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = nnunet_model(tmp_path / "nnunet", "plain")
    (folder / "crossval_results_folds_0").mkdir()
    (folder / "crossval_results_folds_0" / "postprocessing.pkl").write_bytes(b"")
    arguments = ["import", str(folder), "-o", str(tmp_path / "model")]
    assert main("model")([*arguments, "--strict"]) == 2
    assert not (tmp_path / "model").exists()
    assert main("model")(arguments) == 0
    err = capsys.readouterr().err
    assert "nnU-Net's post-processing, not named with --postprocessing: crossval_results_folds_0/postpro" in err


def test_the_screen_is_given_ten_names_and_the_log_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work(arguments: object, screen: Screen) -> None:
        for number in range(30):
            screen.left.add("file", f"in/{number:02d}.dat", "no scan")

    parser = make_parser("vmseg_test", "It tests.", ("strict",))
    assert run(parser, work, ["--quiet"], lambda arguments: tmp_path / "logs") == 0
    out, err = capsys.readouterr()
    assert (out, err.count("in/")) == ("", 10)
    assert err.endswith("in/09.dat and 20 more\n")
    (log,) = (tmp_path / "logs").iterdir()
    assert log.read_text().count(".dat") == 30
