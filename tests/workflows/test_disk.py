"""What a command will take on disk, and what becomes of a full one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_disk import fill, small_disk
from workspaces import Cohort, cohort, finished_run

from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.checkpoints import load_checkpoint
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.console import Progress, Silent, SilentProgress
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.workflows.disk import preprocessed_bytes
from vmseg_auto.workflows.paths import read_plan
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.train import train
from vmseg_auto.workflows.training_disk import checkpoint_copies, network_bytes
from vmseg_trainers.default import DefaultTrainer

SETTINGS = ("epochs=4", "iterations_per_epoch=2", "validation_share=0", "tile_step_size=1", "mirror_axes=[]")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return cohort(tmp_path_factory.mktemp("cohort"))


def test_preprocessed_cases_take_what_was_estimated(made: Cohort) -> None:
    plan = read_plan(made.space, None)
    folder = PreprocessedFolder(made.space.preprocessed(plan.voxels_hash))
    for name, summary in made.fingerprint.cases.items():
        case = folder.load(name)
        assert case.label is not None
        assert preprocessed_bytes(summary, plan, 1) == pytest.approx(case.image.nbytes + case.label.nbytes, rel=0.05)
    (summary, *_) = made.fingerprint.cases.values()
    finer = replace(plan, spacing_mm=tuple(mm / 2 for mm in plan.spacing_mm))
    assert preprocessed_bytes(summary, finer, 2) == pytest.approx(8 * preprocessed_bytes(summary, plan, 1) * 9 / 5)


def test_a_disk_too_small_is_noticed_before_cases_are_preprocessed(made: Cohort, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=60) as disk:
        with pytest.raises(VmsegError, match=r"preprocessing 5 cases will take about .+ kB, and .+ kB are free"):
            plan_and_preprocess(made.space.root.parent, disk / "w", memory_gb=0.01, jobs=1)
        assert not (disk / "w" / "preprocessed").exists()
        assert not (disk / "w" / "decoded").exists()


def test_a_disk_too_small_is_noticed_before_a_training_and_a_prediction(made: Cohort, tmp_path: Path) -> None:
    run = finished_run(made, "default", lambda case, reference: reference.astype(np.float32))
    with small_disk(tmp_path / "disk", kilobytes=700) as disk:
        space = shutil.copytree(made.space.root, disk / "w", ignore=shutil.ignore_patterns("runs"))
        fill(disk, leave=30_000)
        with pytest.raises(VmsegError, match="training 1 folds will take about"):
            train([0], workspace=space, device="cpu")
        assert not (space / "runs").exists()
        fill(disk, leave=8_000)
        scan = made.dataset.cases[0].images[0]
        with pytest.raises(VmsegError, match="predicting 1 scans will take about"):
            predict(scan, disk / "out", model=run.folder, save_probabilities=True, device="cpu")
        assert not (disk / "out").exists()


class Fills(Silent):
    """Fills the disk when a training has taken its fifth step."""

    def __init__(self, disk: Path) -> None:
        self.disk, self.steps = disk, 0

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        return _Steps(self)


class _Steps(SilentProgress):
    def __init__(self, console: Fills) -> None:
        self.console = console

    def advance(self, steps: int = 1) -> None:
        self.console.steps += steps
        if self.console.steps == 5:
            fill(self.console.disk, leave=0)


def test_a_disk_that_fills_up_in_a_training_loses_nothing(made: Cohort, tmp_path: Path) -> None:
    whole = shutil.copytree(made.space.root, tmp_path / "whole", ignore=shutil.ignore_patterns("runs"))
    wanted = load_final(train([0], workspace=whole, settings=SETTINGS, device="cpu").fold(0).final).weights
    with small_disk(tmp_path / "disk", kilobytes=80_000) as disk:
        space = Workspace(shutil.copytree(made.space.root, disk / "w", ignore=shutil.ignore_patterns("runs")))
        options = (*SETTINGS, "checkpoint_every=1")
        with pytest.raises(VmsegError, match=r"it can't be written \(No space left on device\)"):
            train([0], workspace=space.root, settings=options, device="cpu", console=Fills(disk))
        fold = space.run("default", "default").fold(0)
        assert load_checkpoint(fold.latest).epoch == 2
        weights = network_bytes(read_plan(space, None), 1, 2)
        assert weights < fold.latest.stat().st_size < checkpoint_copies(DefaultTrainer.config) * weights
        assert not fold.final.exists()
        assert [path for path in space.root.rglob(".*") if path.is_file()] == []
        (disk / "filler").unlink()
        train([0], workspace=space.root, settings=options, device="cpu")
        again = load_final(fold.final).weights
    assert (
        checkpoint_copies(TrainingConfig(ema_decay=0.9, early_stopping=True)) == checkpoint_copies(TrainingConfig()) + 2
    )
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in again.items())
