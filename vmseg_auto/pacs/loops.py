"""Work that goes on until the node is stopped, and when what has failed is tried again."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

TICK_S = 0.2
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 300.0
"""Before what failed is tried again; each time twice as long."""


class Loop(threading.Thread):
    """Does a step again and again until all is stopped. What it raises is kept for the main thread."""

    def __init__(self, step: Callable[[], object], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._step, self._stop_event = step, stop
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self._stop_event.wait(TICK_S):
                self._step()
        except Exception as error:  # a mistake of our own: the node ends with it
            self.error = error


@dataclass
class Waits:
    """How long what has failed waits before it is tried again: longer each time."""

    _times: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _until: dict[str, float] = field(default_factory=dict)

    def is_due(self, name: str) -> bool:
        return time.monotonic() >= self._until.get(name, 0.0)

    def failed(self, name: str) -> None:
        wait = min(_FIRST_WAIT_S * 2 ** self._times[name], _LONGEST_WAIT_S)
        self._times[name] += 1
        self._until[name] = time.monotonic() + wait

    def done(self, name: str) -> None:
        self._times.pop(name, None)
        self._until.pop(name, None)
