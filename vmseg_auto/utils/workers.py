"""Worker processes: how they are started, and what each begins with."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import wait
from types import FrameType
from typing import Any

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.signals import SIGNALS

GUARD = "`if __name__ == '__main__':`"
_SAFE_PATH = "PYTHONSAFEPATH"
LINGER_S = 20
"""How long a worker that is told to end still works for its parent."""


class Workers(ProcessPoolExecutor):
    """Processes that work for this one; each begins with `serve`, then with what is given.

    Spawned, not forked: fork is unsafe beside torch's threads, and absent on Windows. They import nothing from the
    current folder, which may be a stranger's.

    Raises:
        InputError: this process can have none, as its script is piped into python.
    """

    def __init__(self, count: int, begin: Callable[..., object] | None = None, arguments: tuple[Any, ...] = ()) -> None:
        _refuse_piped()
        with safe_path():
            super().__init__(count, get_context("spawn"), _begin, (begin, arguments))

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        with safe_path():  # a process may be started here
            return super().submit(work, *arguments, **more)


def may_have_workers() -> bool:
    """Return whether this process can start others: a daemon's, as of Celery, may not, and what they share takes some
    room.
    """
    if multiprocessing.current_process().daemon:
        return False
    try:
        with safe_path():
            get_context("spawn").Lock()
    except OSError:  # /dev/shm is full, or there is none
        return False
    return True


def _begin(begin: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    serve()
    if begin is not None:
        begin(*arguments)


def _refuse_piped() -> None:
    script = sys.modules["__main__"]
    path = getattr(script, "__file__", None)
    if path is not None and getattr(script, "__spec__", None) is None and not os.path.exists(path):
        remedy = f"Save the script as a file, with its calls below {GUARD}, and run that."
        raise InputError("a script that is piped into python can have no worker processes", remedy=remedy)


@contextmanager
def safe_path() -> Iterator[None]:
    """Let Python processes that are started within leave the current folder out of where they import from."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_SAFE_PATH, None)
        else:
            os.environ[_SAFE_PATH] = before


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
