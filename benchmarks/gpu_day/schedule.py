"""The checks in their order, each run in a process of its own and ended at its limit."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_day.findings import Figures, Finding, State
from benchmarks.measure import CommandFailedError, measure
from vmseg_auto.utils.atomic import read_stored

START_S = 8.0
"""What a process takes to load torch and to find its device, beside the time of its check."""
PATIENCE = 20.0
"""A rehearsal may take so many times as long: it runs on any machine, and beside other work."""
LAST_LINES = 8
"""Of a failed check's log, kept among the results."""


@dataclass(frozen=True)
class Check:
    """One thing to show.

    Args:
        name: its module in `checks`.
        seconds: its share of the day.
        shows: in words.
    """

    name: str
    seconds: float
    shows: str


CHECKS = (
    Check("ceilings", 10, "versions, and what the card reaches at most"),
    Check("steps", 25, "training steps beside the CPU's, and that they never wait"),
    Check("logits", 25, "logits and masks beside the CPU's"),
    Check("determinism", 20, "the same bits twice, and after an interruption"),
    Check("augmentation", 30, "augmentation on the device beside batchgenerators'"),
    Check("speed", 110, "seconds of a training step, beside nnU-Net's"),
    Check("memory", 35, "memory of trainings, and what is done for want of it"),
    Check("head", 50, "a full-size head by five networks in eight mirrorings, beside nnU-Net's"),
    Check("accuracy", 160, "Dice after a short training, beside nnU-Net's"),
)


@dataclass(frozen=True)
class Place:
    """Where and how the checks are run.

    Args:
        device: "cuda" or "cpu".
        folder: what each check works in and writes to.
        toy: whether this is a rehearsal.
        environment: of each check's process.
    """

    device: str
    folder: Path
    toy: bool
    environment: Mapping[str, str]

    def figures(self, check: Check) -> Path:
        return self.folder / "figures" / f"{check.name}.json"

    def log(self, check: Check) -> Path:
        return self.folder / "logs" / f"{check.name}.txt"


def chosen(names: Sequence[str] | None) -> list[Check]:
    """The checks of these names, in their order; all for None."""
    return [check for check in CHECKS if names is None or check.name in names]


def run_all(checks: Sequence[Check], place: Place, ends: float) -> Iterator[tuple[Check, Finding]]:
    """Run one check after another, whatever becomes of each; none goes on when time.monotonic() is `ends`."""
    for check in checks:
        limit = (check.seconds + START_S) * (PATIENCE if place.toy else 1.0)
        yield check, run_one(check, place, min(limit, ends - time.monotonic()))


def run_one(check: Check, place: Place, limit_s: float) -> Finding:
    """Run a check in its own process; at its limit that process and all that it started are killed."""
    figures, log = place.figures(check), place.log(check)
    figures.unlink(missing_ok=True)
    if limit_s < START_S:
        return Finding("out of time", 0.0, max(limit_s, 0.0), error="nothing of the budget was left for it")
    command = [
        sys.executable, "-m", "benchmarks.gpu_day.one", check.name, "--device", place.device,
        "--folder", str(place.folder), "--figures", str(figures), "--limit", f"{limit_s:.1f}",
    ]  # fmt: skip
    state: State = "done"
    began, error = time.monotonic(), ""
    try:
        measure([*command, "--toy"] if place.toy else command, log, place.environment, timeout_s=limit_s)
    except CommandFailedError as failure:
        state = "out of time" if time.monotonic() - began >= limit_s else "failed"
        ended, *told = str(failure).splitlines()[1:]
        error = "\n".join([ended.partition(";")[0], *told[-LAST_LINES:]])
    seconds = time.monotonic() - began
    found = read_stored(Figures, figures).figures if figures.is_file() else ()
    return Finding(state, seconds, limit_s, found, error)
