"""Masks of single readers: whose they are, and which cases are hidden from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmseg_auto.data.reads import Hidden, Read, Reads
from vmseg_auto.data.reviews import Decision, Review
from vmseg_auto.utils.errors import InputError


def review(decision: Decision, comment: str = "") -> Review:
    return Review(decision, "Dr Ada", "2026-11-30T12:00:00+01:00", 1.5, comment, "hash", 12, 0.9, {"lesion": 1.5})


def test_a_read_comes_back(tmp_path: Path) -> None:
    reads = Reads.of(tmp_path, "Dr Ada")
    assert reads.read("anna") is None
    read = Read("anna", "Dr Ada", True, (review("corrected"), review("unsure")))
    reads.begin("Dr Ada", 0.2)
    reads.write(read)
    assert reads.read("anna") == read
    assert list(reads.all()) == [read]
    assert [one.folder for one in Reads.below(tmp_path)] == [tmp_path / "readers" / "Dr Ada"]
    assert read.saved == review("corrected")
    assert Read("anna", "Dr Ada", True, (review("unsure"),)).saved is None


@pytest.mark.parametrize("name", ["../../elsewhere", "A/B", "con", ".", "x" * 300])
def test_a_readers_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    assert Reads.of(tmp_path, name).folder.parent == tmp_path / "readers"
    assert len(Reads.of(tmp_path, name).folder.name) <= 100


def test_what_is_hidden_goes_by_seed_and_case_alone() -> None:
    cases = [f"case_{number}" for number in range(500)]
    few, many = Hidden("a", 0.2, "seed"), Hidden("b", 0.6, "seed")
    hidden = {case for case in cases if few.hides(case)}
    assert hidden == {case for case in cases if Hidden("a", 0.2, "seed").hides(case)}
    assert hidden < {case for case in cases if many.hides(case)}
    assert hidden != {case for case in cases if Hidden("a", 0.2, "other").hides(case)}
    assert all(Hidden("a", 1.0, "seed").hides(case) for case in cases)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_an_impossible_share_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match="must lie above 0"):
        Reads.of(tmp_path, "Dr Ada").begin("Dr Ada", share)
    assert not (tmp_path / "readers").exists()
