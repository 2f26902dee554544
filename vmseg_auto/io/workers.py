"""What every worker process begins with."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from types import FrameType

from vmseg_auto.io.stopping import SIGNALS

LINGER_S = 20
"""How long a worker that is told to end still works for its parent."""


def serve() -> None:
    """Leave signals to the parent, and end when it ends, however it does.

    A cluster tells all processes of a job to end, and the parent may want one more batch before it has saved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # not on Windows
        for number in SIGNALS:
            signal.signal(number, _linger if number == signal.SIGTERM else signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _linger(number: int, frame: FrameType | None) -> None:
    signal.alarm(LINGER_S)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
