"""The folds of real cohorts are as even as the documentation tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.split import of_dataset, row, shuffled, unevenness
from vmseg_auto.data.dataset import split_by_patient


@pytest.mark.parametrize(("name", "volume", "cases"), [("hippocampus53", 0.03, 0.06), ("vmsemi53", 0.15, 0.16)])
def test_folds_of_real_cohorts_are_even(shared_data: Path, name: str, volume: float, cases: float) -> None:
    """vmsemi53 has 12 patients of very different size."""
    patients, volumes = of_dataset(shared_data / name)
    validation = [fold.val for fold in split_by_patient(patients, volumes).folds]
    assert unevenness(validation, volumes) < volume
    assert unevenness(validation, dict.fromkeys(patients, 1.0)) < cases


def test_unevenness_is_the_largest_relative_distance_from_the_mean() -> None:
    assert unevenness([["a"], ["b", "c"]], {"a": 3.0, "b": 0.5, "c": 0.5}) == 0.5


def test_shuffled_folds_hold_every_case_once_and_patients_together() -> None:
    patients = {"a1": "a", "a2": "a", "b": "b", "c": "c"}
    sides = shuffled(patients, 0, 3)
    assert sorted(case for side in sides for case in side) == sorted(patients)
    assert any({"a1", "a2"} <= set(side) for side in sides)
    assert row("ours", patients, dict.fromkeys(patients, 1.0)).startswith("| ours | 4 | 3 | ")
