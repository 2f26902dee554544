"""What a network costs in memory, as plain integers: no torch, so that planners can ask."""

from __future__ import annotations

from math import floor, log10

from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.geometry import Shape


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
