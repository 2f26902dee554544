"""nnU-Net v2's training protocol, with nothing on top: what others compare with."""

from __future__ import annotations

import torch

from vmseg_auto.contracts import Parts
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_trainers.default import DefaultTrainer


class NnUnetTrainer:
    """Dice + cross-entropy, deep supervision, SGD with Nesterov momentum, polynomial decay, nnU-Net's augmentation."""

    name = "nnunet"
    regions = True
    config = TrainingConfig()

    def __call__(self, plan: Plan, config: TrainingConfig, device: torch.device, channels: int, classes: int) -> Parts:
        return DefaultTrainer()(plan, config, device, channels, classes)
