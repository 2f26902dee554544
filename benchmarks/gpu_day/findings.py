"""What the checks found: figures, what was wanted of each, and whether it holds; results.json."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmarks.results import Machine
from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.json_codec import Stored

State = Literal["done", "failed", "out of time"]


@dataclass(frozen=True)
class Figure:
    """One number.

    Args:
        name: what it is, unique in its check.
        value: None where it could not be found, or is not finite.
        unit: such as "ms"; empty for shares and counts.
        wanted: in words, such as "at most 40 ms"; or why there is no value.
        holds: whether it is as wanted; None where nothing is wanted of it.
    """

    name: str
    value: float | None
    unit: str = ""
    wanted: str = ""
    holds: bool | None = None

    def text(self) -> str:
        """The value with its unit."""
        return "-" if self.value is None else f"{self.value:.4g} {self.unit}".rstrip()


def noted(name: str, value: float, unit: str = "") -> Figure:
    """A figure of which nothing is wanted."""
    return Figure(name, _finite(value), unit)


def at_most(name: str, value: float, limit: float, unit: str = "") -> Figure:
    """NaN and infinity never hold."""
    wanted = f"at most {limit:.4g} {unit}".rstrip()
    return Figure(name, _finite(value), unit, wanted, math.isfinite(value) and value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Figure:
    """NaN and infinity never hold."""
    wanted = f"at least {limit:.4g} {unit}".rstrip()
    return Figure(name, _finite(value), unit, wanted, math.isfinite(value) and value >= limit)


def left_out(name: str, why: str) -> Figure:
    """What can't be found here; `why` in a few words."""
    return Figure(name, None, wanted=f"left out: {why}")


def went_wrong(name: str, error: Exception) -> Figure:
    """What ended with an error, so that the check's other parts go on."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return Figure(name, None, wanted=f"failed: {text[:300]}", holds=False)


@dataclass(frozen=True)
class Figures(Stored):
    """What a check has found so far."""

    figures: tuple[Figure, ...]
    schema: int = 1


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Args:
        state: whether it came to its end.
        seconds: of its process, start and imports included.
        limit_s: after which it was to be ended.
        figures: those it found, also where it did not come to its end.
        error: the last lines of its log where it failed.
    """

    state: State
    seconds: float
    limit_s: float
    figures: tuple[Figure, ...] = ()
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether it came to its end, and nothing was other than wanted."""
        return self.state == "done" and not any(figure.holds is False for figure in self.figures)


@dataclass(frozen=True)
class DayResults(Stored):
    """results.json: every check that has been run so far.

    Args:
        machine: where they ran.
        device: its name.
        versions: package -> version, the commit among them.
        toy: whether everything was of toy size.
        findings: check -> what came of it.
    """

    machine: Machine
    device: str
    versions: dict[str, str]
    toy: bool
    findings: dict[str, Finding] = field(default_factory=dict)
    schema: int = 1

    def comparable(self, other: DayResults) -> bool:
        """Whether findings of both may stand in one file."""
        return replace(self, findings={}) == replace(other, findings={})


def read_results(path: Path) -> DayResults:
    """Raises InputError where it is missing or damaged."""
    return read_stored(DayResults, path)


def write_results(path: Path, results: DayResults) -> None:
    """Whole or not at all."""
    write_json(path, results.to_json())


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
