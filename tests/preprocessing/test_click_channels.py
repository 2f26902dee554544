"""Clicks as channels: where they lie, and that none is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny import PLAN

from vmseg_auto.preprocessing.click_channels import Click, plan_positions, with_clicks
from vmseg_auto.preprocessing.transform import preprocess_mask
from vmseg_auto.utils.geometry import Geometry

SPACING = (3.0, 1.0, 1.0)


def test_no_click_is_no_hint() -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)
    found = with_clicks(image, [], SPACING)
    assert found.shape == (3, 3, 8, 8)
    assert found.dtype == np.float32
    assert np.array_equal(found[:1], image)
    assert not found[1:].any()


def test_a_click_is_highest_where_it_lies_in_the_channel_of_its_kind() -> None:
    image = np.zeros((1, 5, 9, 11), np.float32)
    found = with_clicks(image, [Click((1, 2, 3), True), Click((4, 7, 8), False)], SPACING)
    for channel, place in ((1, (1, 2, 3)), (2, (4, 7, 8))):
        assert np.unravel_index(found[channel].argmax(), found[channel].shape) == place
        assert found[channel].max() == 1
    assert found[1, 1, 2, 6] == pytest.approx(found[1, 2, 2, 3])  # three mm either way


def test_mirrored_scans_have_mirrored_clicks() -> None:
    image = np.random.default_rng(1).standard_normal((1, 5, 9, 11), np.float32)
    clicks, mirrored = [Click((1, 2, 3), True)], [Click((1, 2, 7), True)]
    assert np.array_equal(
        with_clicks(image, clicks, SPACING)[..., ::-1], with_clicks(image[..., ::-1], mirrored, SPACING)
    )


@pytest.mark.parametrize("place", [(3, 5, 6), (5, 12, 9)])
@pytest.mark.parametrize("left_right", [None, 2])
def test_a_voxel_comes_to_where_the_masks_voxel_comes_to(place: tuple[int, int, int], left_right: int | None) -> None:
    """Of a scan that is cropped, turned to other axes, mirrored and resampled."""
    plan = replace(PLAN, axes=(0, 2, 1), spacing_mm=(2.0, 0.5, 0.5), left_right=left_right)
    turned = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry((8, 16, 14), (2.0, 1.0, 1.0), direction=turned)
    mask = np.zeros(geometry.shape, np.uint8)
    mask[place] = 1
    box = ((1, 8), (2, 15), (1, 13))
    there = preprocess_mask(mask, geometry, box, plan)
    shape = there.shape[0], there.shape[1], there.shape[2]
    lines = plan_positions(geometry, box, plan, shape)
    expected = np.argwhere(there).mean(axis=0)
    assert [lines[axis][place[axis]] for axis in plan.axes] == pytest.approx(expected, abs=0.26)
