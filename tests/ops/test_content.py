"""Scans and masks that are hardly meant are named."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.ops.content import content_notes

SCAN = np.random.default_rng(0).uniform(50, 500, (1, 6, 8, 8)).astype(np.float32)
HOT = SCAN.copy()
HOT[0, 0, 0, 0] = 1e11


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full_like(SCAN, 7.1), "no contrast"),
        (SCAN * np.float32(1e-12), "tiny"),
        (SCAN + np.float32(1e9), "subtract the offset"),
        (HOT, "far beyond all others"),
    ],
)
def test_a_scan_without_contrast_is_named(image: np.ndarray, words: str) -> None:
    (note,) = content_notes(image, None, "anna")
    assert "anna" in note
    assert words in note


def test_outlined_voxels_where_the_scan_is_0_are_counted() -> None:
    image, mask = SCAN.copy(), np.zeros((6, 8, 8), np.uint8)
    image[..., 4:] = 0
    mask[2, 2, 2:6] = 1
    (note,) = content_notes(image, mask, "anna")
    assert "2 of 4 outlined voxels" in note


def test_a_common_scan_is_not_named() -> None:
    assert content_notes(SCAN, np.ones((6, 8, 8), np.uint8), "anna") == []
