"""A log file for each command, so that what went wrong at night can be read in the morning."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from vmseg_auto.utils.console import shown
from vmseg_auto.utils.machine import machine, versions
from vmseg_auto.utils.redaction import Redaction

KEPT = 50
"""Log files in one folder; older ones are removed."""
LOGGER = logging.getLogger("vmseg_auto")
"""What a command says goes here; programs of one's own may listen too."""
LOGGER.addHandler(logging.NullHandler())
_NAME = re.compile(r"vmseg_\w+_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d_\d+\.log")


class CommandLog(logging.Handler):
    """Writes what LOGGER gets into a file of its own, line by line. It never fails, and never makes the command fail.

    A context manager. The file is made as soon as the folder that `folder` lies in is there; until then what is to go
    into it is kept. So a command that makes no workspace leaves none behind.

    Args:
        folder: where log files lie; None for a command that is to leave no trace.
        command: its name.
        arguments: its options.
        redaction: puts stand-ins into all that is written, in place of what may be a patient's name.
    """

    def __init__(
        self, folder: Path | None, command: str, arguments: dict[str, Any], redaction: Redaction | None = None
    ) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        self._folder, self._redaction = folder, redaction or Redaction({})
        self._name = f"{command}_{datetime.now():%Y-%m-%dT%H-%M-%S}_{os.getpid()}.log"
        self._head = {"command": command, "arguments": arguments}
        self._waiting: list[str] = []
        self._file: TextIO | None = None

    @property
    def path(self) -> Path | None:
        """The file, once it is there."""
        return self._folder / self._name if self._folder and self._file else None

    def __enter__(self) -> CommandLog:
        self._level, self._show = LOGGER.level, warnings.showwarning
        LOGGER.addHandler(self)
        LOGGER.setLevel(logging.INFO)
        warnings.showwarning = self._showwarning
        if self._folder is not None:
            for name, value in {**self._head, "current folder": Path.cwd(), **machine(), **versions()}.items():
                LOGGER.info("%s: %s", name, value)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        warnings.showwarning = self._show
        LOGGER.setLevel(self._level)
        LOGGER.removeHandler(self)
        self.close()

    def emit(self, record: logging.LogRecord) -> None:
        if self._folder is None:
            return
        try:
            self._waiting.append(shown(self._redaction(self.format(record))))
            if self._file is None and self._folder.parent.is_dir():
                self._folder.mkdir(exist_ok=True)
                self._file = (self._folder / self._name).open("w", encoding="utf-8")
                _remove_oldest(self._folder)
            if self._file is not None:
                self._file.write("".join(f"{line}\n" for line in self._waiting))
                self._file.flush()
                self._waiting.clear()
        except Exception:  # a full disk, a read-only folder: the work is what counts
            self.close()
            self._folder = self._file = None

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # on a full disk
                self._file.close()
        super().close()

    def _showwarning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        LOGGER.warning("%s:%s: %s: %s", filename, lineno, category.__name__, message)
        self._show(shown(message), category, filename, lineno, file, line)


def _remove_oldest(folder: Path) -> None:
    logs = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    for path in sorted(logs, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        path.unlink(missing_ok=True)
