"""Every script in examples/ runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmseg_auto.demo import make_cohort

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    make_cohort(tmp_path, cases=5, seed=2, jobs=1)
    for scan in sorted((tmp_path / "imagesTs").iterdir())[1:]:
        scan.unlink()
        (tmp_path / "labelsTs" / scan.name.replace("_0000", "")).unlink()
    return tmp_path


def run(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=EXAMPLES,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python_api(dataset: Path) -> None:
    shown = run("python_api.py", dataset)
    assert "lesion:" in shown
    assert "dice" in shown


def test_custom_trainer(dataset: Path) -> None:
    run("-m", "vmseg_auto.cli.plan_and_preprocess", "-d", dataset, "--memory", "0.01")
    settings = ["--set", "epochs=1", "steps=2", "mirror_axes=[]", "window_step=1", "--device", "cpu"]
    run("-m", "vmseg_auto.cli.train", "0", "-d", dataset, "--trainer", "custom_trainer:FocalTrainer", *settings)
    assert (dataset / "vmseg" / "runs" / "default" / "focal" / "fold_0" / "checkpoint_final.pt").is_file()
