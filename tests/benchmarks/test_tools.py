"""Jobs of a preprocessing end, and are told apart where they fail."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks.measure import processes_of
from benchmarks.tools import Job, SetupError, run_once


def python(script: str) -> Job:
    return Job((sys.executable, "-c", script))


def test_what_a_job_leaves_behind_is_not_waited_for_and_ended(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    run_once(
        python(
            "import os, pathlib, subprocess, sys\n"
            "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            f"pathlib.Path({str(noted)!r}).write_text(str(os.getpid()))\n"
            "os._exit(0)"
        )
    )
    deadline = time.monotonic() + 30
    while any(resident for _, _, resident in processes_of(int(noted.read_text()))):  # one not waited for holds none
        assert time.monotonic() < deadline, "a process of the job is still there"
        time.sleep(0.05)


def test_a_job_that_fails_says_what_it_said_last() -> None:
    script = "import sys; print(*(f'line {n}' for n in range(25)), sep='\\n', flush=True); sys.exit('out of luck')"
    with pytest.raises(SetupError, match=r"(?s)ended with 1:\nline 1\n.*line 24\nout of luck$"):
        run_once(python(script))
