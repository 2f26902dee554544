"""Probabilities of validation cases on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.probabilities import read_probabilities, write_probabilities
from vmseg_auto.utils.errors import InputError

SHAPE = (3, 4, 5)
HELD = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.uint8)


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.b.npz"
    write_probabilities(path, HELD)
    assert np.array_equal(read_probabilities(path, "a.b", 2, SHAPE), HELD)
    assert [p.name for p in path.parent.iterdir()] == ["a.b.npz"]


def test_a_head_that_is_mostly_background_is_small(tmp_path: Path) -> None:
    held = np.zeros((1, 40, 100, 100), dtype=np.uint8)
    held[0, 10:20, 20:40, 20:40] = np.random.default_rng(0).integers(0, 256, (10, 20, 20))
    write_probabilities(tmp_path / "a.npz", held)
    assert (tmp_path / "a.npz").stat().st_size < held.size / 50


def test_a_missing_file_is_named_with_its_case(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"case anna.*a\.npz.*does not exist.*vmseg_train"):
        read_probabilities(tmp_path / "a.npz", "anna", 2, SHAPE)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"numbers"])
def test_what_is_no_such_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"case anna.*can't be read.*Delete this file"):
        read_probabilities(tmp_path / "a.npz", "anna", 2, SHAPE)


def test_every_cut_and_every_changed_byte_is_found_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_probabilities(path, HELD)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            read_probabilities(path, "anna", 2, SHAPE)
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            read = read_probabilities(path, "anna", 2, SHAPE)
        except InputError:
            continue
        assert np.array_equal(read, HELD)


@pytest.mark.parametrize(("classes", "shape"), [(1, SHAPE), (2, (5, 4, 3))])
def test_another_shape_is_refused(tmp_path: Path, classes: int, shape: tuple[int, int, int]) -> None:
    write_probabilities(tmp_path / "a.npz", HELD)
    with pytest.raises(InputError, match=r"the file holds uint8 \(2, 3, 4, 5\)"):
        read_probabilities(tmp_path / "a.npz", "anna", classes, shape)
