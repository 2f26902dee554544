"""Masks of a cascade's first stage as channels."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import tiny_plan

from vmseg_auto.preprocessing.mask_channels import with_masks
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((1, 2, 2), (1.0, 1.0, 1.0))
WHOLE = ((0, 1), (0, 2), (0, 2))


@pytest.mark.parametrize(
    ("regions", "classes", "channels"),
    [((), 3, 2), (((1, 2, 3), (2, 3)), 3, 3), (((1, 2),), 2, 2)],
)
def test_there_is_one_for_each_value_of_masks_also_where_labels_are_regions(
    regions: tuple[tuple[int, ...], ...], classes: int, channels: int
) -> None:
    plan = tiny_plan(first_stage="lowres", regions=regions)
    mask = np.arange(4, dtype=np.uint8).reshape(GRID.shape) % (channels + 1)
    image = np.zeros((1, *GRID.shape), np.float32)
    found = with_masks(image, mask, GRID, WHOLE, plan, classes)
    assert len(found) == 1 + plan.mask_channels(classes) == 1 + channels
    for value in range(1, channels + 1):
        assert np.array_equal(found[value], mask == value)
