"""A process that reads what may harm it, watched from outside. Linux only."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

PROCESSOR_S, WAIT_S = 10.0, 30.0
"""Most that a file may take: of the processor, and in which every thread sleeps. Other programs may have it longer."""
_LOOK_S = 0.2
_TICK = os.sysconf("SC_CLK_TCK")
Serve = Callable[[Connection, Path, Path, int], None]
"""What the process does: (pipe, cohort, place of its own, seed)."""


class Worker:
    """Answers tasks one after another; a new process takes its place when it has to be ended."""

    def __init__(self, cohort: Path, seed: int, serve: Serve) -> None:
        self.cohort, self.seed, self.serve = cohort, seed, serve
        self.place = Path(tempfile.mkdtemp())
        self._start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()
        shutil.rmtree(self.place)

    def attempt(self, subject: str, number: int) -> str:
        """What the process answers, or why it could not."""
        self.pipe.send((subject, number))
        waited, used = 0.0, self._processor_s()
        while not self.pipe.poll(_LOOK_S):
            if not self.process.is_alive():
                code = self.process.exitcode
                self._restart()
                return f"the process died (exit code {code})"
            waited += _LOOK_S * self._sleeps()
            if (taken := self._processor_s() - used) > PROCESSOR_S or waited > WAIT_S:
                self._restart()
                return f"no end after {taken:.0f} s of the processor and {waited:.0f} s of waiting"
        try:
            return str(self.pipe.recv())
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self._restart()
            return f"the process died (exit code {code})"

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=self.serve, args=(theirs, self.cohort, self.place, self.seed))
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def _end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def _restart(self) -> None:
        self._end()
        self._start()

    def _processor_s(self) -> float:
        for fields in self._told_of("stat"):
            return (int(fields[11]) + int(fields[12])) / _TICK
        return 0.0

    def _sleeps(self) -> bool:
        """Whether no thread computes, waits for the processor or was stopped."""
        return all(fields[0] in "SD" for fields in self._told_of("task/*/stat"))

    def _told_of(self, files: str) -> Iterator[list[str]]:
        """What the system tells of the process or its threads, from their state on."""
        for path in Path(f"/proc/{self.process.pid}").glob(files):
            with contextlib.suppress(OSError):
                yield path.read_text().rpartition(")")[2].split()
