"""The cohort on a grid: at full resolution, and at a lower one at which a patch sees enough of a scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from vmseg_auto.planning.fingerprint import CaseSummary
from vmseg_auto.planning.network import Int3
from vmseg_auto.preprocessing.resample import new_shape
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Spacing

from .topology import AXES, Size, Topology, axes_order, target_spacing

PATCH_SHARE = 0.25
"""Of a median scan's voxels: where a patch holds less at full resolution, there is a lower one, at which it does."""
COARSER = 1.03
"""Factor by which spacing grows in a step of the search for it."""
LEAST_FACTOR = 2
"""How many times fewer voxels a scan must have at the lower resolution."""


@dataclass(frozen=True)
class Grid:
    """The cohort at a spacing.

    Args:
        axes: order in which the scans' axes are taken; the numbers below are in this order.
        spacing: in mm.
        median: the cohort's median shape, in voxels.
        voxels: of a median scan; `median` may be rounded.
    """

    axes: Int3
    spacing: Spacing
    median: Size
    voxels: float


def full_resolution(cases: Sequence[CaseSummary]) -> tuple[Grid, bool]:
    """Return the cohort at its target spacing, and whether one axis left its median there; see `target_spacing`."""
    spacing, finer = target_spacing([c.spacing_mm for c in cases], [c.cropped_shape for c in cases])
    axes = axes_order(spacing)
    shapes = np.median([new_shape(c.cropped_shape, c.spacing_mm, spacing) for c in cases], axis=0)
    z, y, x = (spacing[axis] for axis in axes)
    median = float(shapes[axes[0]]), float(shapes[axes[1]]), float(shapes[axes[2]])
    return Grid(axes, (z, y, x), median, prod(median)), finer


def lower_resolution(full: Grid, fit: Callable[[Grid], Topology]) -> tuple[Grid, Topology]:
    """Return the finest grid on which a patch holds a quarter of a median scan, with its topology, as nnU-Net does.

    Spacing grows in steps of 3 %: of the axes that are more than twice as fine as the coarsest, else of all.

    Args:
        full: the cohort at full resolution.
        fit: chooses patch and strides for a grid.

    Raises:
        InputError: nnU-Net plans no low resolution for such a cohort.
    """
    grid, topology = full, fit(full)
    share = prod(topology.patch) / full.voxels
    if share >= PATCH_SHARE:
        raise _not_needed(
            f"a patch at full resolution holds {100 * share:.3g} % of a median scan, and {100 * PATCH_SHARE:g} % is "
            "enough"
        )
    while prod(topology.patch) < PATCH_SHARE * grid.voxels:
        grid = _coarser(grid, full)
        topology = fit(grid)
    factor = full.voxels / grid.voxels
    if factor < LEAST_FACTOR:
        raise _not_needed(
            f"where a patch holds {100 * PATCH_SHARE:g} % of a median scan, the scan has only {factor:.3g} times fewer "
            f"voxels than at full resolution, and {LEAST_FACTOR} times would be worth it"
        )
    return grid, topology


def _coarser(grid: Grid, full: Grid) -> Grid:
    coarsest = max(grid.spacing)
    fine = [axis for axis in AXES if coarsest / grid.spacing[axis] > 2] or AXES
    z, y, x = (edge * COARSER if axis in fine else edge for axis, edge in enumerate(grid.spacing))
    sizes = [edge / new * n for n, edge, new in zip(full.median, full.spacing, (z, y, x), strict=True)]
    median = float(max(1, round(sizes[0]))), float(max(1, round(sizes[1]))), float(max(1, round(sizes[2])))
    return Grid(full.axes, (z, y, x), median, prod(sizes))


def _not_needed(why: str) -> InputError:
    return InputError(
        f"this cohort needs no low resolution: {why}",
        remedy="Use `--planner default`, which sees scans at full resolution.",
    )
