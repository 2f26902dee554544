"""What a process that reads hostile files may not do: take much memory, write elsewhere. Linux only."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

MEMORY_BYTES = 2 * 2**30
"""Most by which a worker may grow."""


class Watch:
    """An audit hook that notes every file opened for writing, made, moved or removed outside of a folder."""

    _PATHS = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate")

    def __init__(self, root: Path, written: list[str]) -> None:
        self.written = written
        self.allowed = (os.path.realpath(root.parent), "/dev/", "/proc/self/")

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._note(path)
        elif event in self._PATHS:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self._note(path)

    def _note(self, path: Any) -> None:
        found = os.path.realpath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if found and not found.startswith(self.allowed):
            self.written.append(found)


def limit_memory() -> None:
    """From here on this process can grow by MEMORY_BYTES and no more; it leaves no core file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (size,) = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize:")]
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_BYTES, size + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
