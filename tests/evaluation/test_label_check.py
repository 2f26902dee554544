"""Where a prediction contradicts a mask."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.evaluation.label_check import contradiction
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import Labels

GRID = Geometry((6, 10, 10), (5.0, 1.0, 1.0))
LABELS = {"background": 0, "lesion": 1, "vein": 2}


def test_the_slice_with_most_contradiction_is_named_from_one() -> None:
    mask, prediction = np.zeros((2, *GRID.shape), np.uint8)
    mask[1:4, :5, :5] = 1
    prediction[1:4, :5, :5] = 1
    prediction[4, :8, :8] = 1
    mask[2, 9, 9] = 1
    found = contradiction(prediction, mask, GRID, LABELS)
    assert found.slice == 5
    assert found.predicted_ml == pytest.approx(64 * 0.005)
    assert found.outlined_ml == pytest.approx(0.005)
    assert found.words == "the model sees more than is outlined"


def test_another_label_counts_on_both_sides() -> None:
    mask, prediction = np.zeros((2, *GRID.shape), np.uint8)
    mask[0, :2], prediction[0, :2] = 1, 2
    found = contradiction(prediction, mask, GRID, LABELS)
    assert found.outlined_ml == found.predicted_ml == pytest.approx(20 * 0.005)


def test_what_is_not_seen_is_said() -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[3] = 1
    assert contradiction(np.zeros_like(mask), mask, GRID, LABELS).words == "the model does not see what is outlined"


def test_equal_masks_have_no_slice() -> None:
    mask = np.ones(GRID.shape, np.uint8)
    found = contradiction(mask, mask, GRID, LABELS)
    assert (found.slice, found.outlined_ml, found.predicted_ml, found.words) == (None, 0, 0, "none")


def test_values_of_the_same_regions_contradict_nothing() -> None:
    nested = Labels({"background": 0, "whole": 1, "core": 2}, {"whole": (1, 2, 3), "core": (2, 3)})
    mask = np.full(GRID.shape, 3, np.uint8)
    assert contradiction(np.full_like(mask, 2), mask, GRID, nested).slice is None
    assert contradiction(np.full_like(mask, 1), mask, GRID, nested).slice == 1
