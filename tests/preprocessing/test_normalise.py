"""Each normalisation gives the numbers that it promises, and leaves its input alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmseg_auto.planning.plan import Normalization
from vmseg_auto.preprocessing.content import content_notes, require_contrast
from vmseg_auto.preprocessing.normalise import intensity_profiles, normalize
from vmseg_auto.utils.errors import InputError

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


def is_refused(image: np.ndarray) -> bool:
    """By name; or noted, where no contrast at all is left."""
    if any("no contrast" in note for note in content_notes(image, None, "anna")):
        return True
    try:
        require_contrast(image)
    except InputError as error:
        return "Subtract the offset" in str(error)
    return False


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(-3, 26), st.sampled_from(["zscore", "zscore_in_mask", "ct"]), st.integers(0, 99))
def test_an_offset_or_a_scale_gives_the_right_numbers_or_is_refused(
    offset: float, power: float, scheme: str, seed: int
) -> None:
    """Offsets up to 1e9, and values up to 1e30: as computed in float64 from what the file held before rounding."""
    scale = 10**power
    exact = offset + scale * np.random.default_rng(seed).gamma(2, 100, (1, 4, 8, 9))
    image = exact.astype(np.float32)
    if abs(offset) > 1e3 * scale and is_refused(image):
        return
    mean, std = float(exact.mean()), float(exact.std())
    numbers = {"mean": mean, "std": std, "lower": float(exact.min()) - 1, "upper": float(exact.max()) + 1}
    plan = Normalization("ct", **numbers) if scheme == "ct" else Normalization(scheme)  # type: ignore[arg-type]
    found = normalize(image, [plan], np.ones(image.shape[1:], dtype=bool))
    np.testing.assert_allclose(found, (exact - mean) / std, atol=0.02)
    own = image.astype(np.float64)
    if scheme != "ct":
        np.testing.assert_allclose(found, (own - own.mean()) / own.std(), atol=1e-5)


def test_an_offset_costs_no_second_image_in_float64() -> None:
    image = np.random.default_rng(0).normal(1e7, 50, (1, 64, 64, 64)).astype(np.float32)
    tracemalloc.start()
    normalize(image, [Normalization("ct", mean=1e7, std=50, lower=9e6, upper=2e7)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3.5 * image.nbytes  # clipped, shifted and stacked


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="2 normalisation schemes for 1 channels"):
        normalize(IMAGE, [Normalization("none")] * 2)
    with pytest.raises(ValueError, match="non-zero region"):
        normalize(IMAGE, [Normalization("zscore_in_mask")])


def test_a_profile_tells_where_percentiles_lie_between_dark_and_bright() -> None:
    ramp = np.linspace(-50, 150, 1001, dtype=np.float32).reshape(1, 7, 11, 13)
    (profile,) = intensity_profiles(ramp)
    assert profile == pytest.approx([(percent - 1) / 98 for percent in (10, 25, 50, 75, 90)], abs=1e-3)


@given(st.floats(1e-3, 1e5), st.floats(-1e3, 1e3), st.integers(0, 100))
def test_a_profile_does_not_depend_on_the_scale(scale: float, offset: float, seed: int) -> None:
    image = np.random.default_rng(seed).gamma(2, 30, (2, 4, 8, 9)).astype(np.float32)
    scaled = (image * scale + offset).astype(np.float32)
    rounding = 1e-4 + 1e-6 * abs(offset) / scale
    for before, after in zip(intensity_profiles(image), intensity_profiles(scaled), strict=True):
        assert after == pytest.approx(before, abs=rounding)
        assert list(after) == sorted(after)


def test_a_flat_channel_has_a_flat_profile() -> None:
    assert intensity_profiles(np.full((1, 2, 3, 4), 100, np.float32)) == ((0.0,) * 5,)
