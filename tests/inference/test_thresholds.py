"""From probabilities to classes, and to eight bits and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.inference.thresholds import classify, favour_background, from_bytes, mask_from, to_bytes
from vmseg_auto.models.selection_record import THRESHOLDS
from vmseg_auto.utils.labels import Labels


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=0))
    return (powers / powers.sum(axis=0)).astype(np.float32)


def drawn(classes: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, (classes, 3, 4, 5)).astype(np.float32)


def one(*foreground: float) -> NDArray[np.float32]:
    """Probabilities of one voxel."""
    return np.array([1 - sum(foreground), *foreground], dtype=np.float32).reshape(-1, 1, 1, 1)


def test_by_hand() -> None:
    assert [classify(one(0.45), t).item() for t in (0.3, 0.4, 0.5)] == [1, 1, 0]
    assert classify(one(0.5)).item() == 0
    # background 0.4; of the others the second is stronger, with 0.35 / 0.75 beside the background
    assert [classify(one(0.25, 0.35), t).item() for t in (0.4, 0.46, 0.47, 0.5)] == [2, 2, 0, 0]


@given(st.integers(2, 4), st.integers(0, 1000))
def test_at_one_half_the_argmax_class_wins(classes: int, seed: int) -> None:
    probabilities = softmax(drawn(classes, seed))
    assert np.array_equal(classify(probabilities), probabilities.argmax(axis=0))


@given(st.integers(2, 4), st.sampled_from(THRESHOLDS), st.integers(0, 1000))
def test_logits_are_favoured_to_the_same_end(classes: int, threshold: float, seed: int) -> None:
    logits = drawn(classes, seed)
    before = logits.copy()
    assert np.array_equal(favour_background(logits, threshold).argmax(axis=0), classify(softmax(logits), threshold))
    assert np.array_equal(logits, before)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), st.sampled_from((0.3, 0.5, 0.7)))
def test_eight_bits_move_no_voxel_of_one_label_across_a_threshold(values: list[float], threshold: float) -> None:
    foreground = np.array(values, dtype=np.float32).reshape(1, 1, 1, -1)
    clear = np.abs(foreground[0] - threshold) > 1e-6
    kept = from_bytes(to_bytes(np.concatenate([1 - foreground, foreground])))
    assert np.array_equal(classify(kept, threshold)[clear], (foreground[0] > threshold)[clear])


def test_one_half_stays_no_majority_in_eight_bits() -> None:
    assert classify(from_bytes(to_bytes(one(0.5)))).item() == 0
    assert classify(from_bytes(to_bytes(one(0.501)))).item() == 1


@given(st.integers(2, 4), st.integers(0, 1000))
def test_eight_bits_are_half_a_step_off_at_most(classes: int, seed: int) -> None:
    probabilities = softmax(drawn(classes, seed))
    kept = to_bytes(probabilities)
    assert kept.dtype == np.uint8
    assert kept.shape == (classes - 1, 3, 4, 5)
    back = from_bytes(kept)
    assert np.abs(back[1:] - probabilities[1:]).max() <= 0.5 / 255 + 1e-6
    assert back.min() >= 0
    assert back.sum(axis=0) == pytest.approx(np.ones((3, 4, 5)), abs=0.01)


NESTED = Labels({"background": 0, "whole": 1, "core": 3, "hot": 2}, {"whole": (1, 2, 3), "core": (2, 3), "hot": (2,)})


@given(st.integers(0, 1000), st.sampled_from(THRESHOLDS))
def test_of_regions_the_last_one_above_the_threshold_counts_by_logits_and_by_probabilities(
    seed: int, threshold: float
) -> None:
    """As nnU-Net's convert_probabilities_to_segmentation writes them, one after another."""
    logits = drawn(3, seed)
    likely = 1 / (1 + np.exp(-logits))
    expected = np.zeros(logits.shape[1:], np.uint8)
    for soft, value in zip(likely, (1, 3, 2), strict=True):
        expected[soft > threshold] = value
    probabilities = np.concatenate([1 - likely.max(axis=0, keepdims=True), likely])
    assert np.array_equal(mask_from(probabilities, NESTED, threshold), expected)
    above = favour_background(logits, threshold, overlap=True) > 0
    values = np.select([above[2], above[1], above[0]], [2, 3, 1])
    assert np.array_equal(values, expected)


def test_regions_in_eight_bits_come_back_with_their_background() -> None:
    probabilities = np.array([0.2, 0.8, 0.6, 0.0], np.float32).reshape(4, 1, 1, 1)
    found = from_bytes(to_bytes(probabilities), overlap=True)
    assert found.ravel().tolist() == pytest.approx([0.2, 0.8, 0.6, 0.0], abs=0.002)
