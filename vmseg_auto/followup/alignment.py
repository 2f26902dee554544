"""Two scans of one patient laid over each other, and whether that can be relied on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.followup.records import Alignment
from vmseg_auto.followup.registration import find_transform
from vmseg_auto.followup.rigid import RigidTransform, local_ncc, placed, resample
from vmseg_auto.utils.geometry import Geometry

Image = NDArray[np.float32]


def align_scans(
    fixed: Image, fixed_grid: Geometry, moving: Image, moving_grid: Geometry, least_ncc: float = Alignment.LEAST_NCC
) -> Alignment:
    """Bring the second scan onto the first, and judge whether that can be relied on.

    The second scan is also tried with its left and right exchanged, in which no patient lies.

    Args:
        fixed, moving: the first and the second scan (Z, Y, X).
        fixed_grid, moving_grid: their grids.
        least_ncc: the local NCC that they have to reach.
    """
    mirror = np.ascontiguousarray(np.flip(moving, moving_grid.patient_axes.index(0)))
    _, _, mirrored = _laid_over(fixed, fixed_grid, mirror, moving_grid)
    transform, moved, alike = _laid_over(fixed, fixed_grid, moving, moving_grid)
    if transform is None:
        return Alignment.judged(None, 0.0, 0.0, 0.0, mirrored, least_ncc)
    back = resample(np.ones(fixed.shape, np.float32), fixed_grid, moving_grid, transform.inverse, 0.0)
    overlap = max(float(np.isfinite(moved).mean()), float((back > 0.5).mean()))
    middle = (np.array(fixed_grid.shape)[None] - 1) / 2
    start, end = (placed(middle, fixed_grid, how)[0] for how in (RigidTransform(), transform))
    shift = float(np.linalg.norm(end - start))
    return Alignment.judged(transform, shift, overlap, alike, mirrored, least_ncc)


def _laid_over(
    fixed: Image, fixed_grid: Geometry, moving: Image, moving_grid: Geometry
) -> tuple[RigidTransform | None, Image, float]:
    """Return the patient's movement, the second scan on the first one's grid (NaN outside), and their local NCC."""
    transform = find_transform(fixed, fixed_grid, moving, moving_grid)
    if transform is None:
        return None, np.full_like(fixed, np.nan), 0.0
    moved = resample(moving, moving_grid, fixed_grid, transform, float("nan"))
    return transform, moved, local_ncc(fixed, moved, fixed_grid.spacing_mm)
