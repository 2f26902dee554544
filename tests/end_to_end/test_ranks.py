"""Processes that torchrun starts come to what one comes to, whatever their number."""

from __future__ import annotations

import filecmp
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launch import lines, start, wait_until
from small_cohort import small_cohort

from benchmarks.drivers.shared_steps import steps
from benchmarks.scaling import gradient_difference
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.utils.locks import holder
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.train import train

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="torchrun is for Linux and macOS")
STEPS = 20
LONG = (
    "epochs=12",
    "iterations_per_epoch=5",
    "validation_share=0.2",
    "amp=false",
    "device_augmentation=on",
    "mirror_axes=[]",
)
SHORT = ("epochs=2", "iterations_per_epoch=2", *LONG[2:])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_cohort(tmp_path_factory.mktemp("cohort"), 5)
    plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    return folder


@pytest.mark.parametrize(("ranks", "batch_dice"), [(2, False), (3, True)])
def test_steps_of_several_ranks_are_those_of_one(cohort: Path, tmp_path: Path, ranks: int, batch_dice: bool) -> None:
    """A batch of 2 on 3 ranks included, and a loss that couples the samples."""
    settings = [f"batch_dice={str(batch_dice).lower()}", "validation_share=0", "device_augmentation=on"]
    figures = tmp_path / "figures.pt"
    process = start(
        "benchmarks.drivers.shared_steps",
        *("--workspace", cohort / "vmseg", "--steps", STEPS, "--figures", figures, "--set", *settings),
        ranks=ranks,
    )
    alone = steps(cohort / "vmseg", STEPS, settings)
    assert process.wait(600) == 0, process.communicate()[0]
    process.communicate()
    shared = torch.load(figures, weights_only=True)
    assert shared["alike"]
    assert shared["gradients"].keys() == alone["gradients"].keys()
    assert gradient_difference(shared["gradients"], alone["gradients"]) < 1e-5
    assert len(alone["losses"]) == STEPS
    assert shared["losses"] == pytest.approx(alone["losses"], abs=1e-3)


def test_a_training_goes_on_when_a_rank_is_killed(cohort: Path, tmp_path: Path) -> None:
    there = Workspace(shutil.copytree(cohort, tmp_path / "cohort") / "vmseg")
    fold = there.run("default", "default").fold(0)
    process = start("vmseg_auto.cli.train", 0, "-w", there.root, "--device", "cpu", "--set", *LONG, ranks=2, restarts=1)
    wait_until(lambda: lines(fold.history) > 3, process)
    owner = holder(fold.lock)
    assert owner
    numbers = [int(log.stem.rsplit("_", 1)[1]) for log in there.logs.iterdir()]
    (other,) = set(numbers) - {owner.process}
    os.kill(other, signal.SIGKILL)
    shown = process.communicate(timeout=600)[0]
    assert process.returncode == 0, shown
    assert "Fold 0 goes on after epoch" in shown
    assert len(list(there.logs.iterdir())) == 4
    assert not list(there.root.rglob("*.lock"))

    train([0], dataset=cohort, settings=LONG, device="cpu")
    undisturbed = Workspace(cohort / "vmseg").run("default", "default").fold(0)
    ours, theirs = load_final(fold.final), load_final(undisturbed.final)
    assert len(ours.history) == 12
    for a, b in zip(ours.history, theirs.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=5e-3)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=5e-3)
    for path in ("metrics.csv", "cases.json", "budgets.json"):
        assert (fold.validation / path).is_file()
    assert lines(fold.validation / "metrics.csv") == lines(undisturbed.validation / "metrics.csv")


def test_predictions_of_several_ranks_are_those_of_one(cohort: Path, tmp_path: Path) -> None:
    """And what is wrong with a scan is told once."""
    folder = shutil.copytree(cohort, tmp_path / "cohort")
    train([1], dataset=folder, settings=SHORT, device="cpu")
    scans = shutil.copytree(folder / "imagesTr", tmp_path / "scans")
    (scans / "c_0000.nii.gz").write_bytes(b"damaged")
    shown = {}
    for ranks in (1, 3):
        out = tmp_path / f"out{ranks}"
        process = start("vmseg_auto.cli.predict", "-d", folder, "-i", scans, "-o", out, "--device", "cpu", ranks=ranks)
        shown[ranks] = process.communicate(timeout=600)[0]
        assert process.returncode == (3 if ranks == 1 else 1), shown[ranks]  # torchrun's own code
    names = sorted(path.name for path in (tmp_path / "out1").iterdir())
    of_cases = (f"{case}{end}" for case in "abde" for end in (".json", ".nii.gz"))
    assert names == [*of_cases, "failed.csv", "itksnap.label", "sources.csv", "volumes.csv"]
    assert sorted(path.name for path in (tmp_path / "out3").iterdir()) == names
    assert filecmp.cmpfiles(tmp_path / "out1", tmp_path / "out3", names, shallow=False)[1:] == ([], [])
    for text in shown.values():
        assert text.count("no mask could be made or kept of 1 of 5 scans") == 1
        assert text.count("4 masks and volumes.csv") == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted as Linux names them")
def test_no_thread_of_the_group_is_left_when_it_ends(tmp_path: Path) -> None:
    """One that is left can abort the process while Python ends."""
    script = tmp_path / "group.py"
    script.write_text(
        "import os, torch\n"
        "from vmseg_auto.utils.distributed import joined\n"
        "def threads():\n"
        "    return [open(f'/proc/self/task/{n}/comm').read().strip() for n in os.listdir('/proc/self/task')]\n"
        "with joined() as ranks:\n"
        "    weight = torch.nn.Parameter(torch.zeros(3))\n"
        "    torch.optim.SGD([weight]).step()\n"
        "    ranks.add(torch.zeros(3))\n"
        "    during = threads()\n"
        "assert 'pt_gloo_runloop' in during, during\n"
        "assert 'pt_gloo_runloop' not in threads(), threads()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
