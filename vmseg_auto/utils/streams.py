"""The screen as a place that may be missing or fail: words are not worth the work that they tell of."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from vmseg_auto.utils.console import shown


def open_streams() -> None:
    """See to it that input, output and errors go somewhere, and that any letter can be written.

    Where one is closed, the next file opened would get its number, and whatever a library prints would go into that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        with suppress(OSError):
            _fill(number)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r+" if number else "r", encoding="utf-8"))  # noqa: SIM115
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def write_text(text: str, stream: TextIO, end: str = "\n") -> None:
    """Write a text so that it gives no orders to a terminal; where that fails, the stream is silent from then on."""
    Steady(stream).write(shown(text) + end)


class Steady:
    """A stream that never fails: where nobody takes what is written, nothing is written any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, a pipe or terminal that is gone, a closed file
            silence(self._stream)
        return len(text)

    def __eq__(self, other: object) -> bool:
        return self is other or self._stream is other

    def __hash__(self) -> int:
        return hash(self._stream)

    def flush(self) -> None:
        return None

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False


def silence(stream: TextIO) -> None:
    """Let what is written to a stream, and what waits to be, go nowhere: at its end Python would fail on it again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()


def _fill(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
