"""From a cohort and a memory budget to a plan, rule by rule as nnU-Net 2.8.1 plans its 3d_fullres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, prod
from typing import Any

import numpy as np

from vmseg_auto.planning.fingerprint import CaseSummary, ChannelStats, Fingerprint
from vmseg_auto.planning.memory import conv_outputs
from vmseg_auto.planning.network import Int3, NetworkSpec
from vmseg_auto.planning.plan import Normalization, Plan
from vmseg_auto.preprocessing.resample import new_shape
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Spacing

from . import reasons
from .topology import Budget, Size, Topology, axes_order, fit_batch, fit_patch, target_spacing

FIRST_FEATURES = 32
MASK_BELOW = 0.75
"""Where less than this share of the voxels is left after cropping, z-scores look at the non-zero region only."""


@dataclass(frozen=True)
class Architecture:
    """What the plans of one kind of network have of their own.

    Args:
        builder: as in NetworkSpec.
        blocks: of the encoder, the finest stage first; the last number holds for all deeper stages too.
        decoder_blocks: of each decoder stage.
        budget: conv outputs that a memory holds.
        dataset_share: of the cohort's voxels, the most that one batch may hold.
        max_features: of a stage; from 32 on they double with each stage.
        max_stages: of the network.
        arguments: as in NetworkSpec.
    """

    builder: str
    blocks: tuple[int, ...]
    decoder_blocks: int
    budget: Budget
    dataset_share: float
    max_features: int = 320
    max_stages: int = 10
    arguments: dict[str, Any] = field(default_factory=dict)

    def network(self, topology: Topology) -> NetworkSpec:
        """Build the network's description for a patch."""
        stages = range(topology.stages)
        return NetworkSpec(
            builder=self.builder,
            features=tuple(min(self.max_features, FIRST_FEATURES * 2**stage) for stage in stages),
            strides=topology.strides,
            kernels=topology.kernels,
            blocks=tuple(self.blocks[min(stage, len(self.blocks) - 1)] for stage in stages),
            decoder_blocks=(self.decoder_blocks,) * (topology.stages - 1),
            arguments=self.arguments,
        )


def plan_cohort(planner: str, architecture: Architecture, fingerprint: Fingerprint, memory_gb: float) -> Plan:
    """Make the plan; it depends on nothing but the arguments.

    Args:
        planner: its name.
        architecture: the network to plan.
        fingerprint: the cohort.
        memory_gb: how much memory training may take.

    Raises:
        InputError: the budget holds no patch, or the scans have too few voxels.
    """
    if not 0 < memory_gb < inf:
        raise InputError(f"the memory budget is {memory_gb:g} GB", remedy="Give --memory a number above 0.")
    cases = list(fingerprint.cases.values())
    spacing, finer = target_spacing([c.spacing_mm for c in cases], [c.cropped_shape for c in cases])
    axes = axes_order(spacing)
    shapes = np.median([new_shape(c.cropped_shape, c.spacing_mm, spacing) for c in cases], axis=0)
    ordered: Spacing = (spacing[axes[0]], spacing[axes[1]], spacing[axes[2]])
    median: Size = (float(shapes[axes[0]]), float(shapes[axes[1]]), float(shapes[axes[2]]))
    classes = len(fingerprint.labels)

    def cost(topology: Topology) -> int:
        return conv_outputs(architecture.network(topology), topology.patch, classes)

    topology = fit_patch(ordered, median, cost, architecture.budget, memory_gb, architecture.max_stages)
    left_right = left_right_axis(cases, axes)
    network, held, needed = architecture.network(topology), architecture.budget.held_by(memory_gb), cost(topology)
    batch = fit_batch(held, needed, prod(median) * len(cases), topology.patch, architecture.dataset_share)
    relative_size = fingerprint.median_relative_size
    normalization = tuple(
        _normalization(channel, stats, relative_size)
        for channel, stats in zip(fingerprint.channels, fingerprint.channel_stats, strict=True)
    )
    why = (
        reasons.spacing(ordered, finer),
        reasons.orientation(left_right),
        *([reasons.axes(axes[0])] if axes[0] else []),
        reasons.network(network),
        reasons.patch(topology.patch, median, memory_gb, held, needed),
        reasons.stages(topology),
        reasons.batch(batch, memory_gb, architecture.dataset_share),
        *(
            reasons.normalization(channel, scheme, relative_size)
            for channel, scheme in zip(fingerprint.channels, normalization, strict=True)
        ),
    )
    return Plan(
        planner=planner,
        trainer="default",
        axes=axes,
        spacing_mm=ordered,
        median_shape=(round(median[0]), round(median[1]), round(median[2])),
        patch=topology.patch,
        batch_size=batch[0],
        normalization=normalization,
        network=network,
        left_right=left_right,
        memory_gb=memory_gb,
        fingerprint_hash=fingerprint.dataset_hash,
        reasons=why,
    ).sealed()


def left_right_axis(cases: Sequence[CaseSummary], axes: Int3) -> int | None:
    """Return the plan's axis between the patient's left and right; None where nine in ten scans do not agree on it."""
    (axis, number), *_ = Counter(case.left_right for case in cases).most_common()
    return axes.index(axis) if axis is not None and number >= 0.9 * len(cases) else None


def _normalization(channel: str, stats: ChannelStats, relative_size: float) -> Normalization:
    match channel.casefold():
        case "ct":
            # a constant foreground has no spread to divide by
            spread = max(stats.std, 1e-8)
            return Normalization("ct", stats.mean, spread, stats.percentile_00_5, stats.percentile_99_5)
        case "nonorm":
            return Normalization("none")
        case _:
            return Normalization("zscore_in_mask" if relative_size < MASK_BELOW else "zscore")
