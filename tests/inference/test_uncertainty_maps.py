"""Voxels that nothing is decided of stand out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.inference.uncertainty_maps import undecided


def test_two_classes_by_hand() -> None:
    foreground = np.array([0.0, 0.11, 0.5, 0.89, 1.0], dtype=np.float32).reshape(1, 1, 5)
    found = undecided(np.stack([1 - foreground, foreground]))
    assert found.dtype == np.float32
    assert found.ravel() == pytest.approx([0, 0.5, 1, 0.5, 0], abs=0.001)


@given(st.integers(2, 4), st.integers(0, 1000))
def test_it_is_a_share_whatever_the_number_and_order_of_classes(classes: int, seed: int) -> None:
    raw = np.random.default_rng(seed).exponential(1, (classes, 2, 3, 4)).astype(np.float32)
    soft = raw / raw.sum(axis=0)
    found = undecided(soft)
    assert found.shape == (2, 3, 4)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(undecided(soft[::-1]), found, atol=0.0011)
    even = np.full_like(soft, 1 / classes)
    np.testing.assert_array_equal(undecided(even), np.ones((2, 3, 4), np.float32))
