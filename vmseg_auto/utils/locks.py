"""Locks between commands, on one machine or several: locks of the operating system on files.

The system gives a lock up when its owner ends, however it ends, so that none is ever left behind. What a file system
on the network makes of them is for its server to say (docs/formats.md).
"""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import lock_descriptor

from vmseg_auto.utils.atomic import unwritable
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.lock_owner import LockOwner

MOMENT_S = 2.0
"""How long even those wait who don't: somebody may just be looking whether a lock is held."""
_POLL_S = 0.1
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What file systems without locks answer."""


@contextmanager
def locked(path: Path, command: str, console: Console, patience_s: float = MOMENT_S) -> Iterator[bool]:
    """Hold a lock; the file is there only while somebody does, and names its owner.

    Args:
        path: the lock file.
        command: what the owner is called, for those who meet the lock.
        console: tells which process a longer wait is for, and is warned where the file system has no locks.
        patience_s: how long to wait for another owner to end.

    Yields:
        Whether the lock is held: False on a file system without locks, where nothing keeps others out.

    Raises:
        InputError: another command holds it, and is named.
        VmsegError: the lock file can't be written.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        handle = _acquire(path, console, patience_s)
        try:
            if handle is not None:
                _sign(handle, command)
            yield handle is not None
        finally:
            if handle is not None:
                _release(handle, path)
    finally:
        with suppress(OSError):  # what is empty was made for the lock alone
            for folder in made:
                folder.rmdir()


def holder(path: Path) -> LockOwner | None:
    """Return who holds a lock; None where nobody does, or where that can't be known."""
    try:
        handle = os.open(path, os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY)
    except OSError:
        return None
    try:
        if lock_descriptor(handle, blocking=False):
            return None
        return _owner(handle)
    except OSError:
        return None
    finally:
        os.close(handle)


def _acquire(path: Path, console: Console, patience_s: float) -> int | None:
    """Return an open handle of the locked file; None on a file system without locks."""
    began, told = time.monotonic(), False
    while True:
        try:
            with ExitStack() as opened:
                handle = _open(path)
                opened.callback(os.close, handle)
                if lock_descriptor(handle, blocking=False) and _is_at(handle, path):
                    opened.pop_all()
                    return handle
                owner = _owner(handle)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise unwritable(path, error) from error
            console.warn(f"the file system of {path.parent} has no locks: let no second command work there meanwhile.")
            return None
        waited = time.monotonic() - began
        if waited > patience_s:
            raise InputError(
                f"{owner} is at work here",
                file=path,
                remedy="Wait until it has ended, or stop it; then run this command again.",
            )
        if waited > MOMENT_S and not told:
            console.say(f"Waiting for {owner}, in {path.parent}.")
            told = True
        time.sleep(_POLL_S)


def _open(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another's last lock took the folder with it
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _is_at(handle: int, path: Path) -> bool:
    """Return whether the locked file is still the one of that name: its last owner removed it at the end."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _sign(handle: int, command: str) -> None:
    now = datetime.now().isoformat(" ", "seconds")
    text = json.dumps(LockOwner(command, os.getpid(), platform.node(), now).to_json())
    with suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(handle, 0)  # a killed owner's words may still stand there
        # The first byte is a blank: on Windows nobody else can read it, as it is what is locked there.
        os.write(handle, f" {text}\n".encode())


def _owner(handle: int) -> LockOwner:
    """Return what the owner has written of itself."""
    try:
        os.lseek(handle, 1, os.SEEK_SET)
        return LockOwner.from_json(json.loads(os.read(handle, 10_000)))
    except (OSError, ValueError, InputError):  # not yet
        return LockOwner("another command", 0, "", "")


def _release(handle: int, path: Path) -> None:
    # Removed while it is held, or who comes next could lose the file that it has just locked.
    removed = _removed(path)
    os.close(handle)
    if not removed:
        _removed(path)


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:  # Windows removes no open file
        return False
    return True
