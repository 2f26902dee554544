"""What must hold for every grid."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import hypothesis.extra.numpy as nps
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.transform import resize
from tiny import PLAN

from vmseg_auto.preprocessing.resample import new_shape, resample_image, resample_logits, resample_mask
from vmseg_auto.preprocessing.transform import preprocess_image, preprocess_mask, restore_labels, restore_logits
from vmseg_auto.utils.geometry import Geometry, Shape, Spacing

MM = st.floats(0.3, 6)
SPACINGS = st.tuples(MM, MM, MM)
SHAPES = st.tuples(*[st.integers(1, 14)] * 3)
SIMILAR = st.tuples(*[st.floats(0.6, 1.7)] * 3)


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(shape=SHAPES, spacing=SPACINGS, seed=st.integers(0, 99))
def test_the_same_spacing_changes_nothing(shape: Shape, spacing: Spacing, seed: int) -> None:
    image = noise((2, *shape), seed)
    np.testing.assert_array_equal(resample_image(image, spacing, spacing), image)
    np.testing.assert_array_equal(resample_logits(image, spacing, spacing, shape), image)
    mask = (image[0] > 0).astype(np.uint8)
    np.testing.assert_array_equal(resample_mask(mask, spacing, spacing), mask)


@given(shape=SHAPES, spacing=SPACINGS, target=SPACINGS, seed=st.integers(0, 99))
def test_shapes_and_ranges(shape: Shape, spacing: Spacing, target: Spacing, seed: int) -> None:
    image = noise((1, *shape), seed)
    wanted = new_shape(shape, spacing, target)
    for n, old, new, found in zip(shape, spacing, target, wanted, strict=True):
        assert abs(found * new - n * old) <= new / 2 * (1 + 1e-9) or found == 1
    for found_image in (resample_image(image, spacing, target), resample_logits(image, spacing, target, wanted)):
        assert found_image.shape == (1, *wanted)
        assert found_image.min() >= image.min() - 1e-5
        assert found_image.max() <= image.max() + 1e-5
    mask = (2 * np.abs(image[0])).astype(np.uint8)
    resampled = resample_mask(mask, spacing, target)
    assert resampled.shape == wanted
    assert set(np.unique(resampled)) <= set(np.unique(mask))


@settings(max_examples=50)
@given(shape=SHAPES, spacing=SIMILAR, target=SIMILAR, order=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_separable_is_three_dimensional(shape: Shape, spacing: Spacing, target: Spacing, order: int, seed: int) -> None:
    image = noise((1, *shape), seed)
    wanted = new_shape(shape, spacing, target)
    resampled = (
        resample_image(image, spacing, target) if order == 3 else resample_logits(image, spacing, target, wanted)
    )
    expected = resize(image[0].astype(float), wanted, order, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(resampled[0], expected, atol=1e-4 * np.abs(image).max())


@given(
    mask=nps.arrays(np.uint8, SHAPES, elements=st.integers(0, 3)),
    spacing=SPACINGS,
    axes=st.sampled_from(list(permutations(range(3)))),
    data=st.data(),
)
def test_a_mask_comes_back_from_its_own_spacing(
    mask: NDArray[np.uint8], spacing: Spacing, axes: tuple[int, int, int], data: st.DataObject
) -> None:
    """One-hot logits of the preprocessed mask, restored, are the mask within the crop and background beyond."""
    z, y, x = mask.shape
    geometry = Geometry((z, y, x), spacing)
    image = np.zeros((1, *mask.shape), dtype=np.float32)
    corners = [sorted(data.draw(st.tuples(*[st.integers(0, n - 1)] * 2))) for n in mask.shape]
    inside = tuple(slice(low, high + 1) for low, high in corners)
    image[0][inside] = 1
    plan = replace(PLAN, axes=axes, spacing_mm=(spacing[axes[0]], spacing[axes[1]], spacing[axes[2]]))
    preprocessed, box = preprocess_image(image, geometry, plan)
    assert box == tuple((low, high + 1) for low, high in corners)
    label = preprocess_mask(mask, geometry, box, plan)
    assert label.shape == preprocessed.shape[1:]
    logits = np.stack([label == index for index in range(4)]).astype(np.float32)
    wanted = np.zeros_like(mask)
    wanted[inside] = mask[inside]
    np.testing.assert_array_equal(restore_labels(logits, geometry, box, plan, (0, 1, 2, 3)), wanted)
    np.testing.assert_array_equal(restore_logits(logits, geometry, box, plan).argmax(axis=0), mask[inside])
    two = np.stack([label == 0, label > 0]).astype(np.float32)
    np.testing.assert_array_equal(restore_labels(two, geometry, box, plan, (0, 5)), 5 * (wanted > 0))
