"""Room for files of a moment: in the system's folder for them, else where the command writes to anyway."""

from __future__ import annotations

import atexit
import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmseg_auto.utils.disk import existing, free_bytes, in_words
from vmseg_auto.utils.errors import VmsegError

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What the system says where there is no room."""
_spare: list[Path] = []


def name_spare(folder: Path) -> None:
    """Name a folder that this process writes to, for the case that the system's own is missing, closed or full.

    Where Python finds none, it gets one there until it ends: torch and matplotlib ask for one when they are loaded.
    """
    _spare[:] = [folder]
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        with suppress(OSError):  # what needs a folder tells of it
            own = tempfile.TemporaryDirectory(prefix="vmseg_", dir=existing(folder), ignore_cleanup_errors=True)
            atexit.register(own.cleanup)
            tempfile.tempdir = own.name


@contextmanager
def scratch(needed: int) -> Iterator[Path]:
    """Yield an empty folder with room for so many bytes; it is gone afterwards.

    Raises:
        VmsegError: there is no room anywhere.
    """
    with _made(needed) as folder:
        yield Path(folder)


def no_room(place: Path, needed: int) -> VmsegError:
    """Return the error for when temporary files find no room."""
    problem = f"there is no room for {in_words(needed)} of temporary files"
    remedy = "Free some space there, or let the environment variable TMPDIR name a folder on another disk."
    return VmsegError(problem, file=place, remedy=remedy)


def _made(needed: int) -> tempfile.TemporaryDirectory[str]:
    place = Path("TMPDIR")
    for place in _places():
        with suppress(OSError):  # it is closed to us, or gone
            if free_bytes(place) >= needed:
                return tempfile.TemporaryDirectory(prefix="vmseg_", dir=place, ignore_cleanup_errors=True)
    raise no_room(place, needed)


def _places() -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())
    yield from map(existing, _spare)
