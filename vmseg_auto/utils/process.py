"""Switches of a whole process, used by threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


def shared(make: Callable[[], AbstractContextManager[None]]) -> Callable[[], AbstractContextManager[None]]:
    """Return a context that many threads can be in at once: the first enters `make()`, the last leaves it."""
    lock = threading.Lock()
    entered: list[AbstractContextManager[None]] = []
    users = 0

    @contextmanager
    def together() -> Iterator[None]:
        nonlocal users
        with lock:
            if users == 0:
                entered.append(make())
                entered[0].__enter__()
            users += 1
        try:
            yield
        finally:
            with lock:
                users -= 1
                if users == 0:
                    entered.pop().__exit__(None, None, None)

    return together
