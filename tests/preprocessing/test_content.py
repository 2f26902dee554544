"""Scans and masks that are hardly meant are named."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.preprocessing.content import content_notes, unlike_voxel_sizes

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


@pytest.mark.parametrize(("zeros", "said"), [(1, False), (9, False), (10, True)])
def test_a_voxel_or_two_where_a_large_lesion_meets_the_air_are_not_named(zeros: int, said: bool) -> None:
    image = np.random.default_rng(0).uniform(50, 500, (1, 10, 12, 12)).astype(np.float32)
    image.reshape(-1)[:zeros] = 0
    assert len(content_notes(image, np.ones(image.shape[1:], np.uint8), "anna")) == said


@pytest.mark.parametrize(("clip", "said"), [(300.0, True), (496.0, False)])
def test_a_lesion_in_which_the_scan_is_saturated_is_named(clip: float, said: bool) -> None:
    """Of 5 x 5 x 5 outlined voxels of 50 to 500, some half lie above 300; one or two above 496."""
    mask = np.zeros((6, 8, 8), np.uint8)
    mask[:5, :5, :5] = 1
    clipped = int((SCAN[0][mask != 0] > clip).sum())
    notes = content_notes(np.minimum(SCAN, np.float32(clip)), mask, "anna")
    assert (
        any(f"case anna: the scan is saturated in {clipped} of 125 outlined voxels (all 300" in n for n in notes)
        == said
    )
    assert len(notes) == said


def test_an_outlined_scan_without_contrast_is_named_once() -> None:
    notes = content_notes(np.full_like(SCAN, 7), np.ones((6, 8, 8), np.uint8), "anna")
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("odd", "said"),
    [((3.0, 1.0, 1.0), False), ((8.9, 1.0, 0.4), False), ((9.1, 1.0, 1.0), True), ((3.0, 1.0, 0.3), True)],
)
def test_a_voxel_size_unlike_the_rest_is_named(odd: tuple[float, float, float], said: bool) -> None:
    cases = {"a": (3.0, 1.0, 1.0), "b": (3.0, 1.0, 1.0), "c": (3.0, 1.1, 1.1), "imagesTs/t": odd}
    notes = unlike_voxel_sizes(cases)
    assert len(notes) == said
    if said:
        assert "1 of 4 cases" in notes[0]
        assert "imagesTs/t (" in notes[0]


def test_two_kinds_of_voxels_are_named_in_one_sentence_and_few_cases_not_at_all() -> None:
    mixed = {f"thin_{n}": (1.0, 1.0, 1.0) for n in range(9)} | {f"thick_{n}": (5.0, 1.0, 1.0) for n in range(8)}
    (note,) = unlike_voxel_sizes(mixed)
    assert "8 of 17 cases" in note
    assert "and 2 more" in note
    assert unlike_voxel_sizes({"a": (1.0, 1.0, 1.0), "b": (1.0, 1.0, 1.0), "c": (9.0, 1.0, 1.0)}) == []


def test_a_common_scan_is_not_named() -> None:
    assert content_notes(SCAN, np.ones((6, 8, 8), np.uint8), "anna") == []
