"""nnU-Net v2's training protocol, and what helped cohorts of some fifty patients on top of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from vmseg_auto.contracts import Augment, DeviceAugment, Parts, Sampler
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.augmentation.channel_dropout import BatchChannelDropout, ChannelDropout
from vmseg_auto.training.augmentation.copy_paste import CopyPaste
from vmseg_auto.training.augmentation.cpu import NNUNET, STRONG, NoAugmentation, PatchAugmentation, read_shape
from vmseg_auto.training.augmentation.device import BatchAugmentation
from vmseg_auto.training.losses import DeepSupervision, DiceBinaryCrossEntropy, DiceCrossEntropy
from vmseg_auto.training.sampling import PatchSampler
from vmseg_auto.utils.errors import InputError


class DefaultTrainer:
    """nnU-Net's protocol with a running mean of the weights, Dice over the batch, and small lesions as often as large.

    Mirrored is across the mid-plane alone, which also makes prediction four times as fast. Every part follows the
    config, so that other trainers of this package are other configs.
    """

    name = "default"
    regions = True
    config = replace(TrainingConfig(), ema_decay=0.999, batch_dice=True, by_lesion=True, left_right_only=True)

    def __call__(self, plan: Plan, config: TrainingConfig, device: torch.device, channels: int, classes: int) -> Parts:
        """Build the parts; the network's weights depend on torch's current seed only."""
        network = build_network(plan.network, channels, classes).to(device)
        augment, device_augment = make_augment(plan, config, channels, plan.mask_channels(classes))
        return Parts(
            config=config,
            network=network,
            loss=make_loss(config, plan),
            optimizer=make_optimizer(network, config),
            schedule=make_schedule(config),
            sampler=make_sampler(plan, config),
            augment=augment,
            device_augment=device_augment,
        )


def make_augment(plan: Plan, config: TrainingConfig, channels: int, masks: int) -> tuple[Augment, DeviceAugment | None]:
    """Return what augments samples, and what does the same to batches on a device, where that can be.

    Args:
        channels: of a sample's image.
        masks: how many of them, the last ones, are masks of a cascade's first stage.
    """
    augment: Augment = NoAugmentation()
    device_augment: DeviceAugment | None = None
    if config.augment:
        chances = STRONG if config.strong_augmentation else NNUNET
        augment = own = PatchAugmentation(plan.patch, config.mirrored(plan), chances, masks)
        device_augment = None if masks else BatchAugmentation(own)
    if not config.channel_dropout:
        return augment, device_augment
    dropout = config.channel_dropout, channels - masks
    return (
        ChannelDropout(augment, *dropout),
        BatchChannelDropout(device_augment, *dropout) if device_augment else None,
    )


def make_loss(config: TrainingConfig, plan: Plan) -> torch.nn.Module:
    """Return Dice and cross-entropy (of regions binary), or the relatives that the config names, at all decoder levels.

    Of single slices, most of which hold no lesion, Dice is always summed over the batch, as in nnU-Net's 2d.
    """
    settings: dict[str, Any] = {
        "batch_dice": config.batch_dice or plan.by_slice,
        "tversky_alpha": config.tversky_alpha,
        "focus": config.focal_gamma,
        "boundary_label_smoothing": config.boundary_label_smoothing,
    }
    loss = DiceBinaryCrossEntropy(plan.regions, **settings) if plan.regions else DiceCrossEntropy(**settings)
    return DeepSupervision(loss, finest_only=not config.deep_supervision)


def make_sampler(plan: Plan, config: TrainingConfig) -> Sampler:
    """Return a sampler of patches of the training cases, with lesions of others in some of them."""
    read = read_shape(plan.patch) if config.augment else plan.patch
    sampler = PatchSampler(plan.patch, read, config.by_lesion)
    if not config.copy_paste:
        return sampler
    if plan.first_stage:
        raise InputError(
            "copy_paste can't be used in a cascade: the first stage has no masks of lesions that are pasted",
            remedy="Add --set copy_paste=0.",
        )
    if config.channel_dropout:
        raise InputError(
            "copy_paste can't be used with channel_dropout: a lesion would be pasted into channels that a case lacks",
            remedy="Add --set copy_paste=0 or --set channel_dropout=0.",
        )
    return CopyPaste(sampler, config.copy_paste, config.mirrored(plan))


def make_optimizer(network: torch.nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the config's optimizer over all the network's parameters.

    On CUDA it is torch's fused one, which passes over a step that went wrong without being waited for.
    """
    fused = next(network.parameters()).device.type == "cuda" or None
    if config.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.SGD(
        network.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
        fused=fused,
    )


def make_schedule(config: TrainingConfig) -> Callable[[float], float]:
    """Return the learning rate as a function of progress in [0, 1): polynomial decay, or a linear warm-up over a tenth
    and a cosine.
    """
    if config.schedule == "poly":
        return lambda progress: config.lr * (1 - progress) ** config.poly_power

    def onecycle(progress: float) -> float:
        if progress < 0.1:
            return float(config.lr * (0.1 + 9 * progress))
        return float(config.lr * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)))

    return onecycle
