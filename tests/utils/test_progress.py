"""At any width the line keeps the time that is left, and at 80 columns the Dice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.progress import BAR, progress_line

NOTES = ("validation Dice 0.712", "train Dice 0.903", "epoch 998/1000", "loss -0.512", "gap 0.191")


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (None, f"Fold 3  50%|{'█' * 10}{' ' * 10}| 9:59:59, 10:00:01 left, {', '.join(NOTES)}"),
        (120, f"Fold 3  50%, 9:59:59, 10:00:01 left, {', '.join(NOTES)}"),
        (80, "Fold 3  50%, 9:59:59, 10:00:01 left, validation Dice 0.712, train Dice 0.903"),
        (60, "Fold 3  50%, 9:59:59, 10:00:01 left, validation Dice 0.712"),
        (50, "Fold 3  50%|███████       | 9:59:59, 10:00:01 left"),
        (30, "Fold 3  50%, 10:00:01 left"),
    ],
)
def test_a_long_training_on_screens_of_several_widths(width: int | None, line: str) -> None:
    assert progress_line("Fold 3", 0.5, "9:59:59", "10:00:01", NOTES, width) == line


@given(
    width=st.integers(40, 200),
    share=st.floats(0, 1),
    times=st.tuples(*[st.sampled_from(["00:01", "59:59", "1:02:03", "120:00:00"])] * 2),
    ascii_only=st.booleans(),
)
def test_it_fits_and_keeps_what_counts(width: int, share: float, times: Any, ascii_only: bool) -> None:
    line = progress_line("Fold 3", share, *times, NOTES, width, ascii_only)
    assert len(line) <= width
    assert f"{times[1]} left" in line
    assert width < 80 or NOTES[0] in line
    assert line.isascii() or not ascii_only
    told = [note in line for note in NOTES]
    assert told == sorted(told, reverse=True)


def test_a_bar_is_as_full_as_its_share() -> None:
    for part in range(BAR + 1):
        assert progress_line("Fold 0", part / BAR, "00:01", "?").count("█") == part
