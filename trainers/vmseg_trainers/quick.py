"""The demo's trainer: useful masks after minutes on a CPU, where the default protocol wants hours on a GPU."""

from __future__ import annotations

from dataclasses import replace

import torch

from vmseg_auto.contracts import Parts
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_trainers.default import DefaultTrainer


class QuickTrainer:
    """The default trainer's parts under a short config: AdamW, one learning-rate cycle, patches from anywhere."""

    name = "quick"
    regions = True
    config = replace(
        TrainingConfig(),
        epochs=20,
        iterations_per_epoch=16,
        validation_share=0.0625,
        optimizer="adamw",
        lr=0.01,
        schedule="onecycle",
        weight_decay=1e-2,
        foreground_oversampling=0.0,
        batch_dice=True,
        augment=False,
        mirror_axes=(),
        tile_step_size=0.7,
        compile="off",  # which takes longer than all its steps
    )

    def __call__(self, plan: Plan, config: TrainingConfig, device: torch.device, channels: int, classes: int) -> Parts:
        return DefaultTrainer()(plan, config, device, channels, classes)
