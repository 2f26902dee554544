"""A figure that many scans make together, with its interval or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure.

    Args:
        name: what it is called.
        value: None where it can't be known.
        low_95, high_95: its interval; None where there is none.
        scans, patients: how many it was told by.
        definition: what it is.
        why: in words, why there is no value or no interval; empty where there are both.
    """

    name: str
    value: float | None
    low_95: float | None
    high_95: float | None
    scans: int
    patients: int
    definition: str
    why: str = ""

    def text(self) -> str:
        """Describe the figure, with its interval or why there is none."""
        told = f"{self.name} " + ("-" if self.value is None else f"{self.value:.3f}")
        if self.low_95 is not None and self.high_95 is not None:
            return f"{told} (95 % interval {self.low_95:.3f} to {self.high_95:.3f})"
        return f"{told} ({self.why})"
