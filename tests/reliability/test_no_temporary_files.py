"""The machine's folders for temporary files are full or missing: what is trained and predicted is so all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dicom import compressed, numbers, save

from benchmarks.reliability.cohort import SETTINGS
from vmseg_auto.workflows.export import export_model

FULL = """
set -e
keep=$1; shift
mount --bind "$keep" /mnt
for folder in /tmp /var/tmp /dev/shm "$HOME"; do
  mount -t tmpfs -o size=16k none "$folder"
  case "$keep" in "$folder"/*) mkdir -p "$keep"; mount --bind /mnt "$keep";; esac
  head -c 16384 /dev/zero > "$folder/fill" 2> /dev/null || true
done
cd "$HOME"
exec "$@"
"""


def full(home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run Python where every folder for temporary files is full, and the home and current folder as well.

    Only what tests have written stays as it is, wherever it lies.
    """
    keep = home.parent.parent
    alone = ["unshare", "--mount", "bash", "-c", FULL, "bash", str(keep), sys.executable, *map(str, words)]
    env = {**os.environ, "HOME": str(home), "TMPDIR": "/nonexistent", "OMP_NUM_THREADS": "1"}
    return subprocess.run(alone, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Skips the test where this user may not mount."""
    folder = tmp_path / "home"
    folder.mkdir()
    if shutil.which("unshare") is None or full(folder, "-c", "").returncode:
        pytest.skip("only root on Linux can fill a folder of its own")
    return folder


def test_training_and_prediction_go_on(cohort: Path, tmp_path: Path, home: Path) -> None:
    """With worker processes, compressed DICOM and a model in a zip."""
    save(tmp_path / "scans" / "anna", compressed(numbers((10, 24, 24)), tmp_path / "itk", "JPEG2000"))
    export_model(tmp_path / "ours.zip", workspace=cohort / "vmseg")
    options = ["--jobs", 2, "--fresh", "--set", *SETTINGS, "device_augmentation=off"]
    trained = full(home, "-m", "vmseg_auto.cli.train", 0, "-d", cohort, "--device", "cpu", *options)
    assert trained.returncode == 0, trained.stderr
    words = ["-m", tmp_path / "ours.zip", "-i", tmp_path / "scans", "-o", tmp_path / "masks", "--device", "cpu"]
    predicted = full(home, "-m", "vmseg_auto.cli.predict", *words, "--previews")
    assert predicted.returncode == 0, predicted.stderr
    assert {"anna.nii.gz", "anna_overlay.png"} <= {path.name for path in (tmp_path / "masks").rglob("anna*")}
    for folder in (cohort / "vmseg", tmp_path, tmp_path / "masks"):
        assert not [path for path in folder.iterdir() if path.name.startswith(("vmseg_", "torch", "matplotlib"))]
