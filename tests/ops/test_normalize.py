"""Each normalisation gives the numbers that it promises, and leaves its input alone."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.core.plan import Normalization
from vmseg_auto.ops.normalize import normalize

IMAGE = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)


def test_zscore_takes_the_whole_image() -> None:
    before = IMAGE.copy()
    found = normalize(IMAGE, [Normalization("zscore")])
    np.testing.assert_allclose(found, (IMAGE - 3.5) / IMAGE.std(), rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(IMAGE, before)


def test_zscore_in_mask_leaves_the_rest() -> None:
    found = normalize(IMAGE, [Normalization("zscore_in_mask")], IMAGE[0] > 3)
    np.testing.assert_array_equal(found.ravel()[:4], [0, 1, 2, 3])
    np.testing.assert_allclose(found.ravel()[4:], (np.arange(4, 8) - 5.5) / np.sqrt(1.25), rtol=1e-6)


def test_ct_clips_and_uses_the_cohorts_numbers() -> None:
    found = normalize(IMAGE, [Normalization("ct", mean=4, std=2, lower=2, upper=6)])
    np.testing.assert_allclose(found.ravel(), [-1, -1, -1, -0.5, 0, 0.5, 1, 1])


def test_none_changes_nothing() -> None:
    found = normalize(IMAGE, [Normalization("none")])
    np.testing.assert_array_equal(found, IMAGE)
    assert not np.shares_memory(found, IMAGE)


def test_each_channel_has_its_own_scheme() -> None:
    found = normalize(np.concatenate([IMAGE, IMAGE]), [Normalization("none"), Normalization("zscore")])
    np.testing.assert_array_equal(found[:1], IMAGE)
    assert abs(float(found[1].mean())) < 1e-6


def test_a_constant_image_becomes_zero() -> None:
    np.testing.assert_array_equal(normalize(np.full_like(IMAGE, 7), [Normalization("zscore")]), 0 * IMAGE)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4, 1e15])
def test_the_scale_of_intensities_does_not_matter(scale: float) -> None:
    image = np.random.default_rng(0).normal(5, 1, (1, 8, 8, 8)).astype(np.float32)
    plain = normalize(image, [Normalization("zscore")])
    np.testing.assert_allclose(normalize(image * np.float32(scale), [Normalization("zscore")]), plain, atol=1e-4)


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="2 normalisation schemes for 1 channels"):
        normalize(IMAGE, [Normalization("none")] * 2)
    with pytest.raises(ValueError, match="non-zero region"):
        normalize(IMAGE, [Normalization("zscore_in_mask")])
