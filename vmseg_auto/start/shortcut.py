"""An entry of the desktop that opens the start page: a .desktop file on Linux, a .cmd on Windows, a .command on a Mac.

Each opens a window of a terminal, in which the server runs and its link stands: to close it ends the page, and no job.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.errors import InputError

_NAME = "vmseg_auto"
_MODULE = "vmseg_auto.cli.review"
_RUNNABLE = 0o755


def install_shortcut(folder: Path, platform: str = sys.platform, home: Path | None = None) -> str:
    """Write the entry, whole or not at all, and return in words where it is.

    Args:
        folder: in which the start page opens.
        platform: as sys.platform tells it.
        home: the user's folder, if another than the system's.

    Raises:
        InputError: the folder's name can't stand in such a file.
        VmsegError: it can't be written.
    """
    home = home or Path.home()
    folder = folder.resolve()
    if not f"{folder}{sys.executable}".isprintable():
        problem, remedy = "its name holds what can't stand in a shortcut, such as a line break", "Rename it."
        raise InputError(problem, file=folder, remedy=remedy)
    if platform == "win32":
        path, text = _desktop(home) / f"{_NAME}.cmd", windows_script(folder, sys.executable)
    elif platform == "darwin":
        path, text = _desktop(home) / f"{_NAME}.command", shell_script(folder, sys.executable)
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        path, text = data / "applications" / f"{_NAME}.desktop", desktop_entry(folder, sys.executable)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
        if platform == "darwin":
            temporary.chmod(_RUNNABLE)
    return f"Written: {path}. It opens the start page in {folder}."


def desktop_entry(folder: Path, python: str) -> str:
    """Return a file of the Desktop Entry Specification, version 1.5."""
    command = " ".join(map(_exec_word, (python, "-P", "-m", _MODULE)))
    lines = (
        "[Desktop Entry]",
        "Type=Application",
        "Version=1.5",
        f"Name={_NAME}",
        "Comment=Segment venous malformations: from an export to reports",
        f"Exec={_desktop_text(command)}",
        f"Path={_desktop_text(str(folder))}",
        "Terminal=true",
        "Categories=Science;MedicalSoftware;",
    )
    return "".join(f"{line}\n" for line in lines)


def shell_script(folder: Path, python: str) -> str:
    """Return a script for sh."""
    return f"#!/bin/sh\ncd {shlex.quote(str(folder))} && exec {shlex.quote(python)} -P -m {_MODULE}\n"


def windows_script(folder: Path, python: str) -> str:
    """Return a script for the command prompt of Windows; its window stays open after an error."""
    told = (str(part).replace("%", "%%") for part in (folder, python))
    place, program = told
    lines = (
        "@echo off",
        "chcp 65001 >nul",
        f'cd /d "{place}"',
        f'"{program}" -P -m {_MODULE}',
        "if errorlevel 1 pause",
    )
    return "".join(f"{line}\r\n" for line in lines)


def _exec_word(word: str) -> str:
    """Quote a word of Exec: in quotes, with a backslash before what has a meaning there; a percent sign is doubled.

    >>> _exec_word("/opt/my tools/python")
    '"/opt/my tools/python"'
    """
    escaped = "".join(f"\\{letter}" if letter in '"`$\\' else letter for letter in word)
    return f'"{escaped}"'.replace("%", "%%")


def _desktop_text(text: str) -> str:
    return text.replace("\\", "\\\\")


def _desktop(home: Path) -> Path:
    """Return the folder of the desktop; the user's own where there is none."""
    return home / "Desktop" if (home / "Desktop").is_dir() else home
