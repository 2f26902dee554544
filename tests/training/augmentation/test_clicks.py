"""Simulated clicks lie where a reader's would, whatever the mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.training.augmentation.clicks import MOST, NEAR_MM, WithClicks, simulated_clicks
from vmseg_auto.training.augmentation.cpu import NoAugmentation
from vmseg_auto.utils.label_masks import IGNORE

SPACING = (4.0, 1.0, 1.5)
SHAPE = (4, 12, 40)


def _label(seed: int, share: float) -> NDArray[np.uint8]:
    """Random voxels of lesion, and some that nobody has annotated."""
    drawn = np.random.default_rng(seed).random(SHAPE)
    return np.where(drawn < share, 1, np.where(drawn > 0.95, IGNORE, 0)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(seed=some.integers(0, 2**20), share=some.sampled_from([0.0, 0.001, 0.05, 0.6]))
def test_clicks_on_lesion_are_on_lesion_and_others_beside_it(seed: int, share: float) -> None:
    label = _label(seed, share)
    clicks = simulated_clicks(label, SPACING, np.random.default_rng(seed))
    assert len(clicks) <= MOST
    lesion = label == 1
    away = ndimage.distance_transform_edt(~lesion, SPACING) if lesion.any() else np.zeros(SHAPE)
    for place, foreground in clicks:
        assert label[place] == int(foreground)
        assert away[place] <= NEAR_MM


def test_half_of_the_patches_have_none_and_the_others_both_kinds() -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 4:8, 10:20] = 1
    drawn = [simulated_clicks(label, SPACING, np.random.default_rng(seed)) for seed in range(400)]
    assert 160 < sum(not clicks for clicks in drawn) < 240
    kinds = [click.foreground for clicks in drawn for click in clicks]
    assert 0.6 < np.mean(kinds) < 0.8


def test_each_lesion_is_clicked_as_often_as_any_other() -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[0, 2, 2] = 1
    label[1:4, 4:12, 10:40] = 1
    drawn = [simulated_clicks(label, SPACING, np.random.default_rng(seed)) for seed in range(300)]
    small = [click.place == (0, 2, 2) for clicks in drawn for click in clicks if click.foreground]
    assert 0.4 < np.mean(small) < 0.6


def test_a_patch_gets_two_channels_and_the_same_for_the_same_seed() -> None:
    label = _label(3, 0.05)
    patch = np.random.default_rng(0).standard_normal((2, *SHAPE), np.float32), label
    added, none = WithClicks(NoAugmentation(), SPACING), WithClicks(NoAugmentation(), SPACING, simulated=False)
    seeds = range(12)
    images = [added(patch, seed)[0] for seed in seeds]
    assert all(image.shape == (4, *SHAPE) for image in images)
    assert all(np.array_equal(image[:2], patch[0]) for image in images)
    assert {bool(image[2:].any()) for image in images} == {True, False}
    assert all(np.array_equal(image, added(patch, seed)[0]) for image, seed in zip(images, seeds, strict=True))
    assert not any(none(patch, seed)[0][2:].any() for seed in seeds)
