"""A reader says which slices were looked at; nothing is guessed, and what contradicts an outline is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vmseg_auto.data.outlined_slices import OutlinedSlices
from vmseg_auto.utils.errors import InputError


def drawn(slices: list[int], count: int = 12) -> NDArray[np.bool_]:
    """A mask with something on these slices, counted from 1."""
    mask = np.zeros((count, 3, 3), dtype=bool)
    mask[np.array(slices, dtype=int) - 1, 1, 1] = True
    return mask


@pytest.mark.parametrize(
    ("text", "slices"),
    [
        ("5", [1, 6, 11]),
        ("3:5", [3, 8]),
        ("1", list(range(1, 13))),
        ("12,2,7", [2, 7, 12]),
        ("4,", [4]),
    ],
)
def test_slices_are_counted_from_one(text: str, slices: list[int]) -> None:
    seen = OutlinedSlices.parse(text).of(drawn([]))
    assert (np.flatnonzero(seen) + 1).tolist() == slices


@pytest.mark.parametrize("text", ["", "0", "0:5", "5:0", "a", "1-5", "-3", "2,,3", "1:2:3", ":5", "9999999", "1.5"])
def test_what_names_no_slices_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no slices"):
        OutlinedSlices.parse(text)


def test_those_with_an_outline() -> None:
    seen = OutlinedSlices.parse("drawn").of(drawn([2, 3, 9]))
    assert (np.flatnonzero(seen) + 1).tolist() == [2, 3, 9]
    with pytest.raises(InputError, match="nothing is outlined on it"):
        OutlinedSlices.parse("drawn").of(drawn([]))


def test_an_outline_on_a_slice_that_nobody_looked_at_is_a_contradiction() -> None:
    assert OutlinedSlices.parse("5").of(drawn([6])).sum() == 3
    with pytest.raises(InputError, match="not among those looked at hold an outline: 3, 8"):
        OutlinedSlices.parse("5").of(drawn([3, 6, 8]))


def test_a_slice_that_the_scan_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="it has 12 slices, and slice 13 is said to be outlined"):
        OutlinedSlices.parse("2,13").of(drawn([2]))
    with pytest.raises(InputError, match="slice 20 is said"):
        OutlinedSlices.parse("20:5").of(drawn([2]))
