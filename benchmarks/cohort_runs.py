"""How each tool prepares, trains and predicts one fold of benchmarks.cohorts: every case of its training side is learnt
from (fold "all" in both), and one network without test-time augmentation predicts the test side.
"""

from __future__ import annotations

import math
import os
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from benchmarks import data
from benchmarks.ablation import Row
from benchmarks.ablation_results import InputSource, Protocol
from benchmarks.cohort_results import Budget, Cell
from benchmarks.cohort_scores import Score, score_files
from benchmarks.cohort_splits import Experiment
from benchmarks.nnunet_training import CONFIGURATION, plan_and_preprocess, require_same_plan
from benchmarks.tools import Bench, Job, nnunet_versions, on_threads, run_once
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Fold
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import read_json

EPOCHS = 20
"""Of ours at most where steps count; its learning rate falls epoch by epoch."""
DATASET, PLANS = "Dataset001_Cohort", "nnUNetPlans_sized"


@dataclass(frozen=True)
class Place:
    """One fold of an experiment on this machine.

    Args:
        memory_gb: of the plan.
        number: of the fold.
    """

    bench: Bench
    experiment: Experiment
    memory_gb: float
    number: int
    fold: Fold

    @cached_property
    def root(self) -> Path:
        return self.bench.folder(f"cohorts/{self.experiment.name}/{self.memory_gb:g}GB_fold_{self.number}")

    @property
    def source(self) -> Path:
        """The whole cohort's folder."""
        return self.bench.data / self.experiment.cohort

    @property
    def dataset(self) -> Path:
        """The training cases alone: neither tool's plan knows the others."""
        return self.root / "dataset"

    @property
    def scans(self) -> Path:
        return self.root / "scans"

    def link(self) -> None:
        """Lay out the training cases as a dataset, and the images of the test cases."""
        data.with_cases(self.source, self.dataset, self.fold.train)
        data.link_scans(self.source / f"images{self.experiment.tests}", self.scans, self.fold.val)

    def score(self, masks: Path) -> dict[str, dict[str, Score]]:
        """Label -> test case -> score of masks that a tool wrote.

        Raises:
            SetupError: one is missing, or lies on another grid.
        """
        labels, kind = read_dataset(self.source).labels, self.experiment.tests
        found: dict[str, dict[str, Score]] = {name: {} for name, value in labels.items() if value}
        for case in self.fold.val:
            reference = self.source / f"labels{kind}" / f"{case}{data.ENDING}"
            scores = score_files(masks / f"{case}{data.ENDING}", reference, labels, self.experiment.millimetres)
            for label, score in scores.items():
                found[label][case] = score
        return found


class Tool(ABC):
    """One tool on one fold.

    Args:
        place: the fold.
        threads: of a training.
    """

    def __init__(self, place: Place, threads: int) -> None:
        self.place, self.threads = place, threads

    def masks(self, cell: Cell) -> Path:
        """Where the predictions of a training lie."""
        return self.place.root / "masks" / _name(cell)

    def predict(self, cell: Cell) -> None:
        """Raises SetupError where the prediction fails."""
        run_once(self._prediction(cell, data.fresh(self.masks(cell))))

    @abstractmethod
    def prepare(self) -> None:
        """Plan and preprocess. Raises SetupError where that fails."""

    @abstractmethod
    def training(self, cell: Cell) -> Job:
        """The command that trains; what an earlier one has left is gone on from, or out of the way."""

    @abstractmethod
    def took(self, cell: Cell) -> tuple[int, float]:
        """Steps and seconds of a training that has ended."""

    @abstractmethod
    def made(self, cell: Cell, jobs: int) -> InputSource:
        """Where a training runs, so many of them side by side."""

    @abstractmethod
    def settings(self, cell: Cell) -> tuple[str, ...]:
        """What is trained, for the file of results."""

    @abstractmethod
    def _prediction(self, cell: Cell, masks: Path) -> Job: ...


