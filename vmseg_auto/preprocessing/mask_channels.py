"""Masks of a cascade's first stage as channels of the image that its second stage is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.planning.plan import Plan
from vmseg_auto.preprocessing.transform import preprocess_mask
from vmseg_auto.utils.geometry import Box, Geometry


def with_masks(
    image: NDArray[np.float32], mask: NDArray[np.uint8], geometry: Geometry, crop_box: Box, plan: Plan, classes: int
) -> NDArray[np.float32]:
    """Return an image [C + M, Z, Y, X]: the preprocessed one, and a mask of ones and zeros for each value.

    Args:
        image: [C, Z, Y, X] as `preprocess_image` gave it.
        mask: label values on the scan's own grid.
        geometry: that grid.
        crop_box: what was kept of it.
        plan: of the second stage.
        classes: labels, background included.
    """
    resampled = preprocess_mask(mask, geometry, crop_box, plan)
    return np.concatenate(
        [image, *((resampled == value)[None] for value in plan.mask_values(classes))], dtype=np.float32
    )
