"""nnU-Net v2's training protocol."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from vmseg_auto.contracts import Parts, Sampler
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import Recipe
from vmseg_auto.training.augmentation.copy_paste import CopyPaste
from vmseg_auto.training.augmentation.cpu import NNUNET, STRONG, NoAugmentation, PatchAugmentation, read_shape
from vmseg_auto.training.augmentation.device import BatchAugmentation
from vmseg_auto.training.losses import DeepSupervision, DiceCrossEntropy
from vmseg_auto.training.sampling import PatchSampler


class DefaultTrainer:
    """Dice + cross-entropy, deep supervision, SGD with Nesterov momentum, polynomial decay, nnU-Net's augmentation.

    Every part follows the recipe, so that other trainers of this package are other recipes.
    """

    name = "default"
    recipe = Recipe()

    def __call__(self, plan: Plan, recipe: Recipe, device: torch.device, channels: int, classes: int) -> Parts:
        """Build the parts; the network's weights depend on torch's current seed only."""
        network = build_network(plan.network, channels, classes).to(device)
        chances = STRONG if recipe.strong_augmentation else NNUNET
        augment = PatchAugmentation(plan.patch, recipe.mirrored(plan.left_right), chances) if recipe.augment else None
        return Parts(
            recipe=recipe,
            network=network,
            loss=make_loss(recipe),
            optimizer=make_optimizer(network, recipe),
            schedule=make_schedule(recipe),
            sampler=make_sampler(plan, recipe),
            augment=augment or NoAugmentation(),
            device_augment=BatchAugmentation(augment) if augment else None,
        )


def make_loss(recipe: Recipe) -> torch.nn.Module:
    """Dice and cross-entropy, or the relatives that the recipe names, over the decoder's levels."""
    loss = DiceCrossEntropy(
        recipe.batch_dice,
        false_positive_weight=recipe.false_positive_weight,
        focus=recipe.focal_gamma,
        softness=recipe.margin_softness,
    )
    return DeepSupervision(loss, finest_only=not recipe.deep_supervision)


def make_sampler(plan: Plan, recipe: Recipe) -> Sampler:
    """Patches of the training cases, with lesions of others in some of them."""
    read = read_shape(plan.patch) if recipe.augment else plan.patch
    sampler = PatchSampler(plan.patch, read, recipe.by_lesion)
    if not recipe.copy_paste:
        return sampler
    return CopyPaste(sampler, recipe.copy_paste, recipe.mirrored(plan.left_right))


def make_optimizer(network: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all the network's parameters.

    On CUDA it is torch's fused one, which passes over a step that went wrong without being waited for.
    """
    fused = next(network.parameters()).device.type == "cuda" or None
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
        fused=fused,
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
