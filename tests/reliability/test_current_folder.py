"""No command, and no process that it starts, runs a file that lies in the current folder, whatever it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from dicom import compressed, numbers, save

from benchmarks.reliability.cohort import SETTINGS
from vmseg_auto.data.images.images import read_grid

INSTALLED = ("SimpleITK", "filelock", "matplotlib", "nibabel", "numpy", "pandas", "pydicom", "scipy", "torch", "tqdm")
OWN = """
from vmseg_trainers.quick import QuickTrainer

class Mine(QuickTrainer):
    name = "mine"
"""
STARTED = {"module": lambda name: ["-m", f"vmseg_auto.cli.{name}"], "script": lambda name: [_script(f"vmseg_{name}")]}


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """A folder of files that are called as modules are. Each leaves a trace when it is run."""
    folder = tmp_path / "download"
    folder.mkdir()
    for name in (*sys.stdlib_module_names, *INSTALLED):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + ' ')\n")
    return folder


@pytest.mark.parametrize("started", STARTED)
def test_no_file_of_the_current_folder_is_run(download: Path, cohort: Path, tmp_path: Path, started: str) -> None:
    """Neither by a training and its workers, nor by a prediction and the process that decodes compressed DICOM."""
    save(tmp_path / "scans" / "anna", compressed(numbers((10, 24, 24)), tmp_path / "itk", "JPEG2000"))
    options = ["-w", str(cohort / "vmseg"), "--device", "cpu"]
    for name, words in {
        "train": ["0", "-d", str(cohort), "--jobs", "2", "--fresh", "--set", *SETTINGS, "device_augmentation=off"],
        "predict": ["-i", str(tmp_path / "scans"), "-o", str(tmp_path / "masks")],
    }.items():
        done = subprocess.run(
            [sys.executable, *STARTED[started](name), *words, *options],
            cwd=download, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        ran = (tmp_path / "ran").read_text() if (tmp_path / "ran").exists() else ""
        assert (done.returncode, ran) == (0, ""), done.stderr
    assert read_grid(tmp_path / "masks" / "anna.nii.gz").shape == (10, 24, 24)


@pytest.mark.parametrize("name", ["demo", "doctor", "evaluate", "followup", "learning_curve", "make_dataset", "model",
                                  "plan_and_preprocess", "report", "select"])  # fmt: skip
def test_no_command_imports_from_the_current_folder(download: Path, tmp_path: Path, name: str) -> None:
    words = [sys.executable, "-m", f"vmseg_auto.cli.{name}", "--help"]
    done = subprocess.run(words, cwd=download, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_a_plug_in_of_ones_own_brings_no_other_file_with_it(download: Path, cohort: Path, tmp_path: Path) -> None:
    for path in download.iterdir():
        if find_spec(path.stem) is None:  # what is asked for and not installed may be the user's own
            path.unlink()
    (download / "mine.py").write_text(OWN)
    words = ["0", "-d", str(cohort), "--trainer", "mine:Mine", "--device", "cpu", "--set", *SETTINGS]
    done = subprocess.run(
        [sys.executable, "-m", "vmseg_auto.cli.train", *words],
        cwd=download,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def _script(name: str) -> str:
    """An installed command."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip("the package is not installed")
    return str(path)
