"""What won't fit is refused before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_disk import small_disk

from vmseg_auto.utils.disk import free_bytes, in_words, require_space
from vmseg_auto.utils.errors import VmsegError


def test_more_than_any_disk_has_is_refused_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(VmsegError, match=r"predicting 3 scans will take about 1\.1e\+03 TB, and .+B are free\. Free"):
        require_space(tmp_path / "not" / "there" / "yet", 1e15, "predicting 3 scans")


def test_what_fits_is_let_through_and_what_the_work_frees_counts(tmp_path: Path) -> None:
    require_space(tmp_path, 0, "nothing")
    require_space(tmp_path, 1e15, "much", coming=2 * 10**15)


def test_a_small_disk_is_measured_through_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=1024) as disk:
        assert free_bytes(disk / "vmseg" / "runs") == free_bytes(disk) <= 1024 * 1024 < free_bytes(tmp_path)
        require_space(disk / "vmseg", 500_000, "half of it")
        with pytest.raises(VmsegError, match=r"vmseg: all of it will take about 1\.1 MB"):
            require_space(disk / "vmseg", 1_000_000, "all of it")


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.23 kB"), (2.5e9, "2.5 GB"), (3e12, "3 TB")]
)
def test_words(size: float, words: str) -> None:
    assert in_words(size) == words
