"""The simulated reader of benchmarks/readers.py: orders, the cases taken, and the summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_cohort import small_cohort

from benchmarks.readers import against_truth, orders, scans_as_vectors, subset, summary
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import read_mask, write_mask


def test_each_order_names_each_scan_once() -> None:
    doubts = np.array([0.1, 0.9, 0.5])
    new, known = np.eye(4)[:3], np.eye(4)[3:]
    found = {name: list(order(doubts, new, known)) for name, order in orders(0).items()}
    assert all(sorted(order) == [0, 1, 2] for order in found.values())
    assert found["uncertain"] == found["both"] == [1, 2, 0]
    assert found["random"] == list(orders(0)["random"](doubts, new, known))


def test_a_subset_holds_its_cases_alone(tmp_path: Path) -> None:
    source = small_cohort(tmp_path / "all", 3)
    cases = read_dataset(source).cases
    target = subset(source, tmp_path / "two", cases[:2])
    assert [case.id for case in read_dataset(target).cases] == ["a", "b"]
    vectors = scans_as_vectors(cases)
    np.testing.assert_allclose((vectors**2).sum(axis=1), 1, atol=1e-5)


def test_wrong_voxels_are_counted_against_the_cohort_s_own_mask(tmp_path: Path) -> None:
    data = read_dataset(small_cohort(tmp_path / "all", 1))
    (case,) = data.cases
    assert case.label is not None
    mask, grid = read_mask(case.label)
    write_mask(tmp_path / "masks" / case.label.name, mask, grid)
    assert against_truth(data, tmp_path / "masks", case) == (1.0, 0)
    write_mask(tmp_path / "masks" / case.label.name, 0 * mask, grid)
    assert against_truth(data, tmp_path / "masks", case) == (0.0, int(mask.sum()))


def test_the_summary_is_of_means_over_seeds() -> None:
    rows = [
        {"seed": seed, "order": "both", "cases": "10", "dice": dice, "voxels_changed": "5"}
        for seed, dice in (("0", "0.5"), ("1", "0.7"))
    ]
    assert summary(rows).splitlines()[-1] == "| both | 2 | 10 | 0.600 | 5 |"
