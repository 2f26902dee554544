"""Results on disk, one JSON file a workload, and the figures drawn from them."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.json_codec import Stored

PACKAGES = ("torch", "numpy", "scipy", "SimpleITK", "batchgenerators")


@dataclass(frozen=True)
class Machine:
    """What decides how fast things are here."""

    cpu: str
    cores: int
    memory_gib: float
    torch_threads: int
    bf16: bool
    system: str

    def text(self) -> str:
        reduced = "native bfloat16" if self.bf16 else "no bfloat16"
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB, {reduced}; "
            f"{self.torch_threads} torch threads; {self.system}"
        )


@dataclass(frozen=True)
class Results(Stored):
    """All rounds of one workload, as they were.

    Args:
        workload: its name.
        machine: where they ran.
        versions: environment -> package -> version.
        memory: tool -> "PSS" or "RSS", what the peak is the sum of.
        rounds: tool -> one set of figures (wall_s, cpu_s, peak_mib ...) a round.
        limit: number of cases it was cut to; None for the whole workload.
        facts: anything else worth keeping, such as rows of a table.
    """

    workload: str
    machine: Machine
    versions: dict[str, dict[str, str]]
    memory: dict[str, str] = field(default_factory=dict)
    rounds: dict[str, tuple[dict[str, float], ...]] = field(default_factory=dict)
    limit: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    schema: int = 1

    def values(self, tool: str, figure: str) -> list[float]:
        """The figure in every round of the tool that has it."""
        return [figures[figure] for figures in self.rounds.get(tool, ()) if figure in figures]

    def comparable(self, other: Results) -> bool:
        """Whether rounds of both may stand in one file: same machine, versions and cases."""
        return (self.machine, self.versions, self.limit) == (other.machine, other.versions, other.limit)


@dataclass(frozen=True)
class Spread:
    """Median and range of a figure over rounds."""

    median: float
    low: float
    high: float
    rounds: int


def spread(values: Sequence[float]) -> Spread | None:
    """None where there is no value."""
    return Spread(statistics.median(values), min(values), max(values), len(values)) if values else None


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours / theirs round by round; where theirs has fewer rounds they are used again in turn."""
    if not theirs:
        return []
    return [mine / theirs[number % len(theirs)] for number, mine in enumerate(ours)]


def results_path(work: Path, name: str) -> Path:
    return work / "results" / f"{name}.json"


def load(work: Path, name: str) -> Results | None:
    """The workload's results, or None where there are none yet."""
    path = results_path(work, name)
    return read_stored(Results, path) if path.is_file() else None


def save(work: Path, results: Results) -> None:
    """Whole or not at all."""
    write_json(results_path(work, results.workload), results.to_json())


def load_all(work: Path) -> dict[str, Results]:
    """Name -> results of everything measured so far."""
    names = sorted(path.stem for path in (work / "results").glob("*.json"))
    return {name: found for name in names if (found := load(work, name)) is not None}


def this_machine() -> Machine:
    """Describe the machine that this runs on."""
    import torch

    from vmseg_auto.utils.devices import reduced_precision

    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory, 1),
        torch_threads=torch.get_num_threads(),
        bf16=reduced_precision(torch.device("cpu")) is not None,
        system=f"{platform.system()} {platform.machine()}",
    )


def our_versions() -> dict[str, str]:
    """Versions in this environment, our commit among them."""
    found = {"python": platform.python_version(), "vmseg_auto": _commit()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def _commit() -> str:
    """The tree's commit; "dirty" where more is changed than docs, which measurements write."""
    tree = Path(__file__).parents[1]

    def git(*words: str) -> str:
        command = ["git", *words]
        return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit
