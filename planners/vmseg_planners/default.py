"""The default planner: a plain U-Net at full resolution, planned rule by rule as nnU-Net 2.8.1 does."""

from __future__ import annotations

from math import inf, prod

import numpy as np

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.fingerprint import ChannelStats, Fingerprint
from vmseg_auto.core.geometry import Shape, Spacing
from vmseg_auto.core.plan import NetworkSpec, Normalization, Plan
from vmseg_auto.ops.memory import conv_outputs
from vmseg_auto.ops.resample import new_shape

from .topology import (
    MIN_EDGE,
    Size,
    Topology,
    axes_order,
    fit_batch,
    fit_patch,
    memory_budget,
    target_spacing,
)

REFERENCE = 560e6
"""Conv outputs of one patch that 8 GB hold for a batch of 2; nnU-Net's figure for its plain 3D U-Net."""
FIRST_FEATURES = 32
MAX_FEATURES = 320
CONVS_PER_STAGE = 2
MASK_BELOW = 0.75
"""Where less than this share of the voxels is left after cropping, z-scores look at the non-zero region only."""


class DefaultPlanner:
    """Plan a plain U-Net as nnU-Net 2.8.1's ExperimentPlanner does for its 3d_fullres configuration."""

    name = "default"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; it depends on nothing but the arguments.

        Args:
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
            return conv_outputs(_network(topology), topology.patch, classes)

        topology = fit_patch(ordered, median, cost, REFERENCE, memory_gb)
        budget, needed = memory_budget(REFERENCE, memory_gb), cost(topology)
        batch = fit_batch(budget, needed, prod(median) * len(cases), topology.patch)
        normalization = tuple(
            _normalization(channel, stats, fingerprint.median_relative_size)
            for channel, stats in zip(fingerprint.channels, fingerprint.channel_stats, strict=True)
        )
        reasons = (
            _spacing_reason(ordered, finer),
            *([_axes_reason(axes[0])] if axes[0] else []),
            _patch_reason(topology.patch, median, memory_gb, budget, needed),
            _stages_reason(topology),
            _batch_reason(batch, memory_gb),
            *(
                _normalization_reason(channel, scheme, fingerprint.median_relative_size)
                for channel, scheme in zip(fingerprint.channels, normalization, strict=True)
            ),
        )
        return Plan(
            planner=self.name,
            trainer="default",
            axes=axes,
            spacing_mm=ordered,
            median_shape=(round(median[0]), round(median[1]), round(median[2])),
            patch=topology.patch,
            batch_size=batch[0],
            normalization=normalization,
            network=_network(topology),
            memory_gb=memory_gb,
            fingerprint_hash=fingerprint.dataset_hash,
            reasons=reasons,
        ).sealed()


def _network(topology: Topology) -> NetworkSpec:
    return NetworkSpec(
        builder="plain_unet",
        features=tuple(min(MAX_FEATURES, FIRST_FEATURES * 2**stage) for stage in range(topology.stages)),
        strides=topology.strides,
        kernels=topology.kernels,
        blocks=(CONVS_PER_STAGE,) * topology.stages,
        decoder_blocks=(CONVS_PER_STAGE,) * (topology.stages - 1),
    )


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


def _spacing_reason(spacing: Spacing, finer: bool) -> str:
    shown = " x ".join(f"{edge:.4g}" for edge in spacing)
    if not finer:
        return f"spacing {shown} mm: the cohort's median along each axis"
    return (
        f"spacing {shown} mm: the cohort's median in-plane; across the slices, which are more than 3 times as thick "
        "and fewer than a third as many, the finest tenth of the scans decides, so that their detail is kept"
    )


def _axes_reason(first: int) -> str:
    return f"axes: the scans' {'zyx'[first]} axis has the longest voxels, so it comes first in all these numbers"


def _patch_reason(patch: Shape, median: Size, memory_gb: float, budget: float, needed: int) -> str:
    text = f"patch {_times(patch)}: median shape {_times(median)}; {memory_gb:g} GB allow {budget / 1e6:.4g} million "
    text += f"values in the network's layers, and this patch makes {needed / 1e6:.4g} million"
    if all(n >= whole for n, whole in zip(patch, median, strict=True)):
        return f"{text}; it holds a whole median scan"
    return text


def _stages_reason(topology: Topology) -> str:
    z, y, x = (divisor.bit_length() - 1 for divisor in topology.divisors)
    smallest = _times(tuple(n // d for n, d in zip(topology.patch, topology.divisors, strict=True)))
    flat = topology.kernels.count((1, 3, 3))
    text = (
        f"{topology.stages} stages: axes are halved while they keep {MIN_EDGE} voxels, the finest first and the others "
        f"once voxels differ less than twofold: {z}, {y} and {x} times, to {smallest} voxels at the bottom"
    )
    if flat:
        text += (
            f"; kernels are 1x3x3 in the first {'stage' if flat == 1 else f'{flat} stages'}, so slices do not mix there"
        )
    return text


def _batch_reason(batch: tuple[int, int, int], memory_gb: float) -> str:
    chosen, by_memory, by_dataset = batch
    text = (
        f"batch {chosen}: {memory_gb:g} GB hold {by_memory} such patches, 5 % of the cohort's voxels fill {by_dataset}"
    )
    return f"{text}, and 2 is the least" if chosen > min(by_memory, by_dataset) else text


def _normalization_reason(channel: str, normalization: Normalization, relative_size: float) -> str:
    n = normalization
    match n.scheme:
        case "ct":
            how = (
                f"clipped to {n.lower:.4g} to {n.upper:.4g}, then (x - {n.mean:.4g}) / {n.std:.4g}: CT units are fixed"
            )
        case "none":
            how = "left as it is, as its name asks"
        case "zscore":
            how = "each scan's mean becomes 0 and its standard deviation 1, as MRI has no fixed units"
        case "zscore_in_mask":
            how = (
                "each scan's mean becomes 0 and its standard deviation 1 within the non-zero region, "
                f"as only {100 * relative_size:.3g} % of the voxels are in its box"
            )
    return f"intensities of {channel}: {how}"


def _times(values: tuple[float, ...]) -> str:
    return "x".join(f"{value:g}" for value in values)
