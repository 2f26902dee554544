"""Histograms add up exactly, and quantiles come within what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.histogram import ACCURACY, SMALLEST, Histogram
from vmseg_auto.utils.json_codec import decode, encode

numbers = st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-6)
lists = st.lists(numbers, min_size=1, max_size=50)


@given(lists, st.floats(0, 1))
def test_quantiles_are_numpys_within_the_accuracy(values: list[float], share: float) -> None:
    array = np.array(values)
    found, exact = Histogram.of(array).quantile(share), np.quantile(array, share)
    nearest = np.quantile(np.abs(array), 1)
    ends = np.quantile(array, share, method="lower"), np.quantile(array, share, method="higher")
    off = ACCURACY * max(map(abs, ends))  # between a number below 0 and one above, each is off by its own share
    assert found == pytest.approx(exact, abs=off * 1.001 + 1e-12 * nearest)


@given(lists, lists)
def test_two_add_up_to_the_whole(ours: list[float], theirs: list[float]) -> None:
    whole = Histogram.of(np.array(ours + theirs))
    assert Histogram.of(np.array(ours)) + Histogram.of(np.array(theirs)) == whole
    assert whole.total == len(ours) + len(theirs)


@given(lists)
def test_it_comes_back_from_json(values: list[float]) -> None:
    histogram = Histogram.of(np.array(values))
    assert decode(Histogram, encode(histogram), "histogram") == histogram


def test_signs_and_nothing() -> None:
    histogram = Histogram.of(np.array([0.0, -SMALLEST / 2, 5.0, 5.0, -5.0]))
    assert sorted(histogram.counts.values()) == [1, 2, 2]
    assert histogram.quantile(0) == -histogram.quantile(1) == pytest.approx(-5, rel=ACCURACY)
    assert histogram.quantile(0.5) == 0
    with pytest.raises(ValueError, match="no quantiles"):
        Histogram({}).quantile(0.5)


def test_an_mri_takes_few_bins() -> None:
    values = np.random.default_rng(0).lognormal(5, 1, 500_000).astype(np.float32)
    assert len(Histogram.of(values).counts) < 500
