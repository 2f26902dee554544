"""Brier score and calibration error of a scan's voxels."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.evaluation.reliability import reliability


def scan(levels: list[int], true: list[int]) -> tuple[np.ndarray, np.ndarray]:
    shape = (1, 1, len(levels))
    return np.array(levels, dtype=np.uint8).reshape(1, *shape), np.array(true, dtype=np.uint8).reshape(shape)


def test_figures_counted_by_hand() -> None:
    """Voxels of 0.8 (twice, one true), 0.2 (not true) and 0 (outlined all the same); one of 0 is left out."""
    found = reliability(*scan([204, 204, 51, 0, 0], [1, 0, 0, 1, 0]), {"a": 1})
    assert found.brier == pytest.approx((0.04 + 0.64 + 0.04 + 1) / 4)
    assert found.calibration_error == pytest.approx((abs(1.6 - 1) + 0.2 + 1) / 4)


def test_probabilities_that_are_right_have_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(3, 256, 200_000)
    true = rng.random(len(levels)) < levels / 255
    soft, reference = scan(levels.tolist(), true.astype(int).tolist())
    assert reliability(soft, reference, {"a": 1}).calibration_error < 0.01


def test_labels_count_alike_and_a_scan_of_nothing_has_no_figure() -> None:
    soft = np.zeros((2, 1, 1, 3), dtype=np.uint8)
    reference = np.array([[[0, 0, 2]]], dtype=np.uint8)
    assert reliability(soft, reference, {"a": 1, "b": 2}).brier == 1.0
    assert np.isnan(reliability(soft, np.zeros_like(reference), {"a": 1, "b": 2}).brier)
