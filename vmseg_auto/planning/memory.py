"""What a network costs in memory, as plain integers: no torch, so that planners can ask."""

from __future__ import annotations

from math import floor, log10

from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.geometry import Shape

_FINEST, _LOGIT = 7.0, 24.0
"""Bytes that the backward pass holds for a moment at the finest stage: of each of its values, and of each logit."""
_BESIDE_TENSORS, _CUDA_GIB = 1.1, 0.5
"""Workspaces of cuDNN and gaps between tensors, as a factor; the code and tables of CUDA itself."""


def conv_outputs(network: NetworkSpec, patch: Shape, classes: int) -> int:
    """Count the values that a network's layers put out for one patch, by the list of layers that its family gives.

    The memory of training grows in proportion to it. Of the U-Nets the same layers are counted as in nnU-Net: the
    convolutions of encoder and decoder, the transposed ones, shortcuts that are no mere copy, and the finest logits.

    Args:
        network: the network; only its numbers are used.
        patch: (Z, Y, X) in voxels; odd sizes are halved downwards.
        classes: number of classes, background included.
    """
    voxels = network.voxels(patch)
    return sum(voxels[layer.stage] * layer.channels for layer in network.layers(classes))


def tensors_gib(plan: Plan, classes: int, config: TrainingConfig) -> float:
    """Return the GiB of a GPU that the tensors of a training step in 16 bits hold at most.

    What layers put out is kept for the backward pass, in `NetworkFamily.kept_bytes` a value. Weights are there in
    float32, as the optimizer's moments, as their running mean, and in 16 bits; the gradients come as the values go.
    tests/card compares it with what each operator of a step takes and gives back.

    Args:
        plan: network, patch and batch size.
        classes: number of classes, background included.
        config: optimizer and running mean.
    """
    network, voxels = plan.network, plan.network.voxels(plan.patch)[0]
    weights = 4.0 * sum(layer.weights for layer in network.layers(classes))
    moments = 2 if config.optimizer == "adamw" else int(config.momentum > 0)
    copies = 1.5 + moments + (config.ema_decay > 0)
    kept = network.family.kept_bytes * conv_outputs(network, plan.patch, classes)
    passing = voxels * (_FINEST * network.features[0] + _LOGIT * classes)
    return (copies * weights + max(weights, plan.batch_size * (kept + passing))) / 2**30


def card_gib(plan: Plan, classes: int, config: TrainingConfig) -> float:
    """Return the GiB of a GPU that a training takes in all: its tensors, cuDNN's workspaces, and CUDA's own part.

    The plan's budget is nnU-Net's figure for the same plan, which this training may pass. It is an estimate: nothing of
    it has been measured on a GPU.
    """
    return _BESIDE_TENSORS * tensors_gib(plan, classes, config) + _CUDA_GIB


def smaller_budget_gb(planned_gb: float, free_gb: float | None, peak_gb: float) -> float:
    """Return a budget whose plan should fit where that for `planned_gb` did not.

    A plan's memory grows in proportion to its budget. So the budget is lowered in proportion to what is there, less a
    tenth that fragments of memory take, against what the training held or was planned to hold, whichever is more.

    Args:
        planned_gb: the budget that was too large.
        free_gb: what a training could have; None where that is not known, for half the budget.
        peak_gb: what this one held when it failed.

    Example:
        >>> smaller_budget_gb(8.0, free_gb=6.0, peak_gb=8.0)
        5.0
    """
    share = 0.5 if free_gb is None else min(0.9, 0.9 * free_gb / max(planned_gb, peak_gb))
    budget = max(planned_gb * share, 0.001)
    digit = 10.0 ** min(0, floor(log10(budget)))
    return floor(budget / digit) * digit
