"""Commands as processes of their own: alone, or as many as torchrun starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

HANGS_UP = (
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
)
"""Starts what follows as from a terminal, also where nohup was put before the tests."""


def start(
    module: str, *arguments: object, ranks: int = 1, restarts: int = 0, by: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Run a module in a process group of its own, computing with as many threads as this process does.

    Args:
        by: the command that starts Python, such as nohup.
    """
    threads, here = str(torch.get_num_threads()), str(Path(__file__).parents[2])
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}"]
    command = [*by, sys.executable, *(torchrun if ranks > 1 else []), "-m", module, *map(str, arguments)]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": here},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """While the process runs; a minute is time enough for its start on a busy machine."""
    for _ in range(12_000):
        if there():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()
    raise AssertionError(process.communicate()[0])


def lines(path: Path) -> int:
    """Of a text file; 0 where there is none."""
    return len(path.read_text().splitlines()) if path.is_file() else 0
