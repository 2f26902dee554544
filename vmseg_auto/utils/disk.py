"""Free space on a disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from vmseg_auto.utils.errors import VmsegError

MARGIN = 1.1
"""By how much estimates are raised: for file systems' own needs, and for files that nobody counted."""


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder that need not be there yet; quotas of a single user are not seen.

    Raises:
        OSError: it can't be known.
    """
    return shutil.disk_usage(existing(folder)).free


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there."""
    place = folder.resolve()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def require_space(folder: Path, needed: float, purpose: str, coming: int = 0) -> None:
    """Refuse to begin what can't end.

    Args:
        folder: where it is to be written.
        needed: bytes, as estimated.
        purpose: what for, in words.
        coming: bytes that the work itself will free on the same disk.

    Raises:
        VmsegError: less is free.
    """
    try:
        free = free_bytes(folder) + coming
    except OSError:  # not for us to say then
        return
    if free < needed * MARGIN:
        raise VmsegError(
            f"{purpose} will take about {in_words(needed * MARGIN)}, and {in_words(free)} are free",
            file=folder,
            remedy="Free some space on this disk, or choose a folder on another one.",
        )


def in_words(size: float) -> str:
    """Write bytes as people say them, such as "1.3 GB".

    >>> in_words(1.3e9)
    '1.3 GB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
