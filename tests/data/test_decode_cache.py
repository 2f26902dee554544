"""What was decoded once is given back once, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.decode_cache import DecodeCache
from vmseg_auto.utils.geometry import Geometry

CASE = Case("anna", "anna", (Path("anna.nii"),), Path("anna_mask.nii"))
UNLABELLED = Case("bert", "bert", (Path("bert.nii"),), None)
GRID = Geometry((2, 3, 4), (3.0, 1.0, 1.0))
IMAGE = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
MASK = (IMAGE[0] > 12).astype(np.uint8)


def test_a_case_comes_back_once(tmp_path: Path) -> None:
    with DecodeCache(tmp_path / "w" / "decoded") as decode_cache:
        decode_cache.put(CASE, "abc", (IMAGE, MASK, GRID))
        decode_cache.put(UNLABELLED, "def", (IMAGE, None, GRID))
        assert (decode_cache.content(CASE), decode_cache.content(UNLABELLED)) == ("abc", "def")
        assert decode_cache.size == 2 * IMAGE.nbytes + MASK.nbytes
        taken = decode_cache.take(CASE)
        assert taken is not None
        image, mask, grid = taken
        assert np.array_equal(image, IMAGE)
        assert mask is not None
        assert np.array_equal(mask, MASK)
        assert grid == GRID
        assert decode_cache.take(CASE) is None
        assert decode_cache.content(CASE) is None
        other = decode_cache.take(UNLABELLED)
        assert other is not None
        assert other[1] is None
        assert list((tmp_path / "w" / "decoded").iterdir()) == []
        assert decode_cache.size == 0
    assert list((tmp_path / "w").iterdir()) == []


def test_nothing_stays_whatever_happens(tmp_path: Path) -> None:
    (tmp_path / "plan.json").touch()

    def stop_midway() -> None:
        with DecodeCache(tmp_path / "decoded") as decode_cache:
            decode_cache.put(CASE, "abc", (IMAGE, MASK, GRID))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_midway()
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_what_a_killed_command_left_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "decoded"
    folder.mkdir()
    np.save(folder / "anna.image.npy", IMAGE)
    with DecodeCache(folder) as decode_cache:
        assert decode_cache.content(CASE) is None
        assert decode_cache.take(CASE) is None
        assert not folder.exists()


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    with DecodeCache(tmp_path / "decoded") as decode_cache:
        decode_cache.put(CASE, "abc", (IMAGE, MASK, GRID))
        (tmp_path / "decoded" / "anna.mask.npy").write_bytes(b"cut")
        assert decode_cache.take(CASE) is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "decoded").write_text("a file stands in the way")
    decode_cache = DecodeCache(tmp_path / "decoded")
    decode_cache.put(CASE, "abc", (IMAGE, MASK, GRID))
    assert decode_cache.content(CASE) is None
    assert decode_cache.take(CASE) is None
