"""Jobs: commands that the start page has started, each a process of its own that goes on without page and server.

A job is a few files in the folder vmseg_jobs of the start folder: NUMBER.json tells what runs, NUMBER.log holds what
the command says, and NUMBER.stop is there once somebody has asked it to stop. The record is written by the process that
runs the job (start/run_job.py) alone, which holds a lock on NUMBER.lock as long as it lives: so a job whose machine was
switched off is known for one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmseg_auto.utils.atomic import read_stored, whole_files
from vmseg_auto.utils.console import Silent, quoted
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.locks import holder, locked
from vmseg_auto.utils.owners import has_ended

FOLDER = "vmseg_jobs"
"""Of the start folder."""
KEPT = 50
"""Jobs that are kept; of older ones that have ended the files are removed."""
PRIVATE = 0o600
"""Rights of a log: what a command says can name patients."""
_STARTS_S = 60.0
_POLL_S = 0.05
_TAIL = 1 << 16
_APART: int = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""On Windows; elsewhere a new session keeps a job apart from the terminal."""
End = Literal["running", "done", "some failed", "refused", "failed", "stopped", "lost"]
"""How a job stands. "lost": it has ended, and nothing tells how."""
_ENDS: dict[int, End] = {0: "done", 2: "refused", 3: "some failed"}


@dataclass(frozen=True)
class Job(Stored):
    """A command that was started.

    Args:
        number: from 1.
        step: of the start page.
        dataset: that it works on, as seen from the start folder; empty where there is none.
        command: its words.
        began: local time, ISO 8601.
        runner: name of the process that waits for the command's end (utils/owners.py), where the file system has no
            locks; empty where that process holds the job's lock.
        process: number of the command's own process.
        ended: local time; empty while it runs.
        exit_code: None while it runs.
    """

    number: int
    step: str
    dataset: str
    command: tuple[str, ...]
    began: str
    runner: str
    process: int
    ended: str = ""
    exit_code: int | None = None
    schema: int = 2

    @property
    def text(self) -> str:
        """The command as it is typed.

        >>> Job(1, "train", "my patients", ("vmseg_train", "0", "-d", "my patients"), "", "", 0).text
        'vmseg_train 0 -d "my patients"'
        """
        return " ".join(map(quoted, self.command))


@dataclass(frozen=True)
class Jobs:
    """The jobs of a start folder.

    Args:
        root: the start folder.
    """

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / FOLDER

    def record(self, number: int) -> Path:
        return self.folder / f"{number:04d}.json"

    def log(self, number: int) -> Path:
        return self.folder / f"{number:04d}.log"

    def stop_file(self, number: int) -> Path:
        return self.folder / f"{number:04d}.stop"

    def lock(self, number: int) -> Path:
        return self.folder / f"{number:04d}.lock"

    def read_all(self, problems: list[str] | None = None) -> list[Job]:
        """Return all jobs, the latest last.

        Args:
            problems: records that can't be read are named here.
        """
        found = []
        for path in whole_files(self.folder, "[0-9]*.json"):
            try:
                found.append(read_stored(Job, path, remedy="Delete it: the job itself is not touched by that."))
            except VmsegError as error:
                if problems is not None:
                    problems.append(str(error))
        return sorted(found, key=lambda job: job.number)

    def read(self, number: int) -> Job:
        """Return a job; raises InputError where there is none of that number."""
        for job in self.read_all():
            if job.number == number:
                return job
        raise InputError("there is no such job", remedy="Load the page again.")

    def standing(self, job: Job) -> End:
        """Return how a job stands."""
        if job.exit_code is None:
            if not self._is_over(job):
                return "running"
            job = self._as_stored(job)  # it may have ended in order, after its record was read
        if job.exit_code is None:
            return "lost"
        if job.exit_code and self.stop_file(job.number).exists():
            return "stopped"
        return _ENDS.get(job.exit_code, "failed")

    def start(self, step: str, dataset: str, command: Sequence[str]) -> Job:
        """Start a command in the start folder, and return once it runs.

        Args:
            step: of the start page; of each step one job can run.
            command: its words, the first of which is a command of vmseg_auto.

        Raises:
            InputError: a job of that step runs.
            VmsegError: the job can't be started.
        """
        with locked(self.folder / "jobs.lock", "vmseg_review", Silent()):
            there = self.read_all()
            if running := next((job for job in there if job.step == step and self.standing(job) == "running"), None):
                remedy = "Wait until it has ended, or stop it."
                raise InputError(f"`{running.text}` is at work", remedy=remedy)
            self._remove_oldest(there)
            number = self._next_number()
            return self._run(number, [str(self.root), str(number), step, dataset, *command])

    def stop(self, job: Job) -> None:
        """Ask a job to stop; what it has done is kept."""
        if self.standing(job) == "running":
            self.stop_file(job.number).touch()

    def tail(self, number: int) -> str:
        """Return the last lines that a command has written; of a line that was written over, what stands there last."""
        try:
            with self.log(number).open("rb") as file:
                start = max(0, os.fstat(file.fileno()).st_size - _TAIL)
                file.seek(start)
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
        return "\n".join(lines[1:] if start else lines).strip("\n")

    def _is_over(self, job: Job) -> bool:
        """Return whether the process that runs a job has ended, in whatever way."""
        return bool(has_ended(job.runner)) if job.runner else holder(self.lock(job.number)) is None

    def _as_stored(self, job: Job) -> Job:
        return next((one for one in self.read_all() if one.number == job.number), job)

    def _next_number(self) -> int:
        """Return a number that no file has: one whose record is damaged keeps its own."""
        taken = [int(path.stem) for path in self.folder.glob("[0-9]*.*") if path.stem.isdecimal()]
        return max(taken, default=0) + 1

    def _run(self, number: int, arguments: Sequence[str]) -> Job:
        """Start the process that runs a job, and wait for the record that it writes."""
        runner = subprocess.Popen(
            [sys.executable, "-P", "-m", "vmseg_auto.start.run_job", *arguments],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            creationflags=_APART,
        )
        threading.Thread(target=runner.wait, daemon=True).start()  # whoever starts a process has to see its end
        latest = time.monotonic() + _STARTS_S
        while not self.record(number).is_file():
            over = runner.poll() is not None or time.monotonic() > latest
            if over and not self.record(number).is_file():
                said = self.tail(number) or "no reason is known"
                raise VmsegError(f"the command can't be started ({said})", remedy="Try it in a terminal.")
            time.sleep(_POLL_S)
        return self.read(number)

    def _remove_oldest(self, there: Sequence[Job]) -> None:
        for job in there[: max(0, len(there) - KEPT)]:
            if self.standing(job) != "running":
                for file in (self.log, self.stop_file, self.lock, self.record):
                    file(job.number).unlink(missing_ok=True)
