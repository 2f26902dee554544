"""Time, CPU time and memory of a command and of every process that it starts. Linux only: it reads /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

PERIOD_S = 0.05
FIRST_PERIOD_S = 0.002
"""A command just begun is looked at more often, as it may be over in a moment."""
PSS_SHARE = 0.02
"""Share of one core that reading proportional set sizes may take: the kernel walks every page for it."""
NEW_HIGH = 1.01
"""A resident size this much above the highest so far is looked at at once, whatever it costs."""
MIB = 2**20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_HAS_PSS = Path("/proc/self/smaps_rollup").exists()

MemoryKind = Literal["PSS", "RSS"]


class CommandFailedError(Exception):
    """A measured command ended with an error; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Args:
        wall_s: from its start to its end.
        cpu_s: user and system time of the process and all below it.
        peak_mib: the highest sum of its processes' memory that a sample saw.
        memory: PSS (a page shared by n processes counts 1/n in each), or RSS where PSS can't be read (shared pages
            count in each process).
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    memory: MemoryKind


def measure(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, timeout_s: float | None = None
) -> Usage:
    """Run a command to its end, its output going to a file.

    Args:
        command: program and arguments.
        log: what it prints; overwritten.
        environment: of the command; this process's own unless given.
        timeout_s: after which it is ended.

    Raises:
        CommandFailedError: its exit code isn't 0, or it took too long.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        watch = _Watch(process.pid)
        alarm = threading.Timer(timeout_s or 1e6, end_session, (process.pid,))
        alarm.daemon = True
        try:
            watch.start()
            alarm.start()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            alarm.cancel()
            watch.stop()
            end_session(process.pid)
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise CommandFailedError(f"{' '.join(command)}\nended with {process.returncode}; its log ({log}) says:\n{tail}")
    # What the kernel counted misses children that nobody waited for; what was sampled misses each one's last moment.
    cpu = max(used.ru_utime + used.ru_stime, sum(watch.tree.cpu_s.values()))
    peak, kind = watch.tree.peak()
    return Usage(wall, cpu, peak / MIB, kind)


@dataclass
class Tree:
    """What the samples of one session's processes have shown so far. Sizes in bytes."""

    session: int
    cpu_s: dict[int, float] = field(default_factory=dict)
    high_rss: int = 0
    high_pss: int = 0
    blind: bool = False
    _next_pss: float = 0.0

    def sample(self) -> None:
        """Look at every process of the session once."""
        pids, rss = [], 0
        for pid, cpu, resident in processes_of(self.session):
            pids.append(pid)
            self.cpu_s[pid] = cpu
            rss += resident
        now = time.monotonic()
        if rss > NEW_HIGH * self.high_rss or now >= self._next_pss:
            self.high_rss = max(self.high_rss, rss)
            sizes = [proportional_size(pid) for pid in pids]
            self.blind |= any(size is None for size in sizes)
            self.high_pss = max(self.high_pss, sum(size or 0 for size in sizes))
            self._next_pss = time.monotonic() + (time.monotonic() - now) / PSS_SHARE

    def peak(self) -> tuple[int, MemoryKind]:
        """The highest sum of any sample, and what was summed."""
        return (self.high_rss, "RSS") if self.blind else (self.high_pss, "PSS")


class _Watch:
    """A thread that samples a session until it's told to stop."""

    def __init__(self, session: int) -> None:
        self.tree = Tree(session)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        began = time.monotonic()
        period = FIRST_PERIOD_S
        while not self._over.wait(period):
            self.tree.sample()
            period = min(PERIOD_S, max(FIRST_PERIOD_S, (time.monotonic() - began) / 10))


def processes_of(session: int) -> Iterator[tuple[int, float, int]]:
    """(pid, CPU seconds, resident bytes) of each process of a session, orphans among them, and of those below them."""
    found: dict[int, list[str]] = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if name.isdecimal():
                found[int(name)] = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()

    def belongs(pid: int) -> bool:
        """torchrun gives each of its processes a session of its own."""
        while pid in found:
            if int(found[pid][3]) == session:
                return True
            pid = int(found[pid][1])
        return False

    for pid, fields in found.items():
        if belongs(pid):
            yield pid, (int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * _PAGE


def proportional_size(pid: int) -> int | None:
    """Proportional set size in bytes; 0 for a process that has ended or is just ending, None where it's kept secret."""
    if not _HAS_PSS:
        return None
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:
        return None
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def end_session(leader: int) -> None:
    """End what a command has left behind: it was started as the leader of a session and group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
