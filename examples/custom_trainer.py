"""A trainer of one's own: the default's parts with another loss.

cd examples
vmseg_plan_and_preprocess -d DATASET -w FOCAL
vmseg_train 0 -d DATASET -w FOCAL --trainer custom_trainer:FocalTrainer

FOCAL is a new folder for plan and models, so that the dataset's own workspace stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.losses import DeepSupervision
from vmseg_auto.utils.labels import IGNORE
from vmseg_trainers.default import DefaultTrainer

if TYPE_CHECKING:
    import torch

    from vmseg_auto.contracts import Parts
    from vmseg_auto.planning.plan import Plan


class FocalTrainer:
    """Focal loss (Lin et al., ICCV 2017) in place of Dice + cross-entropy."""

    name = "focal"
    config = replace(TrainingConfig(), lr=0.005)

    def __call__(self, plan: Plan, config: TrainingConfig, device: torch.device, channels: int, classes: int) -> Parts:
        parts = DefaultTrainer()(plan, config, device, channels, classes)
        return replace(parts, loss=DeepSupervision(focal_loss()))


def focal_loss(gamma: float = 2.0) -> torch.nn.Module:
    """(1 - p) ** gamma times cross-entropy, mean over annotated voxels."""
    import torch
    from torch.nn import functional

    class Focal(torch.nn.Module):
        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            cross_entropy = functional.cross_entropy(logits.float(), target, reduction="none", ignore_index=IGNORE)
            focal = (1 - torch.exp(-cross_entropy)) ** gamma * cross_entropy
            return focal.sum() / (target != IGNORE).sum().clamp_min(1)

    return Focal()
