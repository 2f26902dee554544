"""Which process something belongs to, and whether that process has ended. Process numbers are used again: its start
tells one from the next, and the machine's last start and the container tell machines apart that share a disk."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

_OWNER = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)")
_PROCESSES = Path("/proc")
_DEAD = ("Z", "X", "x")
"""States of a process that has ended and whose parent has not looked yet."""


def this_process() -> str:
    """Return the name of this process: letters, digits and - alone."""
    return _named(os.getpid())


def has_ended(owner: str) -> bool | None:
    """Return whether the process of that name has ended; None where that can't be known from here, as of another
    machine's.
    """
    found = _OWNER.fullmatch(owner)
    if found is None or found[1] != _machine() or os.name != "posix":
        return None
    process = int(found[2])
    if _PROCESSES.is_dir():
        return _start(process) != int(found[3])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False


@cache
def _named(process: int) -> str:  # a forked process is another one
    return f"{_machine()}-{process}-{_start(process)}"


@cache
def _machine() -> str:
    about = platform.node()
    with suppress(OSError):
        about += (_PROCESSES / "sys/kernel/random/boot_id").read_text(encoding="ascii")
        about += os.readlink(_PROCESSES / "self/ns/pid")
    return hashlib.sha256(about.encode(errors="replace")).hexdigest()[:8]


def _start(process: int) -> int:
    """Return when a process was started, in ticks since the machine's start; 0 where there is none or nobody knows."""
    try:
        about = (_PROCESSES / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    state, *numbers = about.rpartition(")")[2].split()
    return 0 if state in _DEAD else int(numbers[18])
