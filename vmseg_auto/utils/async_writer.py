"""Writing in the background, one piece of work after another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class AsyncWriter:
    """Does work in a thread of its own, in order, so that the caller goes on computing.

    A context manager: it ends when all is done. What a piece of work raises comes up at the next call, at the latest
    at the end. No more than one piece waits: a disk slower than the work holds the caller up, not the memory.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Begin with the work as soon as what was given before is done; raises what that raised."""
        self.finish()
        self._last = self._pool.submit(work)

    def finish(self) -> None:
        """Wait for what was given; raises what it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> AsyncWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if kind is None or issubclass(kind, KeyboardInterrupt):  # who stops must know that nothing was saved
            self.finish()
