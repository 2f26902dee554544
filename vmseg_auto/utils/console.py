"""How a command tells what it does, without knowing where that is shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

_PLAIN = re.compile(r"[\w@%+=:,./\\~-]+")
"""What no shell takes for anything but letters of a word."""


def shown(text: object, lines: bool = True) -> str:
    """Return a text as it may go to a screen or into a log: what could move the cursor, hide or turn words round, or is
    no text, stands there in escapes such as \\x1b.

    Args:
        lines: whether it may hold several; a name holds one.

    Example:
        >>> shown("a name\\x1b[2J")
        'a name\\\\x1b[2J'
    """
    return "".join(one if _is_plain(one, lines) else _escaped(one) for one in str(text))


def _escaped(letter: str) -> str:
    """Escape a letter as Python does; a byte of a name that is no UTF-8 (PEP 383) as that byte."""
    byte = ord(letter) - 0xDC00
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else ascii(letter)[1:-1]


def _is_plain(letter: str, lines: bool) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs" or (lines and letter in "\n\t")


def quoted(path: object) -> str:
    """Quote a path as a word of a command that is shown, which may be copied into any shell."""
    text = str(path)
    if _PLAIN.fullmatch(text):
        return text
    return f"'{text}'" if set(text) & set('$`"!') else f'"{text}"'


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Set rows as a table for the screen, its columns under one another.

    >>> print(columns([("case", "Dice"), ("anna", "0.91")]))
    case  Dice
    anna  0.91
    """
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


class Progress(Protocol):
    """One running task; a context manager."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def note(self, *texts: str) -> None:
        """Show short texts beside the bar, the most important first."""


class Console(Protocol):
    """Where words and progress go."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def show(self, text: str) -> None:
        """Say what no file may keep: it goes into no log."""

    def progress(self, title: str, total: int, done: int = 0) -> Progress: ...


class SilentProgress:
    """Shows nothing."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def advance(self, steps: int = 1) -> None:
        return None

    def note(self, *texts: str) -> None:
        return None


class Silent:
    """Says nothing: the Python API's default."""

    def say(self, text: str) -> None:
        return None

    def warn(self, text: str) -> None:
        return None

    def show(self, text: str) -> None:
        return None

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        return SilentProgress()
