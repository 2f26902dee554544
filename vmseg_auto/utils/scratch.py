"""Room for files of a moment: in the system's folder for them, else where the command writes to anyway."""

from __future__ import annotations

import atexit
import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmseg_auto.utils.disk import existing, free_bytes, in_words
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.owners import has_ended, this_process

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What the system says where there is no room."""
_PREFIX = "vmseg_"
"""Of the names of such folders; the process follows."""
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
            own = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=existing(folder), ignore_cleanup_errors=True)
            atexit.register(own.cleanup)
            tempfile.tempdir = own.name


@contextmanager
def scratch(needed: int) -> Iterator[Path]:
    """Yield an empty folder with room for so many bytes; it is gone afterwards.

    Where this process is killed it stays, and the next process that needs such a folder there removes it.

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
            _remove_left(place)
            if free_bytes(place) >= needed:
                prefix = f"{_PREFIX}{this_process()}."
                return tempfile.TemporaryDirectory(prefix=prefix, dir=place, ignore_cleanup_errors=True)
    raise no_room(place, needed)


def _remove_left(place: Path) -> None:
    """Remove the folders that killed processes of this machine have left: they may hold a patient's scan."""
    for path in place.glob(f"{_PREFIX}*.*"):
        if has_ended(path.name.removeprefix(_PREFIX).rpartition(".")[0]):
            shutil.rmtree(path, ignore_errors=True)


def _places() -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())
    yield from map(existing, _spare)
