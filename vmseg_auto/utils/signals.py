"""Asked from outside to end: by a cluster that wants its machine back, or a system that shuts down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGHUP")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""What Slurm, LSF and SGE send before they take a machine away, and what a lost terminal or connection sends last;
Windows knows the first alone."""


class Stopped(KeyboardInterrupt):
    """A command is to end now; what it has done is kept.

    Args:
        number: of the signal. The exit code is 128 more, as a shell has it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn such a signal into Stopped within, as Ctrl-C raises KeyboardInterrupt; a second one is passed over."""
    got: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        got.append(number)
        if len(got) == 1:  # a cluster and torchrun may each send one
            raise Stopped(number)

    with _handled_by(stop):
        yield


@contextmanager
def noting_signals() -> Iterator[Callable[[], int]]:
    """Note such a signal within, and do nothing else about it.

    Yields:
        What tells the number of the last one; 0 before there is one.

    Raises:
        Stopped: at the end, where there was one.
    """
    noted = [0]

    def note(number: int, frame: FrameType | None) -> None:
        noted[0] = number

    with _handled_by(note):
        yield lambda: noted[0]
    if noted[0]:
        raise Stopped(noted[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no other may handle signals
        yield
        return
    before = {}
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):  # ignored, as under nohup, it stays so
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
