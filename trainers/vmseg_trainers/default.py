"""nnU-Net v2's training protocol."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from vmseg_auto.contracts import Parts
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.recipe import Recipe
from vmseg_auto.ops.augment import NnUNetAugmentation, NoAugmentation, read_shape
from vmseg_auto.ops.augment_batch import BatchAugmentation
from vmseg_auto.ops.losses import DeepSupervision, DiceCrossEntropy
from vmseg_auto.ops.network import build_network
from vmseg_auto.ops.sampling import PatchSampler


class DefaultTrainer:
    """Dice + cross-entropy, deep supervision, SGD with Nesterov momentum, polynomial decay, nnU-Net's augmentation."""

    name = "default"
    recipe = Recipe()

    def __call__(self, plan: Plan, recipe: Recipe, device: torch.device, channels: int, classes: int) -> Parts:
        """Build the parts; the network's weights depend on torch's current seed only."""
        network = build_network(plan.network, channels, classes).to(device)
        nnunet = NnUNetAugmentation(plan.patch, recipe.mirror_axes)
        return Parts(
            recipe=recipe,
            network=network,
            loss=DeepSupervision(DiceCrossEntropy(recipe.batch_dice)),
            optimizer=make_optimizer(network, recipe),
            schedule=make_schedule(recipe),
            sampler=PatchSampler(plan.patch, read_shape(plan.patch) if recipe.augment else plan.patch),
            augment=nnunet if recipe.augment else NoAugmentation(),
            device_augment=BatchAugmentation(nnunet) if recipe.augment else None,
        )


def make_optimizer(network: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all the network's parameters."""
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )


def make_schedule(recipe: Recipe) -> Callable[[float], float]:
    """Learning rate against progress in [0, 1): polynomial decay, or a linear warm-up over a tenth and a cosine."""
    if recipe.schedule == "poly":
        return lambda progress: recipe.lr * (1 - progress) ** recipe.poly_power

    def onecycle(progress: float) -> float:
        if progress < 0.1:
            return float(recipe.lr * (0.1 + 9 * progress))
        return float(recipe.lr * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)))

    return onecycle
