"""Means and their intervals over patients."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.statistics import (
    ALL_LABELS,
    FEWEST_PATIENTS,
    effective_patients,
    mean_interval,
    no_interval,
    summarise,
    summarise_table,
    without_interval,
)

SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
"""Hours by which one drug made ten people sleep longer than another (Student, Biometrika 1908;6:1)."""


def names(count: int) -> list[str]:
    return [f"patient_{i}" for i in range(count)]


def test_by_hand() -> None:
    summary = summarise(np.array([0.2, 0.3, 0.4, np.nan, 0.7, 0.9]), names(6))
    assert summary.mean == pytest.approx(0.5)
    assert summary.median == pytest.approx(0.4)
    assert (summary.n, summary.n_missing, summary.patients) == (5, 1, 5)
    assert summary.low_95 < 0.5 < summary.high_95


def test_the_interval_of_students_own_data() -> None:
    """0.70 to 2.46 hours, as every textbook has it."""
    assert mean_interval(SLEEP, names(10)) == pytest.approx((0.7001, 2.4599), abs=1e-4)


def test_an_interval_ends_where_the_score_does() -> None:
    values = np.array([0.9, 0.95, 1.0, 1.0, 0.4])
    free, held = mean_interval(values, names(5)), mean_interval(values, names(5), (0.0, 1.0))
    assert free[1] > 1
    assert held == (free[0], 1.0)


def test_equal_patients_tell_no_more_with_more_scans() -> None:
    """Ten equal scans a patient tell what one does, and their interval is far wider than that of fifty patients."""
    values = np.array([0.3, 0.5, 0.6, 0.8, 0.9])
    alone = mean_interval(values, names(5))
    repeated = mean_interval(np.repeat(values, 10), list(np.repeat(names(5), 10)))
    assert repeated == pytest.approx(alone)
    as_if_independent = mean_interval(np.repeat(values, 10), names(50))
    assert np.ptp(as_if_independent) < 0.5 * np.ptp(repeated)


def test_a_patient_with_most_of_the_scans_widens_the_interval() -> None:
    assert effective_patients(np.array([3, 3, 3, 3])) == pytest.approx(4)
    assert effective_patients(np.array([97, 1, 1, 1])) == 2
    values = np.tile([0.4, 0.5, 0.6, 0.7], 3)
    even, uneven = np.repeat(names(6), 2), np.repeat(names(6), [7, 1, 1, 1, 1, 1])
    assert np.ptp(mean_interval(values, uneven.tolist())) > np.ptp(mean_interval(values, even.tolist()))


@pytest.mark.parametrize("patients", [1, 2, 4])
def test_fewer_than_five_patients_have_no_interval_and_the_reason_is_told(patients: int) -> None:
    summary = summarise(np.linspace(0.3, 0.5, 20), [f"patient_{i % patients}" for i in range(20)])
    assert math.isnan(summary.low_95)
    assert math.isnan(summary.high_95)
    assert summary.mean == pytest.approx(0.4)
    (reason,) = without_interval(patients)
    assert f"it takes 5 patients, and here are {patients}" in reason
    assert no_interval(patients) == f"none: {patients} patient" + "s" * (patients > 1)
    assert without_interval(5) == []


def test_patients_who_are_all_alike_have_no_interval() -> None:
    """That all lesions of six patients were found does not say that all are found."""
    summary = summarise(np.ones(6), names(6), (0.0, 1.0))
    assert summary.mean == 1
    assert math.isnan(summary.low_95)
    assert no_interval(summary.patients) == "none: all alike"


def test_nothing_to_sum_up() -> None:
    summary = summarise(np.array([np.nan, np.nan]), names(2))
    assert math.isnan(summary.mean)
    assert (summary.n, summary.n_missing, summary.patients) == (0, 2, 0)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9)), min_size=2, max_size=30))
def test_an_interval_holds_the_mean_whatever_the_order(scans: list[tuple[float, int]]) -> None:
    values, owners = np.array([value for value, _ in scans]), [str(owner) for _, owner in scans]
    low, high = mean_interval(values, owners, (0.0, 1.0))
    if len(set(owners)) < FEWEST_PATIENTS or math.isnan(low):
        assert math.isnan(high)
        return
    assert 0 <= low <= values.mean() + 1e-12
    assert values.mean() - 1e-12 <= high <= 1
    order = np.random.default_rng(0).permutation(len(values))
    again = mean_interval(values[order], [owners[i] for i in order], (0.0, 1.0))
    assert again == pytest.approx((low, high), abs=1e-9)


TABLED = {9: 2.2622, 11: 2.2010, 19: 2.0930, 52: 2.0066}
"""Student's t at 97.5 %: degrees of freedom -> value."""


@pytest.mark.parametrize("freedom", TABLED)
@given(seed=st.integers(0, 1000))
def test_one_scan_a_patient_is_students_interval(freedom: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(5, 3, freedom + 1)
    low, high = mean_interval(values, names(len(values)))
    assert (low + high) / 2 == pytest.approx(values.mean())
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert (high - low) / 2 / error == pytest.approx(TABLED[freedom], abs=1e-4)


def test_few_patients_have_one_degree_of_freedom_less() -> None:
    values = np.array([0.4, 0.5, 0.6, 0.7, 0.9])
    low, high = mean_interval(values, names(5))
    assert (high - low) / 2 / (values.std(ddof=1) / math.sqrt(5)) == pytest.approx(3.1824, abs=1e-4)


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
    bounds = {"dice": (0.0, 1.0), "hd95_mm": (0.0, math.inf)}
    summary = summarise_table(table, bounds).set_index(["label", "metric"])
    assert list(summary.index.get_level_values("label").unique()) == ["vein", "node", ALL_LABELS]
    assert summary.loc[("vein", "dice"), "mean"] == pytest.approx(0.4)
    assert summary.loc[(ALL_LABELS, "dice"), "mean"] == pytest.approx(0.55)
    assert summary.loc[(ALL_LABELS, "hd95_mm"), "mean"] == 1
    assert summary.loc[(ALL_LABELS, "hd95_mm"), "n_missing"] == 1
    assert summary.loc[(ALL_LABELS, "hd95_mm"), "patients"] == 1
    alone = summarise_table(table[table["label"] == "vein"], {"dice": (0.0, 1.0)})
    assert list(alone["label"]) == ["vein"]
