"""Means and their bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.ops.statistics import ALL_LABELS, FEWEST_PATIENTS, summarise, summarise_table, without_interval


def names(count: int) -> list[str]:
    return [f"patient_{i}" for i in range(count)]


def test_by_hand() -> None:
    summary = summarise(np.array([0.2, 0.3, 0.4, np.nan, 0.7, 0.9]), names(6))
    assert summary.mean == pytest.approx(0.5)
    assert summary.median == pytest.approx(0.4)
    assert (summary.n, summary.n_missing) == (5, 1)
    assert 0.2 <= summary.low_95 < 0.5 < summary.high_95 <= 0.9


def test_interval_agrees_with_theory() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    summary = summarise(values, names(400))
    error = 1.96 * values.std() / math.sqrt(400)
    assert summary.low_95 == pytest.approx(summary.mean - error, abs=0.03)
    assert summary.high_95 == pytest.approx(summary.mean + error, abs=0.03)


def test_patients_are_drawn_and_not_cases() -> None:
    """Ten equal cases a patient tell no more than one."""
    values = np.array([0.3, 0.5, 0.6, 0.8, 0.9])
    alone = summarise(values, names(5))
    repeated = summarise(np.repeat(values, 10), list(np.repeat(names(5), 10)))
    assert (repeated.low_95, repeated.high_95) == pytest.approx((alone.low_95, alone.high_95))
    as_if_independent = summarise(np.repeat(values, 10), names(50))
    assert as_if_independent.high_95 - as_if_independent.low_95 < 0.5 * (repeated.high_95 - repeated.low_95)


@pytest.mark.parametrize("patients", [1, 2, 4])
def test_fewer_than_five_patients_have_no_interval_and_the_reason_is_told(patients: int) -> None:
    summary = summarise(np.linspace(0.3, 0.5, 20), [f"patient_{i % patients}" for i in range(20)])
    assert math.isnan(summary.low_95)
    assert math.isnan(summary.high_95)
    assert summary.mean == pytest.approx(0.4)
    (reason,) = without_interval(patients)
    assert f"it takes 5 patients, and here are {patients}" in reason
    assert without_interval(5) == []


def test_nothing_to_sum_up() -> None:
    summary = summarise(np.array([np.nan, np.nan]), names(2))
    assert math.isnan(summary.mean)
    assert (summary.n, summary.n_missing) == (0, 2)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.integers(1, 20))
def test_same_scores_give_the_same_interval(values: list[float], patients: int) -> None:
    owners = [f"patient_{i % patients}" for i in range(len(values))]
    first, again = (summarise(np.array(values), owners) for _ in range(2))
    assert repr(first) == repr(again)
    if min(patients, len(values)) >= FEWEST_PATIENTS:
        assert min(values) - 1e-9 <= first.low_95 <= first.high_95 <= max(values) + 1e-9


def test_mean_over_labels() -> None:
    table = pd.DataFrame(
        {
            "case": ["a", "a", "b", "b"],
            "patient": ["a", "a", "b", "b"],
            "label": ["vein", "node"] * 2,
            "dice": [0.2, 0.4, 0.6, 1.0],
            "hd95_mm": [1.0, np.nan, np.nan, np.nan],
        }
    )
    summary = summarise_table(table, ["dice", "hd95_mm"]).set_index(["label", "metric"])
    assert list(summary.index.get_level_values("label").unique()) == ["vein", "node", ALL_LABELS]
    assert summary.loc[("vein", "dice"), "mean"] == pytest.approx(0.4)
    assert summary.loc[(ALL_LABELS, "dice"), "mean"] == pytest.approx(0.55)
    assert summary.loc[(ALL_LABELS, "hd95_mm"), "mean"] == 1
    assert summary.loc[(ALL_LABELS, "hd95_mm"), "n_missing"] == 1
    alone = summarise_table(table[table["label"] == "vein"], ["dice"])
    assert list(alone["label"]) == ["vein"]
