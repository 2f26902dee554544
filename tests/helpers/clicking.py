"""Tiny models that know clicks, or do not."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import PLAN

from vmseg_auto.data.runs import Run
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.final_checkpoint import save_final
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.json_codec import encode

LABELS = {"background": 0, "lesion": 1}
INFO = ModelInfo("default", "x", ("T2",), LABELS, PLAN)


def clicked_fold(number: int, clicks: bool = True) -> Checkpoint:
    config = TrainingConfig(mirror_axes=(1,), clicks=clicks)
    torch.manual_seed(number)
    network = build_network(PLAN.network, config.input_channels(PLAN, 1, 2), 2)
    about = {"plan": PLAN, "config": config, "labels": LABELS, "channels": ("T2",), "trainer": "default"}
    return Checkpoint(1, network.state_dict(), (), fold=number, **about)  # type: ignore[arg-type]


def clicked_model(folder: Path, clicks: bool = True) -> Path:
    """A model's folder, of one fold."""
    run = Run(folder / "runs" / "default" / "default")
    run.fold(0).folder.mkdir(parents=True)
    save_final(run.fold(0).final, clicked_fold(0, clicks))
    write_json(run.model, encode(INFO))
    return run.folder
