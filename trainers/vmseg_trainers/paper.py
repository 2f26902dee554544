"""The protocol of the paper that showed how far training and test can lie apart."""

from __future__ import annotations

from dataclasses import replace

import torch

from vmseg_auto.contracts import Parts
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_trainers.default import DefaultTrainer


class PaperTrainer:
    """A plain 3-D U-Net without augmentation or deep supervision, to see and compare overfitting.

    J Clin Med 2022, 11:5593 trained one on T2 MRI of 53 patients with venous malformations. What it does not tell
    (patches, sampling, optimiser, steps) is as in the default trainer; there is no mirroring at prediction either.
    """

    name = "paper"
    regions = True
    config = replace(TrainingConfig(), augment=False, deep_supervision=False, mirror_axes=())

    def __call__(self, plan: Plan, config: TrainingConfig, device: torch.device, channels: int, classes: int) -> Parts:
        return DefaultTrainer()(plan, config, device, channels, classes)
