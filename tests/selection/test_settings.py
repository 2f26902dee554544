"""What thresholds and the largest component alone make of a case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.evaluation.lesion_matching import Lesions
from vmseg_auto.evaluation.metrics.lesions import overlapping_lesions
from vmseg_auto.evaluation.metrics.overlap import overlap
from vmseg_auto.evaluation.reliability import reliability
from vmseg_auto.inference.thresholds import classify, from_bytes
from vmseg_auto.models.selection_record import THRESHOLDS
from vmseg_auto.selection.froc import count_lesions
from vmseg_auto.selection.settings import DICE, RECALL, VOXELS, score_settings
from vmseg_auto.utils.components import keep_largest
from vmseg_auto.utils.labels import IGNORE

ONE = {"background": 0, "lesion": 1}


def row(text: str) -> NDArray[np.uint8]:
    """One row of voxels; a digit d is the probability d / 10."""
    return np.array([[[[round(int(digit) * 25.5) for digit in text]]]], dtype=np.uint8)


def reference(text: str) -> NDArray[np.uint8]:
    return np.array([[[int(digit) for digit in text]]], dtype=np.uint8)


def test_by_hand() -> None:
    """Above 0.5 lie two components of 3 and 1 voxels, above 0.3 also a whole lesion that was missed before."""
    scores = score_settings([row("099900444090")], reference("011100111000"), ONE, [(0,)])
    assert scores.shape == (1, len(THRESHOLDS), 1, 3, 2)
    at_half, at_low = scores[0, THRESHOLDS.index(0.5), 0], scores[0, THRESHOLDS.index(0.3), 0]
    assert at_half[DICE] == pytest.approx([2 * 3 / 10, 2 * 3 / 9])
    assert at_half[RECALL] == pytest.approx([0.5, 0.5])
    assert at_low[DICE] == pytest.approx([2 * 6 / 13, 2 * 3 / 9])
    assert at_low[RECALL] == pytest.approx([1, 0.5])
    assert at_half[VOXELS].tolist() == [4, 3]
    assert at_low[VOXELS].tolist() == [7, 3]


def test_an_ensemble_is_scored_by_its_mean() -> None:
    runs = [row("0990"), row("0020")]
    scores = score_settings(runs, reference("0110"), ONE, [(0,), (1,), (0, 1)])
    dice = scores[:, THRESHOLDS.index(0.5), 0, DICE, 0]
    assert dice == pytest.approx([1, 0, 2 / 3])  # 0.45 and 0.55


def test_a_label_that_is_nowhere_is_found_nowhere() -> None:
    scores = score_settings([row("0000")], reference("0000"), ONE, [(0,)])
    assert (scores[..., :VOXELS, :] == 1).all()
    scores = score_settings([row("0900")], reference("0000"), ONE, [(0,)])
    assert (scores[..., :VOXELS, :] == 0).all()


@given(st.integers(1, 3), st.integers(0, 500))
def test_scores_are_those_of_the_metrics(labels: int, seed: int) -> None:
    """The crop and the components found once change nothing."""
    rng = np.random.default_rng(seed)
    values = (0, *(2 * index + 3 for index in range(labels)))
    named = {str(value): value for value in values}
    held = rng.integers(0, 256 // labels, (labels, 3, 5, 6)) * (rng.random((labels, 3, 5, 6)) < 0.3)
    wanted = rng.choice(values, (3, 5, 6), p=[0.7, *[0.3 / labels] * labels]).astype(np.uint8)
    scores = score_settings([held.astype(np.uint8)], wanted, named, [(0,)])[0]
    for threshold, by_label in zip(THRESHOLDS, scores, strict=True):
        classes = classify(from_bytes(held.astype(np.uint8)), threshold)
        for index, found in enumerate(by_label, 1):
            for mask, column in ((classes, 0), (keep_largest(classes, [str(index)], {str(index): index}), 1)):
                prediction, target = mask == index, wanted == values[index]
                assert found[DICE, column] == overlap(prediction, target, mask.size)["dice"]
                lesions = overlapping_lesions(Lesions.of(prediction, target), voxel_ml=1.0)
                assert found[RECALL, column] == lesions["lesion_recall"]


def test_voxels_that_nobody_has_annotated_count_for_neither() -> None:
    truth = reference("0110011")
    truth[..., 4:] = IGNORE
    by_run = [score_settings([row(text)], truth, ONE, [(0,)]) for text in ("0990990", "0990099", "0990000")]
    np.testing.assert_array_equal(by_run[0], by_run[1])
    np.testing.assert_array_equal(by_run[0], by_run[2])
    assert (by_run[0][0, THRESHOLDS.index(0.5), 0, DICE] == 1).all()
    counts = [count_lesions(row(text)[0][None], truth, ONE) for text in ("0990990", "0990000")]
    np.testing.assert_array_equal(*counts)
    right = [reliability(row(text)[0][None], truth, ONE) for text in ("0990990", "0990000")]
    assert right[0] == right[1]
