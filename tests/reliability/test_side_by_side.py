"""Commands at once in one workspace come to what they come to one after another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.reliability.cohort import IN_THREADS, SETTINGS, trained_cohort
from benchmarks.reliability.kills import digests
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.train import train

FOLDS = range(4)
SETTINGS_IN_THREADS = (*SETTINGS, IN_THREADS)


def start(cohort: Path, fold: int) -> subprocess.Popen[str]:
    at = ["-d", str(cohort), "-w", str(cohort / "vmseg"), "--trainer", "paper", "--device", "cpu", "--jobs", "1"]
    command = [sys.executable, "-m", "vmseg_auto.cli.train", str(fold), *at, "--set", *SETTINGS_IN_THREADS]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def predicted(cohort: Path) -> dict[str, bytes]:
    """What the finished model of the workspace gives."""
    output = cohort / "masks"
    predict(cohort / "imagesTs", output, model=cohort / "vmseg/runs/default/default", device="cpu", jobs=1)
    found = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file() and path.suffix != ".lock"}
    shutil.rmtree(output)
    return found


def test_four_folds_at_once_and_predictions_meanwhile(tmp_path: Path) -> None:
    trained_cohort(tmp_path / "one", cases=len(FOLDS))
    several = Path(shutil.copytree(tmp_path / "one", tmp_path / "several"))
    one = tmp_path / "one"
    train(
        FOLDS, dataset=one, workspace=one / "vmseg", trainer="paper", settings=SETTINGS_IN_THREADS, device="cpu", jobs=1
    )
    alone = predicted(one)

    trainings = [start(several, fold) for fold in FOLDS]
    meanwhile = [predicted(several)]
    while any(training.poll() is None for training in trainings):
        meanwhile.append(predicted(several))

    told = [training.communicate()[0] for training in trainings]
    assert [training.returncode for training in trainings] == [0] * len(FOLDS), told
    assert all(masks == alone for masks in meanwhile)
    assert digests(several) == digests(one)
