"""What lies below the start folder: the folders that a step can be given, and nothing else can be named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmseg_auto.data.workspace import OutputFolder, Workspace
from vmseg_auto.start.jobs import FOLDER
from vmseg_auto.utils.left_out import is_hidden
from vmseg_auto.utils.names import is_text

_DEPTH = 2
_MOST_BELOW = 12
"""Folders in a folder that are listed; where there are more, each is likely a patient's, and only their number is."""
MOST = 300
"""Folders and zips that are listed."""
Kind = Literal["dataset", "predictions", "zip", "other"]
_ORDER: tuple[Kind, ...] = ("dataset", "predictions", "other", "zip")


@dataclass(frozen=True)
class Found:
    """A folder, or a zip.

    Args:
        path: as seen from the start folder, with / between its parts.
        kind: what it is by what lies in it.
        files, folders: how many lie in it.
    """

    path: str
    kind: Kind
    files: int = 0
    folders: int = 0

    @property
    def words(self) -> str:
        """Its path, and what lies in it.

        >>> Found("export", "other", folders=8).words
        'export (8 folders, 0 files)'
        """
        if self.kind == "zip":
            return self.path
        what = {"dataset": "dataset", "predictions": "predicted masks"}.get(self.kind)
        return f"{self.path} ({what or f'{self.folders} folders, {self.files} files'})"


def find_folders(root: Path) -> tuple[list[Found], int]:
    """List what lies below the start folder, sorted by path; hidden folders and links are passed over.

    Of a dataset its test scans (imagesTs) are listed too.

    Returns:
        At most 300 folders and zips, and how many more there are. Datasets and predictions are the last to be cut.
    """
    found = sorted(_below(root, "", _DEPTH), key=lambda one: (_ORDER.index(one.kind), one.path))
    return sorted(found[:MOST], key=lambda one: one.path), max(0, len(found) - MOST)


def _below(root: Path, path: str, depth: int) -> Iterator[Found]:
    for entry in _entries(root / path):
        own = f"{path}/{entry.name}" if path else entry.name
        if entry.is_file(follow_symlinks=False):
            if entry.name.lower().endswith(".zip"):
                yield Found(own, "zip")
        elif entry.is_dir(follow_symlinks=False) and entry.name != FOLDER and not _is_workspace(root / own):
            found = _found(root, own)
            yield found
            if found.kind == "dataset" and (root / own / "imagesTs").is_dir():
                yield _found(root, f"{own}/imagesTs")
            if found.kind == "other" and depth > 1 and found.folders <= _MOST_BELOW:
                yield from _below(root, own, depth - 1)


def _found(root: Path, path: str) -> Found:
    folder, inside = root / path, _entries(root / path)
    folders = sum(entry.is_dir(follow_symlinks=False) for entry in inside)
    if (folder / "imagesTr").is_dir():
        kind: Kind = "dataset"
    else:
        kind = "predictions" if OutputFolder(folder).sources.is_file() else "other"
    return Found(path, kind, len(inside) - folders, folders)


def _is_workspace(folder: Path) -> bool:
    return Workspace(folder).fingerprint.is_file()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as inside:
            return [entry for entry in inside if is_text(entry.name) and not _is_passed_over(entry.name)]
    except OSError:  # gone meanwhile, or closed to us: it can't be chosen
        return []


def _is_passed_over(name: str) -> bool:
    return is_hidden(name) or name.startswith("-")  # which a command would take for an option
