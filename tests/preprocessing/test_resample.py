"""The separable resampling is the one that nnU-Net does with skimage and scipy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from batchgenerators.augmentations.utils import resize_segmentation
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from vmseg_auto.preprocessing.resample import coarse_axis, new_shape, resample_image, resample_logits, resample_mask
from vmseg_auto.utils.geometry import Shape, Spacing


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def reference(volume: NDArray[np.float32], shape: Shape, order: int, axis: int | None) -> NDArray[np.float64]:
    """nnU-Net 2's resample_data_or_seg for one channel, slice by slice (Isensee et al., Apache-2.0 licence)."""
    data = volume.astype(float)
    if axis is None:
        return np.asarray(resize(data, shape, order, mode="edge", anti_aliasing=False))
    flat = tuple(n for a, n in enumerate(shape) if a != axis)
    slices = [resize(s, flat, order, mode="edge", anti_aliasing=False) for s in np.moveaxis(data, axis, 0)]
    stacked = np.stack(slices, axis)
    steps = [old / new * (np.arange(new) + 0.5) - 0.5 for old, new in zip(stacked.shape, shape, strict=True)]
    return np.asarray(map_coordinates(stacked, np.meshgrid(*steps, indexing="ij"), order=0, mode="nearest"))


@pytest.mark.parametrize(
    ("shape", "spacing", "target", "wanted"),
    [
        ((10, 20, 30), (1, 1, 1), (1, 1, 1), (10, 20, 30)),
        ((10, 20, 30), (1, 2, 3), (2, 2, 2), (5, 20, 45)),
        ((11, 21, 3), (1, 1, 1), (2, 2, 2), (6, 10, 2)),
        ((1, 2, 3), (0.1, 0.1, 0.1), (5, 5, 5), (1, 1, 1)),
    ],
)
def test_new_shapes(shape: Shape, spacing: Spacing, target: Spacing, wanted: Shape) -> None:
    assert new_shape(shape, spacing, target) == wanted


@pytest.mark.parametrize(
    ("current", "target", "axis"),
    [
        ((1, 1, 1), (2, 2, 2), None),
        ((3, 1, 1), (1, 1, 1), None),
        ((3.01, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 3.5, 1), 1),
        ((1, 1, 5), (5, 1, 1), 2),
        ((0.24, 1.25, 1.25), (5, 1, 1), None),
        ((1, 1, 1), (4, 4, 1), None),
    ],
)
def test_the_coarse_axis_is_nnunets(current: Spacing, target: Spacing, axis: int | None) -> None:
    assert coarse_axis(current, target) == axis


GRIDS: list[tuple[Shape, Spacing, Spacing]] = [
    ((12, 15, 18), (1.0, 1.0, 1.0), (0.7, 0.8, 1.3)),
    ((70, 66, 9), (1.0, 0.9, 1.1), (0.5, 1.7, 1.1)),
    ((8, 22, 20), (5.0, 0.7, 0.7), (3.0, 1.0, 0.5)),
    ((8, 22, 20), (3.0, 0.7, 0.7), (5.0, 1.0, 0.5)),
    ((22, 8, 20), (0.7, 5.0, 0.7), (1.0, 3.0, 0.5)),
    ((22, 20, 8), (0.7, 0.7, 5.0), (0.9, 0.9, 5.0)),
    ((22, 20, 8), (1.0, 1.0, 1.0), (0.9, 0.9, 4.0)),
    ((1, 9, 10), (1.0, 1.0, 1.0), (0.5, 0.6, 1.4)),
]


@pytest.mark.parametrize(("shape", "spacing", "target"), GRIDS)
def test_images_are_resampled_as_nnunet_does(shape: Shape, spacing: Spacing, target: Spacing) -> None:
    image = noise((2, *shape))
    wanted = new_shape(shape, spacing, target)
    found = resample_image(image, spacing, target)
    assert found.dtype == np.float32
    assert found.shape == (2, *wanted)
    for channel, result in zip(image, found, strict=True):
        expected = reference(channel, wanted, 3, coarse_axis(spacing, target))
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize(("shape", "spacing", "target"), GRIDS)
def test_logits_are_resampled_as_nnunet_does(shape: Shape, spacing: Spacing, target: Spacing) -> None:
    logits = noise((3, *shape))
    wanted = new_shape(shape, spacing, target)
    found = resample_logits(logits, spacing, target, wanted)
    for channel, result in zip(logits, found, strict=True):
        expected = reference(channel, wanted, 1, coarse_axis(spacing, target))
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize(("shape", "spacing", "target"), GRIDS)
def test_masks_are_the_argmax_label_after_linear_resampling(shape: Shape, spacing: Spacing, target: Spacing) -> None:
    mask = (3 * np.random.default_rng(1).random(shape) ** 2).astype(np.uint8)
    wanted = new_shape(shape, spacing, target)
    axis = coarse_axis(spacing, target)
    shares = np.stack([reference((mask == v).astype(np.float32), wanted, 1, axis) for v in range(3)])
    found = resample_mask(mask, spacing, target)
    second, first = np.sort(shares, axis=0)[1:]
    clear = first - second > 1e-5
    np.testing.assert_array_equal(found[clear], shares.argmax(axis=0)[clear])
    assert clear.mean() > 0.8
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "target"),
    [((4, 6, 8), (2.0, 2.0, 2.0)), ((5, 96, 96), (1.0, 0.96, 0.96)), ((6, 50, 30), (0.96, 0.8, 1.2))],
)
@pytest.mark.parametrize("labels", [2, 4])
def test_ties_between_labels_go_to_the_nearest_voxels(shape: Shape, target: Spacing, labels: int) -> None:
    """Every voxel as nnU-Net resamples it, by halving and where each so many-th voxel lies halfway between two."""
    blocks = np.random.default_rng(0).integers(0, labels, shape).astype(np.uint8)
    wanted = new_shape(shape, (1.0, 1.0, 1.0), target)
    found = resample_mask(blocks, (1.0, 1.0, 1.0), target)
    np.testing.assert_array_equal(found, resize_segmentation(blocks, wanted, 1))


def test_of_equal_shares_the_nearest_voxel_decides() -> None:
    """Halfway between two voxels the second counts as the nearest, as scipy rounds."""
    mask = np.array([0, 2, 1, 1, 2, 1], dtype=np.uint8).reshape(1, 1, 6)
    np.testing.assert_array_equal(resample_mask(mask, (1, 1, 1), (1, 1, 2)).ravel(), [2, 1, 1])


def test_slices_are_picked_bit_by_bit_as_map_coordinates_does() -> None:
    for old, new in product(range(1, 33), range(1, 65)):
        line = np.arange(old, dtype=np.float32)
        at = old / new * (np.arange(new) + 0.5) - 0.5
        expected = map_coordinates(line, [at], order=0, mode="nearest")
        volume = np.repeat(np.repeat(line[:, None, None], 2, 1), 2, 2)
        found = resample_logits(volume[None], (8, 1, 1), (8 * old / new, 1, 1), (new, 2, 2))[0, :, 0, 0]
        np.testing.assert_array_equal(found, expected)


def test_overshoot_is_clipped_to_each_slices_range() -> None:
    image = np.zeros((1, 2, 16, 16), dtype=np.float32)
    image[0, 0, 4:12, 4:12] = 1
    image[0, 1, 4:12, 4:12] = 100
    found = resample_image(image, (5, 1, 1), (5, 0.6, 0.6))[0]
    assert (found[0].min(), found[0].max()) == (0, 1)
    assert (found[1].min(), found[1].max()) == (0, 100)
