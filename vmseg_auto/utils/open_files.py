"""How many files a process may hold open at once: the system's limit, which many preprocessed cases can meet."""

from __future__ import annotations

import errno
import os

from vmseg_auto.utils.errors import VmsegError

TOO_MANY = (errno.EMFILE, errno.ENFILE)
_OTHERS = 64
"""Files that a training holds open beside its cases."""


def allow_open_files(count: int) -> None:
    """See to it that so many more files can be opened: the limit is raised as far as the system lets anyone do so.

    Raises:
        VmsegError: the limit is too low; it is named.
    """
    try:
        import resource
    except ImportError:  # Windows has another, far beyond
        return
    needed = count + _OTHERS + _open_now()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise too_many_files(f"{count} files must be open at once, and {hard} are the most that the system allows")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError) as error:
        raise too_many_files(f"{count} files must be open at once, and the limit is {soft}") from error


def too_many_files(problem: str) -> VmsegError:
    """Return the error for when the limit is met: no file is at fault."""
    remedy = "Raise the limit on open files (`ulimit -n 65536`, or ask who runs this machine), then run it again."
    return VmsegError(f"too many open files: {problem}", remedy=remedy)


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return _OTHERS
