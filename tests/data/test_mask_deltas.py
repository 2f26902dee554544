"""Masks kept as their differences from the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.mask_deltas import read_mask_deltas, write_mask_deltas
from vmseg_auto.utils.errors import InputError


def test_all_masks_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, (4, 5, 6)).astype(np.uint8)
    masks = [first, first.copy(), rng.integers(0, 3, first.shape).astype(np.uint8)]
    write_mask_deltas(tmp_path / "a.npz", masks)
    found = read_mask_deltas(tmp_path / "a.npz", first)
    assert len(found) == 3
    assert all(np.array_equal(mask, wanted) for mask, wanted in zip(found, masks, strict=True))


def test_a_lone_mask_has_no_variants(tmp_path: Path) -> None:
    mask = np.ones((2, 2, 2), np.uint8)
    write_mask_deltas(tmp_path / "a.npz", [mask])
    assert len(read_mask_deltas(tmp_path / "a.npz", mask)) == 1


def test_a_damaged_file_and_another_mask_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_mask_deltas(path, [np.zeros((4, 4, 4), np.uint8), np.ones((4, 4, 4), np.uint8)])
    with pytest.raises(InputError, match="predicted again"):
        read_mask_deltas(path, np.zeros((1, 2, 2), np.uint8))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"a\.npz"):
        read_mask_deltas(path, np.zeros((4, 4, 4), np.uint8))