class Ours(Tool):
    """A row of the ablation, by vmseg_train. In float32 at equal steps, as nnU-Net on a CPU; else as it comes."""

    def __init__(self, place: Place, threads: int, row: Row) -> None:
        super().__init__(place, threads)
        self.row = row

    @property
    def prepared(self) -> Workspace:
        return Workspace(self.place.root / "prepared" / self.row.planner)

    def space(self, cell: Cell) -> Workspace:
        """A workspace for this training alone."""
        return Workspace(self.place.root / "ours" / _name(cell))

    def prepare(self) -> None:
        places = ("-d", self.place.dataset, "-w", self.prepared.root, "--visits", "apart")
        planned = ("--planner", self.row.planner, "--memory", f"{self.place.memory_gb:g}")
        run_once(self.place.bench.ours("plan_and_preprocess", *places, *planned))

    def training(self, cell: Cell) -> Job:
        space = self.space(cell).root
        if cell.budget.minutes:
            shutil.rmtree(space, ignore_errors=True)
        if not space.exists():
            _linked(self.prepared.root, space)
        places = ("-d", self.place.dataset, "-w", space, "--device", "cpu")
        plugins = ("--planner", self.row.planner, "--trainer", self.row.trainer)
        limit = ("--hours", f"{cell.budget.minutes / 60:.6f}") if cell.budget.minutes else ()
        job = self.place.bench.ours("train", "all", *places, *plugins, *limit, "--set", *self._set(cell))
        return replace(job, environment=on_threads(self.threads))

    def took(self, cell: Cell) -> tuple[int, float]:
        history = pd.read_csv(self.space(cell).run(self.row.planner, self.row.trainer).fold("all").history)
        return len(history) * self._config(cell).iterations_per_epoch, float(history["seconds"].sum())

    def made(self, cell: Cell, jobs: int) -> InputSource:
        return InputSource.here("cpu", self._config(cell).amp, jobs, self.threads)

    def settings(self, cell: Cell) -> tuple[str, ...]:
        return self.row.trainer, *self.row.settings

    def _prediction(self, cell: Cell, masks: Path) -> Job:
        model = self.space(cell).run(self.row.planner, self.row.trainer).folder
        precision = "auto" if self._config(cell).amp else "float32"
        options = ("--folds", "all", "--no-tta", "--exhaustive", "--precision", precision, "--device", "cpu")
        return self.place.bench.ours("predict", "-i", self.place.scans, "-o", masks, "-m", model, *options)

    def _config(self, cell: Cell) -> TrainingConfig:
        from vmseg_auto.registry import load_trainer

        return load_trainer(self.row.trainer).config.with_settings(self._set(cell))

    def _set(self, cell: Cell) -> tuple[str, ...]:
        if cell.budget.minutes:
            return *self.row.settings, f"seed={cell.seed}"
        return *self.row.all_settings(protocol_of(cell.budget, cell.memory_gb), cell.seed), "amp=false"


class NnUnet(Tool):
    """nnU-Net's own trainer, loaders and predictor, by drivers/nnunet_steps. On a CPU it computes in float32."""

    @property
    def home(self) -> Path:
        return self.place.root / "nnunet"

    def prepare(self) -> None:
        """Raises SetupError where nnU-Net's plan is another than ours, which must be prepared before."""
        done = self.home / "complete"
        if not done.is_file():
            self.home.mkdir(exist_ok=True)
            plan_and_preprocess(self.place.bench, self.home, DATASET, self.place.dataset, PLANS, self.place.memory_gb)
            ours = Workspace(self.place.root / "prepared" / "default").plan("default")
            require_same_plan(ours, self.home / "preprocessed" / DATASET / f"{PLANS}.json")
            done.touch()

    def training(self, cell: Cell) -> Job:
        data.fresh(self._results(cell))
        names = ("--dataset", DATASET, "--plans", PLANS, "--fold", "all", "--save", "--seed", str(cell.seed))
        length = (
            ("--seconds", f"{60 * cell.budget.minutes:g}")
            if cell.budget.minutes
            else ("--steps", str(cell.budget.steps))
        )
        figures = self._figures(cell)
        job = self.place.bench.their_driver(
            "nnunet_steps", *names, *length, "--threads", str(self.threads), "--figures", figures,
            home=self.home, figures=figures,
        )  # fmt: skip
        workers = {"nnUNet_n_proc_DA": str(self.threads), "nnUNet_results": str(self._results(cell))}
        return replace(job, environment={**job.environment, **on_threads(self.threads), **workers})

    def took(self, cell: Cell) -> tuple[int, float]:
        figures = read_json(self._figures(cell))
        return int(figures["steps"]), figures["steps"] * figures["step_s"]

    def made(self, cell: Cell, jobs: int) -> InputSource:
        here = InputSource.here("cpu", False, jobs, self.threads)
        return replace(here, versions=nnunet_versions(self.place.bench.nnunet))

    def settings(self, cell: Cell) -> tuple[str, ...]:
        return ()

    def _prediction(self, cell: Cell, masks: Path) -> Job:
        model = self._results(cell) / DATASET / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"
        options = ("-f", "all", "--disable_tta", "--disable_progress_bar", "-device", "cpu")
        named = ("-i", self.place.scans, "-o", masks, "-m", model)
        return self.place.bench.theirs("predict_from_modelfolder", *named, *options, home=self.home)

    def _results(self, cell: Cell) -> Path:
        return self.home / "results" / _name(cell)

    def _figures(self, cell: Cell) -> Path:
        return self._results(cell) / "figures.json"


def protocol_of(budget: Budget, memory_gb: float) -> Protocol:
    """So many steps in EPOCHS epochs, or in as many of them as divide the steps."""
    epochs = math.gcd(budget.steps, EPOCHS)
    return Protocol(memory_gb, epochs, budget.steps // epochs)


def _name(cell: Cell) -> str:
    return f"{cell.budget.name}_{cell.row}_seed_{cell.seed}"


def _linked(prepared: Path, space: Path) -> None:
    """A workspace with the files of a prepared one, as hard links: what is written later replaces them."""
    shutil.copytree(prepared, space, copy_function=os.link, ignore=shutil.ignore_patterns("*.lock", "logs"))
