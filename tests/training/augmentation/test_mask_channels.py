"""Masks of a first stage are changed as nnU-Net changes them: within bounds, and by the seed alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.training.augmentation import mask_channels
from vmseg_auto.training.augmentation.cpu import PatchAugmentation, read_shape
from vmseg_auto.training.augmentation.mask_channels import changed_masks

BOX = (slice(8, 16), slice(8, 16), slice(8, 16))


def two_labels() -> NDArray[np.bool_]:
    masks = np.zeros((2, 24, 24, 24), dtype=bool)
    masks[(0, *BOX)] = True
    masks[1, 2:5, 2:5, 2:5] = masks[1, 18:20, 18:20, 18:20] = True
    return masks


def test_masks_are_changed_as_often_as_they_should_be() -> None:
    """Half the labels of 40 % of the samples are morphed, half of those of 20 % lose a component."""
    given = two_labels()
    before = given.copy()
    changes = [changed_masks(given, np.random.default_rng(seed)) != given for seed in range(300)]
    assert np.array_equal(given, before)
    share = np.mean([change[0].any() for change in changes])
    assert 0.12 < share < 0.35
    again = changed_masks(given, np.random.default_rng(7)) != given
    assert np.array_equal(again, changes[7])


def test_labels_never_overlap_and_grow_by_a_ball() -> None:
    given = two_labels()
    given[1, 8:16, 8:16, 17:20] = True
    reach = ndimage.distance_transform_edt(~given[0])
    for seed in range(200):
        changed = changed_masks(given, np.random.default_rng(seed))
        assert not (changed[0] & changed[1]).any()
        assert reach[changed[0]].max(initial=0) <= mask_channels.RADIUS[1]


def test_only_components_that_are_small_are_removed() -> None:
    given = two_labels()
    given[0, :12] = True  # half the patch
    lost = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        mask = given[1].copy()
        mask_channels._remove_component(mask, rng)
        lost.add(int(given[1].sum() - mask.sum()))
        whole = given[0].copy()
        mask_channels._remove_component(whole, rng)
        assert np.array_equal(whole, given[0])
    assert lost == {27, 8}


def test_masks_move_with_the_label_and_intensities_leave_them_alone() -> None:
    patch, found = (10, 12, 14), 0
    shape = read_shape(patch)
    label = np.zeros(shape, dtype=np.uint8)
    label[tuple(slice(n // 2 - 2, n // 2 + 3) for n in shape)] = 1
    rng = np.random.default_rng(0)
    image = np.stack([rng.normal(size=shape), label, label == 2]).astype(np.float32)
    for seed in range(60):
        out, there = PatchAugmentation(patch, (0, 1, 2), masks=2)((image, label), seed)
        assert out.shape == (3, *patch)
        assert out.flags.c_contiguous
        assert set(np.unique(out[1:])) <= {0.0, 1.0}
        assert not out[2].any()
        found += np.array_equal(out[1], there)
    assert 30 < found < 60, "many are as they were, and some are changed"
