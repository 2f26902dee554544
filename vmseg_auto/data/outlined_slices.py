"""Which slices of a scan its reader has looked at, where it was not all of them.

Nothing tells a slice without a lesion from one that nobody has opened: the reader has to say it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.text import listed

DRAWN = "drawn"
"""Those that hold an outline."""
_EVERY = re.compile(r"(?:([1-9]\d*):)?([1-9]\d*)")
_NUMBERS = re.compile(r"[1-9]\d*(?:,[1-9]\d*)+,?|[1-9]\d*,")
_MOST_DIGITS = 6


@dataclass(frozen=True)
class OutlinedSlices:
    """Slices along Z, counted from 1 in the order of the file, as ITK-SNAP counts them.

    Args:
        first, every: each `every`-th slice from the first on; 0 where they are told otherwise.
        numbers: slices by their numbers; where there are none either, those that hold an outline.
    """

    first: int = 0
    every: int = 0
    numbers: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> OutlinedSlices:
        """Read "5" (slices 1, 6, 11, ...), "3:5" (3, 8, 13, ...), "2,7,12" or "drawn".

        Raises:
            ValueError: it is none of these.

        Example:
            >>> OutlinedSlices.parse("3:5").among(12)
            array([False, False,  True, False, False, False, False,  True, False,
                   False, False, False])
        """
        if text == DRAWN:
            return cls()
        if max(map(len, re.split("[:,]", text))) <= _MOST_DIGITS:
            if found := _EVERY.fullmatch(text):
                return cls(int(found[1] or 1), int(found[2]))
            if _NUMBERS.fullmatch(text):
                return cls(numbers=tuple(sorted({int(number) for number in text.split(",") if number})))
        raise ValueError(
            f"{text!r} names no slices: write 5 (each fifth), 3:5 (each fifth from the third), 2,7,12 or drawn"
        )

    def among(self, count: int) -> NDArray[np.bool_]:
        """Return which of so many slices were looked at [Z], where that does not depend on their outlines.

        Raises:
            InputError: a scan with so few slices lacks them.
        """
        slices = np.arange(1, count + 1)
        seen = np.isin(slices, slices[self.first - 1 :: self.every] if self.every else self.numbers)
        if lacking := [str(number) for number in (*self.numbers, self.first) if number > count]:
            raise InputError(
                f"it has {count} slices, and slice {listed(lacking)} is said to be outlined",
                remedy="Say with --outlined-slices which slices were looked at.",
            )
        return seen

    def of(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which slices of a scan were looked at [Z].

        Args:
            mask: what is outlined on it [Z, Y, X].

        Raises:
            InputError: other slices hold an outline, or a slice is not there, or none is outlined where nothing else
                tells which were looked at.
        """
        drawn = np.asarray(mask.any(axis=(1, 2)))
        if not (self.every or self.numbers):
            if not drawn.any():
                problem = "nothing is outlined on it, so that no slice is known to have been looked at"
                raise InputError(problem, remedy="Leave it out, or name the slices with --outlined-slices.")
            return drawn
        seen = self.among(len(drawn))
        if other := [str(number) for number in np.flatnonzero(drawn & ~seen) + 1]:
            raise InputError(
                f"slices that are not among those looked at hold an outline: {listed(other)} (counted from 1 along the "
                "file's third axis)",
                remedy="Say with --outlined-slices which slices were looked at; masks with others take a command of "
                "their own, with --add.",
            )
        return seen
