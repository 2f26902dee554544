"""Drafts: whole or absent, and never one over another that was not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.review.drafts import ChangedMeanwhileError, DraftFile, DraftNote
from vmseg_auto.utils.errors import DamagedError

SHAPE = (3, 4, 5)
MASK = (np.arange(60) % 3 == 0).astype(np.uint8).reshape(SHAPE)


def note(number: int) -> DraftNote:
    return DraftNote(number, "Dr Ada", "2026-11-30T12:00:00+01:00", 1.5, "Übergang?", "base", mask_sha256(MASK))


def test_a_draft_comes_back(tmp_path: Path) -> None:
    file = DraftFile(tmp_path, "anna")
    assert file.read(SHAPE) is None
    assert file.number() == 0
    file.write(note(1), MASK)
    found = file.read(SHAPE)
    assert found is not None
    assert found[0] == note(1)
    np.testing.assert_array_equal(found[1], MASK)
    assert [path.name for path in file.path.parent.iterdir()] == ["anna.draft"]


def test_a_draft_that_was_not_seen_is_not_overwritten(tmp_path: Path) -> None:
    file = DraftFile(tmp_path, "anna")
    file.write(note(1), MASK)
    with pytest.raises(ChangedMeanwhileError, match="in another window"):
        file.write(note(1), 1 - MASK)
    file.remove(2)
    assert file.number() == 1
    file.write(note(2), MASK)
    file.remove(2)
    assert file.read(SHAPE) is None


@pytest.mark.parametrize("kept", [0, 40, 150, -12])
def test_a_damaged_draft_is_named_and_the_next_takes_its_place(tmp_path: Path, kept: int) -> None:
    file = DraftFile(tmp_path, "anna")
    file.write(note(1), MASK)
    file.path.write_bytes(file.path.read_bytes()[:kept])
    with pytest.raises(DamagedError, match="anna"):
        file.read(SHAPE)
    file.write(note(file.number() + 1), MASK)
    assert file.read(SHAPE) is not None


def test_a_draft_of_another_scan_is_refused(tmp_path: Path) -> None:
    file = DraftFile(tmp_path, "anna")
    file.write(note(1), MASK)
    for shape in ((3, 4, 6), (3, 4, 4), (4, 3, 5)):
        with pytest.raises(DamagedError, match="another scan"):
            file.read(shape)
