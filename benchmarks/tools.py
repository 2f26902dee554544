"""How the two tools are called, each as whole processes of its own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from benchmarks.measure import end_session

NNUNET_VERSION = "2.8.1"
DRIVERS = Path(__file__).parent / "drivers"
SPOILERS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""What would lead nnU-Net's Python to this environment's packages."""
POLL_S = 0.2

T = TypeVar("T")


class SetupError(Exception):
    """Something that the benchmark needs isn't there; the message says what."""


@dataclass(frozen=True)
class Job:
    """One tool's part of a workload.

    Args:
        command: program and arguments.
        environment: changes to this process's environment; None takes a variable away.
        fresh: files and folders removed before each round.
        figures: JSON that the command writes, with further figures of a round.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    fresh: tuple[Path, ...] = ()
    figures: Path | None = None

    def full_environment(self) -> dict[str, str]:
        changed = {**os.environ, **self.environment}
        return {name: value for name, value in changed.items() if value is not None}

    def clear(self) -> None:
        """Remove what an earlier round wrote."""
        for path in self.fresh:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Bench:
    """Where everything lies.

    Args:
        nnunet: virtual environment with nnU-Net.
        data: folder of the test data.
        work: inputs, outputs, logs and results.
        gated_model: run folder of our five folds with their calibration; None skips what needs it.
        limit: take only this many cases of each input, to try a workload out.
        steps: timed steps of a training, after `warm_up`.
    """

    nnunet: Path
    data: Path
    work: Path
    gated_model: Path | None = None
    limit: int | None = None
    steps: int = 40
    warm_up: int = 10

    def folder(self, name: str) -> Path:
        """A folder for a workload's inputs and outputs."""
        suffix = f"_{self.limit}" if self.limit else ""
        path = self.work / "runs" / f"{name}{suffix}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def ours(self, name: str, *arguments: str | Path, fresh: tuple[Path, ...] = ()) -> Job:
        """Our command vmseg_NAME."""
        return Job((sys.executable, "-m", f"vmseg_auto.cli.{name}", *map(str, arguments)), fresh=fresh)

    def theirs(self, name: str, *arguments: str | Path, home: Path, fresh: tuple[Path, ...] = ()) -> Job:
        """nnU-Net's command nnUNetv2_NAME."""
        command = (str(self.nnunet / "bin" / f"nnUNetv2_{name}"), *map(str, arguments))
        return Job(command, nnunet_environment(home), fresh)

    def our_driver(self, name: str, *arguments: str | Path, figures: Path) -> Job:
        """One of our scripts in `drivers`, as a process of this environment."""
        return Job((sys.executable, "-m", f"benchmarks.drivers.{name}", *map(str, arguments)), figures=figures)

    def their_driver(self, name: str, *arguments: str | Path, home: Path, figures: Path) -> Job:
        """A script in `drivers` that drives nnU-Net, as a process of its environment."""
        command = (str(self.nnunet / "bin" / "python"), str(DRIVERS / f"{name}.py"), *map(str, arguments))
        return Job(command, nnunet_environment(home), figures=figures)

    def check(self) -> None:
        """Raises SetupError where the data is missing, or nnU-Net of the version compared with."""
        if not (self.data / "nnunet").is_dir():
            raise SetupError(f"no test data in {self.data}: give --data or set VMSEG_TEST_DATA")
        found = nnunet_versions(self.nnunet).get("nnunetv2", "none")
        if found != NNUNET_VERSION:
            raise SetupError(f"{self.nnunet} holds nnunetv2 {found}; the comparison is with {NNUNET_VERSION}")


def nnunet_environment(home: Path) -> dict[str, str | None]:
    """nnU-Net's three folders in `home`, and nothing of our environment."""
    folders: dict[str, str | None] = {f"nnUNet_{name}": str(home / name) for name in ("raw", "preprocessed", "results")}
    return folders | dict.fromkeys(SPOILERS)


def on_threads(count: int) -> dict[str, str | None]:
    """Changes to a command's environment with which torch computes on so many threads."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(count))


def nnunet_versions(environment: Path) -> dict[str, str]:
    """Versions of the packages in nnU-Net's environment that decide its speed; empty where there is none."""
    python = environment / "bin" / "python"
    if not python.exists():
        return {}
    script = (
        "from importlib.metadata import version, PackageNotFoundError\n"
        "for name in ('nnunetv2', 'torch', 'numpy', 'scipy', 'SimpleITK', 'batchgeneratorsv2'):\n"
        "    try: print(name, version(name))\n"
        "    except PackageNotFoundError: pass\n"
    )
    kept = {name: value for name, value in os.environ.items() if name not in SPOILERS}
    done = subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=True, env=kept)
    return dict(line.split() for line in done.stdout.splitlines())


def run_once(job: Job) -> None:
    """Run a job that isn't timed, as part of a preprocessing, and end what it leaves behind.

    Raises:
        SetupError: it ends with an error.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(
            job.command, env=job.full_environment(), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait()
        finally:
            end_session(process.pid)
        said.seek(0)
        if process.returncode != 0:
            tail = "".join(said.readlines()[-25:]).rstrip()
            raise SetupError(f"{' '.join(job.command)}\nended with {process.returncode}:\n{tail}")


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def chosen_by_name(items: Sequence[N], names: Sequence[str] | None, kind: str) -> list[N]:
    """Those of these names, or whose names begin with one of them and an underscore; all for None.

    Raises:
        SetupError: a name fits none.
    """
    if names is None:
        return list(items)
    exact = {item.name for item in items}

    def fits(item: N, name: str) -> bool:
        return item.name == name or (name not in exact and item.name.startswith(f"{name}_"))

    for name in names:
        if not any(fits(item, name) for item in items):
            raise SetupError(f"there is no {kind} {name!r}: {', '.join(item.name for item in items)}")
    return [item for item in items if any(fits(item, name) for name in names)]


def side_by_side(
    queue: Iterable[T], jobs: int, start: Callable[[T], subprocess.Popen[bytes]], ended: Callable[[T, int], None]
) -> None:
    """Keep so many processes running until the queue is empty. If this ends early, so do they."""
    waiting, running = deque(queue), list[tuple[T, subprocess.Popen[bytes]]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                item = waiting.popleft()
                running.append((item, start(item)))
            time.sleep(POLL_S)
            for pair in [pair for pair in running if pair[1].poll() is not None]:
                running.remove(pair)
                ended(pair[0], pair[1].returncode)
    finally:
        for _, process in running:
            process.terminate()
        for _, process in running:
            process.wait()
