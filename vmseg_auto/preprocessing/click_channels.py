"""A reader's clicks as two channels of the image that a network is given: on what is lesion, and on what is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.geometry import Box, Geometry, Shape, Spacing

SIGMA_MM = 4.0
"""Of the Gaussian around a click: a few voxels within a slice, and the neighbouring slices a little."""

MOST_CLICKS = 200
"""On one scan."""


class Click(NamedTuple):
    """A point that a reader has clicked.

    Args:
        place: (Z, Y, X) of a voxel.
        foreground: whether there is lesion.
    """

    place: tuple[int, int, int]
    foreground: bool


def with_clicks(image: NDArray[np.float32], clicks: Sequence[Click], spacing: Spacing) -> NDArray[np.float32]:
    """Return an image [C + 2, Z, Y, X]: a Gaussian, 1 at its middle, around clicks on lesion, and around the others.

    Where Gaussians meet, the greater counts. Without clicks both channels are 0. Sakinis et al. (2019,
    arXiv:1903.08205) and DeepEdit (Diaz-Pinto et al., 2023, arXiv:2305.10655) give clicks to networks in this way.

    Args:
        image: [C, Z, Y, X].
        clicks: on the image's grid; they may lie beyond it.
        spacing: mm along (Z, Y, X).

    Example:
        >>> with_clicks(np.zeros((1, 1, 1, 3), np.float32), [Click((0, 0, 1), True)], (1.0, 1.0, 4.0))[1].round(2)
        array([[[0.61, 1.  , 0.61]]], dtype=float32)
    """
    hints = np.zeros((2, *image.shape[1:]), dtype=np.float32)
    for place, foreground in clicks:
        z, y, x = (
            np.exp(-0.5 * ((np.arange(n, dtype=np.float32) - at) * mm / SIGMA_MM) ** 2)
            for n, at, mm in zip(image.shape[1:], place, spacing, strict=True)
        )
        hint = hints[0 if foreground else 1]
        np.maximum(hint, z[:, None, None] * y[:, None] * x, out=hint)
    return np.concatenate([image, hints], dtype=np.float32)


def plan_positions(geometry: Geometry, crop_box: Box, plan: Plan, shape: Shape) -> list[NDArray[np.float64]]:
    """Return, for each axis (Z, Y, X) of a scan, where its voxels lie along the axis of the plan that it became.

    Args:
        geometry: the scan's grid.
        crop_box: what `preprocess_image` kept of it.
        plan: whose axes and directions are taken.
        shape: of the preprocessed image, in the plan's axes.
    """
    positions, axes = [], plan.axes_of(geometry)
    for axis, (low, high) in enumerate(crop_box):
        voxels = np.arange(geometry.shape[axis], dtype=float) - low
        if plan.left_right is not None and axis in geometry.reversed_axes:
            voxels = high - low - 1 - voxels
        positions.append((voxels + 0.5) * shape[axes.index(axis)] / (high - low) - 0.5)
    return positions
