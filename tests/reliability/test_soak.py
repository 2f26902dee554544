"""Predicting again and again takes no more memory and leaves no file open."""

from __future__ import annotations

from pathlib import Path

from benchmarks.reliability.soak import Soak, soak

MIB = 2**20


def test_predictions_leave_nothing_behind(cohort: Path) -> None:
    found = soak(cohort, 12)
    assert found.leaked_files == 0
    assert found.growth < 0.05, [size // MIB for size in found.memory_bytes]


def test_growth_and_leaks_are_noticed() -> None:
    level = Soak((900 * MIB, *[1000 * MIB] * 50), (12, *[20] * 50))
    assert level.steady
    assert not Soak(tuple(MIB * (1000 + 2 * n) for n in range(50)), (20,) * 50).steady
    assert not Soak(level.memory_bytes, tuple(20 + n // 10 for n in range(51))).steady
