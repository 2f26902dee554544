"""The process that runs a job: it starts the command, stops it where that is asked for, and writes down how it ended.

    python -m vmseg_auto.start.run_job ROOT NUMBER STEP DATASET COMMAND ...

It outlives the server that has started it. A command that is killed, as by a system that has no memory left, still has
an exit code in its record.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from vmseg_auto.start.jobs import PRIVATE, Job, Jobs
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.locks import locked
from vmseg_auto.utils.owners import this_process
from vmseg_auto.utils.signals import SIGNALS

_POLL_S = 0.3
_COMMAND = "vmseg_"


def run_job(root: Path, number: int, step: str, dataset: str, command: Sequence[str]) -> int:
    """Run a command in the start folder to its end, and return its exit code.

    Args:
        root: the start folder.
        number, step, dataset, command: as in the record.

    Raises:
        VmsegError: the record can't be written.
    """
    jobs = Jobs(root)
    with locked(jobs.lock(number), command[0], Silent()) as held:
        return _run(jobs, Job(number, step, dataset, tuple(command), _now(), "" if held else this_process(), 0))


def _run(jobs: Jobs, job: Job) -> int:
    """Run a command, and write down that it runs and how it ended."""
    number = job.number
    handle = os.open(jobs.log(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    with os.fdopen(handle, "w") as log, _started(job.command, jobs.root, log.fileno()) as process:
        for one in (*SIGNALS, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)  # this process stays to see the command's end
        job = replace(job, process=process.pid)
        write_json(jobs.record(number), job.to_json())
        code = _waited_for(process, jobs.stop_file(number))
    write_json(jobs.record(number), replace(job, ended=_now(), exit_code=code).to_json())
    return code


def _started(command: Sequence[str], root: Path, log: int) -> subprocess.Popen[bytes]:
    module = f"vmseg_auto.cli.{command[0].removeprefix(_COMMAND)}"
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *command[1:]],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
    )


def _waited_for(process: subprocess.Popen[bytes], stop: Path) -> int:
    """Wait for the end of a process, which is asked to stop as soon as a file is there."""
    asked = False
    while True:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if not asked and stop.exists():
                process.terminate()
                asked = True


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(run_job(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:]))
