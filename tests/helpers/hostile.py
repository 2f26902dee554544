"""A worker of the fuzzer that meets the worst."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path


def serve(pipe: Connection, cohort: Path, place: Path, seed: int) -> None:
    """Answer to "reads", die at "dies", compute without end at "computes", wait without end at "waits"."""
    pipe.send("ready")
    while True:
        name, _ = pipe.recv()
        if name == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        while name == "computes":
            pass
        if name == "waits":
            time.sleep(1000)
        pipe.send("read")
