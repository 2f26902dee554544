"""Every script in examples/ runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from vmseg_auto.demo.run import make_cohort
from vmseg_auto.utils.atomic import read_json

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    make_cohort(tmp_path, cases=5, seed=2, jobs=1)
    for scan in sorted((tmp_path / "imagesTs").iterdir())[1:]:
        scan.unlink()
        (tmp_path / "labelsTs" / scan.name.replace("_0000", "")).unlink()
    return tmp_path


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What pip would leave of a package that offers both plug-ins by name."""
    about = tmp_path / "site" / "own_plugins-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own_plugins\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(
        "[vmseg_auto.planners]\nslender = custom_planner:ThinPlanner\n"
        "[vmseg_auto.trainers]\nfocused = custom_trainer:FocalTrainer\n"
    )
    return about.parent


def run(*arguments: str | Path, path: Sequence[Path] = (), folder: Path = EXAMPLES) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(map(str, path)),
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python_api_leaves_the_dataset_as_it_is(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    results = tmp_path_factory.mktemp("api") / "results"
    shown = run("python_api.py", dataset, results)
    assert "lesion:" in shown
    assert "dice" in shown
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before
    assert (results / "masks" / "volumes.csv").is_file()


def test_a_practice_export_takes_no_folder_that_is_there(tmp_path: Path) -> None:
    """docs/tutorial.md, which test_tutorial.py runs, begins with it."""
    command = [sys.executable, EXAMPLES / "practice_export.py", tmp_path]
    assert "FileExistsError" in subprocess.run(command, capture_output=True, text=True, timeout=600).stderr
    assert not list(tmp_path.iterdir())


BRIEFLY = ("--set", "epochs=1", "iterations_per_epoch=2", "mirror_axes=[]", "tile_step_size=1", "--device", "cpu")


def test_custom_planner_and_trainer(dataset: Path) -> None:
    """By module:Class; the files lie in the current folder."""
    plan = ("-d", dataset, "--planner", "custom_planner:ThinPlanner", "--memory", "0.01")
    assert "a quarter of the weights" in run("-m", "vmseg_auto.cli.plan_and_preprocess", *plan)
    assert read_json(dataset / "vmseg" / "plans" / "thin" / "plan.json")["network"]["features"][0] == 16
    which = ("-d", dataset, "--planner", "thin", "--trainer", "custom_trainer:FocalTrainer")
    run("-m", "vmseg_auto.cli.train", "0", *which, *BRIEFLY)
    assert (dataset / "vmseg" / "runs" / "thin" / "focal" / "fold_0" / "checkpoint_final.safetensors").is_file()


def test_custom_planner_and_trainer_of_an_installed_package(dataset: Path, installed: Path, tmp_path: Path) -> None:
    """By the names of its entry points, from any folder."""
    where = {"path": (installed, EXAMPLES), "folder": tmp_path}
    run("-m", "vmseg_auto.cli.plan_and_preprocess", "-d", dataset, "--planner", "slender", "--memory", "0.01", **where)
    run("-m", "vmseg_auto.cli.train", "0", "-d", dataset, "--trainer", "focused", *BRIEFLY, **where)
    assert (dataset / "vmseg" / "runs" / "thin" / "focal" / "fold_0" / "checkpoint_final.safetensors").is_file()
