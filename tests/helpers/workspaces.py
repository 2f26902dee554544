"""Workspaces whose runs are finished by the real writers, with validation predictions of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from raw_dataset import LABELS, describe

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Case, Dataset, Splits
from vmseg_auto.data.images.images import read_mask, write_image, write_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.confidence import Confidence
from vmseg_auto.inference.predictor import Prediction
from vmseg_auto.inference.thresholds import classify
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.final_checkpoint import save_final
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.inference_budget import EXHAUSTIVE
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.paths import read_fingerprint, read_plan, read_splits, record_now
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.validation_cases import ValidationCases, validation_cases
from vmseg_trainers.default import DefaultTrainer

GRID = Geometry((8, 16, 16), (2.0, 1.0, 1.0))
CONFIG = replace(DefaultTrainer.config, epochs=1, iterations_per_epoch=1, mirror_axes=(), tile_step_size=1.0)
ValidationRecord = Callable[[Case, NDArray[np.bool_]], NDArray[np.float32]]
"""A case and its reference (Z, Y, X) -> probabilities of the foreground."""


def sure_of(low: int, high: int) -> ValidationRecord:
    """Certain of the lesion's voxels from `low` to `high` along x, and 0.29 sure of the others."""

    def validation(case: Case, reference: NDArray[np.bool_]) -> NDArray[np.float32]:
        certain = np.zeros(reference.shape, dtype=bool)
        certain[..., low:high] = True
        return np.where(reference, np.where(certain, 1.0, 0.29), 0.0).astype(np.float32)

    return validation


@dataclass(frozen=True)
class Cohort:
    """A planned and preprocessed dataset of one channel and one label."""

    space: Workspace
    dataset: Dataset
    fingerprint: Fingerprint
    splits: Splits


def cohort(folder: Path, cases: int = 5, prefix: str = "") -> Cohort:
    """Cases a, b, c ... of GRID; each has a bar 10 voxels long, brighter than the noise."""
    for number in range(cases):
        case = prefix + chr(ord("a") + number)
        mask = np.zeros(GRID.shape, dtype=np.uint8)
        mask[4, 4 + number, 2:12] = 1
        noise = np.random.default_rng(number).normal(100, 10, GRID.shape)
        write_image(folder / "imagesTr" / f"{case}_0000.nii.gz", (noise + 100 * mask).astype(np.float32), GRID)
        write_mask(folder / "labelsTr" / f"{case}.nii.gz", mask, GRID)
    describe(folder)
    space = plan_and_preprocess(folder, memory_gb=0.01, jobs=1).workspace
    return Cohort(space, read_dataset(folder), read_fingerprint(space), read_splits(space))


def trained_run(made: Cohort, trainer: str) -> Run:
    """A run of the default plan whose folds have random weights, of a seed of its own, and are not validated."""
    plan = read_plan(made.space, None)
    run = made.space.run(plan.planner, trainer)
    scans = made.fingerprint.scans
    write_json(run.model, ModelInfo(trainer, "x", ("T2",), LABELS, plan, scans=scans).to_json())
    for fold in range(len(made.splits.folds)):
        write_json(run.fold(fold).record, record_now(made.fingerprint, made.splits, plan, CONFIG, fold).to_json())
        torch.manual_seed(sum(map(ord, trainer)) + fold)
        weights = build_network(plan.network, 1, 2).state_dict()
        checkpoint = Checkpoint(
            1, weights, (), plan=plan, config=CONFIG, labels=LABELS, channels=("T2",), trainer=trainer, fold=fold
        )
        save_final(run.fold(fold).final, checkpoint)
    return run


def validate_as(held: ValidationCases, validation: ValidationRecord) -> None:
    """Validate a fold as if it had predicted what `validation` says."""
    held.try_budgets((EXHAUSTIVE,))
    for case in held.cases.values():
        assert case.label is not None
        reference, geometry = read_mask(case.label)
        foreground = validation(case, reference == 1)
        probabilities = np.stack([1 - foreground, foreground])
        confidence = Confidence(1 - float(foreground.max()), 0.0, mirrored=False)
        held.keep(case, held.store(case, Prediction(classify(probabilities), geometry, confidence, probabilities), []))
    held.sum_up()


def finished_run(made: Cohort, trainer: str, validation: ValidationRecord) -> Run:
    """The same, validated as if its folds had predicted what `validation` says."""
    run = trained_run(made, trainer)
    for held in validation_cases(run, made.fingerprint, made.splits, made.dataset):
        validate_as(held, validation)
    return run
