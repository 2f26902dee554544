"""From a cohort and a memory budget to a plan, rule by rule as nnU-Net 2.8.1 plans its configurations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from vmseg_auto.planning.fingerprint import AGREED, ChannelStats, Fingerprint
from vmseg_auto.planning.memory import conv_outputs
from vmseg_auto.planning.network import Int3, NetworkSpec
from vmseg_auto.planning.plan import Normalization, Plan
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import picked

from . import reasons
from .grids import Grid, full_resolution, lower_resolution
from .topology import APART, Budget, Topology, fit_batch, fit_patch

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
        by_slice: whether it is a 2-D network, whose patch is a slice and whose kernels are 1 across slices.
        low_resolution: whether scans are seen at a spacing at which a patch holds a quarter of one.
    """

    builder: str
    blocks: tuple[int, ...]
    decoder_blocks: int
    budget: Budget
    dataset_share: float
    max_features: int = 320
    max_stages: int = 10
    arguments: dict[str, Any] = field(default_factory=dict)
    by_slice: bool = False
    low_resolution: bool = False

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

    def cost(self, topology: Topology, classes: int) -> int:
        """Count the conv outputs of a patch."""
        return conv_outputs(self.network(topology), topology.patch, classes)

    def topology(self, grid: Grid, classes: int, memory_gb: float) -> Topology:
        """Choose patch and strides for the cohort on a grid; errors as of `fit_patch`."""
        spacing = (APART, *grid.spacing[1:]) if self.by_slice else grid.spacing
        return fit_patch(
            spacing, grid.median, lambda tried: self.cost(tried, classes), self.budget, memory_gb, self.max_stages
        )


def plan_cohort(planner: str, architecture: Architecture, fingerprint: Fingerprint, memory_gb: float) -> Plan:
    """Make the plan; it depends on nothing but the arguments.

    Args:
        planner: its name.
        architecture: the network to plan.
        fingerprint: the cohort.
        memory_gb: how much memory training may take.

    Raises:
        InputError: the budget holds no patch, the scans have too few voxels, or no low resolution is needed.
    """
    if not 0 < memory_gb < inf:
        raise InputError(f"the memory budget is {memory_gb:g} GB", remedy="Give --memory a number above 0.")
    cases, classes = list(fingerprint.turned_cases.values()), len(fingerprint.labels)

    def fit(grid: Grid) -> Topology:
        return architecture.topology(grid, classes, memory_gb)

    full, finer = full_resolution(cases)
    grid, topology = lower_resolution(full, fit) if architecture.low_resolution else (full, fit(full))
    orientation = agreed_orientation(fingerprint, grid.axes)
    network = architecture.network(topology)
    held, needed = architecture.budget.held_by(memory_gb), architecture.cost(topology, classes)
    batch = fit_batch(held, needed, grid.voxels * len(cases), topology.patch, architecture.dataset_share)
    relative_size = fingerprint.median_relative_size
    normalization = tuple(
        _normalization(channel, stats, relative_size)
        for channel, stats in zip(fingerprint.channels, fingerprint.channel_stats, strict=True)
    )
    why = (
        _spacing_reason(architecture, grid, full, finer),
        reasons.orientation(*orientation),
        *([reasons.axes(grid.axes[0])] if grid.axes[0] else []),
        reasons.network(network),
        reasons.patch(topology.patch, grid.median, memory_gb, held, needed),
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
        axes=grid.axes,
        spacing_mm=grid.spacing,
        median_shape=(round(grid.median[0]), round(grid.median[1]), round(grid.median[2])),
        patch=topology.patch,
        batch_size=batch[0],
        normalization=normalization,
        network=network,
        left_right=orientation.left_right,
        patient_axes=orientation.patient_axes,
        memory_gb=memory_gb,
        fingerprint_hash=fingerprint.dataset_hash,
        reasons=why,
    ).sealed()


def _spacing_reason(architecture: Architecture, grid: Grid, full: Grid, finer: bool) -> str:
    if architecture.by_slice:
        return reasons.spacing_in_slices(grid.spacing)
    if architecture.low_resolution:
        return reasons.lower_spacing(grid.spacing, full.spacing)
    return reasons.spacing(grid.spacing, finer)


class Orientation(NamedTuple):
    """What nine in ten scans agree on: the plan's axis between left and right, and the patient's axis of each."""

    left_right: int | None
    patient_axes: Int3 | None


def agreed_orientation(fingerprint: Fingerprint, axes: Int3) -> Orientation:
    """Return what nine in ten scans agree on, along the plan's axes; None each where they do not."""
    if fingerprint.patient_axes is not None:
        ordered = picked(fingerprint.patient_axes, axes)
        return Orientation(ordered.index(0), ordered)
    ((axis, number),) = Counter(case.patient_axes.index(0) for case in fingerprint.cases.values()).most_common(1)
    return Orientation(axes.index(axis) if number >= AGREED * len(fingerprint.cases) else None, None)


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
