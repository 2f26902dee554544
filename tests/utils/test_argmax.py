"""The greatest class, as numpy's own argmax has it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vmseg_auto.utils.argmax import argmax

LOGITS = st.integers(1, 5).flatmap(
    lambda classes: arrays(np.float32, (classes, 2, 3), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0]))
)


@given(LOGITS)
def test_it_is_numpys_also_on_ties(logits: NDArray[np.float32]) -> None:
    before = logits.copy()
    index, greatest = argmax(logits)
    assert index.dtype == np.uint8
    assert np.array_equal(index, logits.argmax(axis=0))
    assert np.array_equal(greatest, logits.max(axis=0))
    assert np.array_equal(logits, before)
