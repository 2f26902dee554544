"""Weights to a model folder and back."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import vmseg_auto
from vmseg_auto.data.runs import Run
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.final_checkpoint import load_final, save_final
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.utils.atomic import write_json

if TYPE_CHECKING:
    import torch


def write_model(
    folder: Path,
    plan: vmseg_auto.Plan,
    cohort: vmseg_auto.Fingerprint,
    weights: dict[str, torch.Tensor],
    settings: str = "",
) -> None:
    """Make a model folder of one fold, `all`, for vmseg_predict, vmseg_train --init and vmseg_model export."""
    run, config = Run(folder), vmseg_auto.TrainingConfig().with_settings(shlex.split(settings))
    info = ModelInfo("federated", "", cohort.channels, cohort.labels, plan, scans=cohort.scans)
    write_json(run.model, info.to_json())
    checkpoint = Checkpoint(
        epoch=0,
        weights=weights,
        history=(),
        plan=plan,
        config=config,
        labels=cohort.labels,
        channels=cohort.channels,
        trainer="federated",
        fold="all",
    )
    save_final(run.fold("all").final, checkpoint)


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_final(Run(folder).fold("all").final).weights
