"""A cluster takes its machine back: a training saves within its epoch, and goes on as if nothing had been."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from launch import HANGS_UP, lines, start, wait_until
from small_cohort import small_cohort
from training import timeless

from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.checkpoints import load_checkpoint
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.train import train

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")
SETTINGS = ("epochs=2", "iterations_per_epoch=20", "validation_share=0.05", "mirror_axes=[]")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_cohort(tmp_path_factory.mktemp("cohort"), 5)
    plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    train([0], dataset=folder, settings=SETTINGS, device="cpu")
    return folder


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM", "SIGHUP"])
def test_a_stopped_training_goes_on_where_it_was(cohort: Path, tmp_path: Path, name: str) -> None:
    """All processes of the job get the signal, those that make its patches as well."""
    folder = shutil.copytree(cohort, tmp_path / "cohort")
    shutil.rmtree(folder / "vmseg" / "runs")
    fold = Workspace(folder / "vmseg").run("default", "default").fold(0)
    process = start("vmseg_auto.cli.train", 0, "-d", folder, "--device", "cpu", "--set", *SETTINGS, by=HANGS_UP)
    wait_until(lambda: lines(fold.history) > 1, process)
    os.killpg(process.pid, getattr(signal, name))
    shown = process.communicate(timeout=600)[0]
    assert process.returncode == 128 + getattr(signal, name), shown
    assert f"stopped ({name}). What was done is kept; the same command goes on from there" in shown
    saved = load_checkpoint(fold.latest)
    assert saved.epoch == 1
    assert 0 < len(saved.under_way) < 20
    assert not list(folder.rglob("*.lock"))

    train([0], dataset=folder, settings=SETTINGS, device="cpu")
    undisturbed = load_final(Workspace(cohort / "vmseg").run("default", "default").fold(0).final)
    ended = load_final(fold.final)
    assert all(torch.equal(tensor, undisturbed.weights[key]) for key, tensor in ended.weights.items())
    assert [timeless(row) for row in ended.history] == [timeless(row) for row in undisturbed.history]


def test_under_nohup_a_training_outlives_its_terminal(cohort: Path, tmp_path: Path) -> None:
    if shutil.which("nohup") is None:
        pytest.skip("there is no nohup here")
    folder = shutil.copytree(cohort, tmp_path / "cohort")
    shutil.rmtree(folder / "vmseg" / "runs")
    fold = Workspace(folder / "vmseg").run("default", "default").fold(0)
    options = ("-d", folder, "--device", "cpu", "--set", *SETTINGS)
    process = start("vmseg_auto.cli.train", 0, *options, by=["nohup"])
    wait_until(lambda: lines(fold.history) > 1, process)
    os.killpg(process.pid, signal.SIGHUP)
    shown = process.communicate(timeout=600)[0]
    assert process.returncode == 0, shown
    assert load_final(fold.final).epoch == 2
