"""What a network costs in memory, as plain integers: no torch, so that planners can ask."""

from __future__ import annotations

from itertools import pairwise
from math import floor, log10, prod

from vmseg_auto.planning.plan import NetworkSpec
from vmseg_auto.utils.geometry import Shape


def conv_outputs(network: NetworkSpec, patch: Shape, classes: int) -> int:
    """Count the values that a U-Net's convolutions put out for one patch.

    The memory of training grows in proportion to it. Counted are, with channels, each convolution of the encoder
    and the decoder, each transposed convolution, and the finest logits (nnU-Net counts the same ones); in a
    "residual_unet" also the stem and each shortcut that is no mere copy.

    Args:
        network: the network; only its numbers are used.
        patch: (Z, Y, X) in voxels; odd sizes are halved downwards.
        classes: number of classes, background included.
    """
    sizes = []
    size: tuple[int, ...] = patch
    for stride in network.strides:
        size = tuple(n // s for n, s in zip(size, stride, strict=True))
        sizes.append(prod(size))
    levels = list(zip(sizes, network.features, strict=True))
    encoder = sum(blocks * voxels * width for blocks, (voxels, width) in zip(network.blocks, levels, strict=True))
    if network.builder == "residual_unet":
        encoder = 2 * encoder + prod(levels[0]) + _shortcuts(levels)
    decoder = sum(
        # one more than its convolutions: the transposed convolution gives as many channels as the skip has
        (blocks + 1) * voxels * width
        for blocks, ((voxels, width), _) in zip(reversed(network.decoder_blocks), pairwise(levels), strict=True)
    )
    return encoder + decoder + classes * sizes[0]


def _shortcuts(levels: list[tuple[int, int]]) -> int:
    """Count the values of the shortcuts that change voxels or channels of a stage, also by pooling alone."""
    return sum(prod(level) for before, level in pairwise(levels) if level != before)


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
