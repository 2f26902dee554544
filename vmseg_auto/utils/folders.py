"""What lies in folders: files, and what is none. Nothing is opened here but folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import DANGLING, HIDDEN, LINK, Inventory, is_hidden

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe, which is not read",
    stat.S_ISSOCK: "a socket, which is not read",
    stat.S_ISCHR: "a device, which is not read",
    stat.S_ISBLK: "a device, which is not read",
}
_MAC = ("._", ".ds_store")
"""How names begin that a Mac leaves behind; other hidden files are looked at for DICOM, as one may be a slice."""


def listed_folder(folder: Path) -> list[Path]:
    """List all that lies in a folder, sorted by name.

    Raises:
        InputError: it can't be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _unlisted(error) from error


def is_empty(path: Path) -> bool:
    """Return whether a path is a folder that holds nothing, and no link."""
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def is_file(path: Path) -> bool:
    """Return whether a path is a plain file, or a link to one; False also where that can't be found out."""
    return os.path.isfile(path)


def why_no_file(path: Path) -> str:
    """Describe what a path is that is no file: opening a pipe or device might never end."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink() and error.errno in (ENOENT, ENOTDIR, ELOOP):
            return "a link that leads in a circle" if error.errno == ELOOP else DANGLING
        return cant_be_read(error)
    return next((words for fits, words in _KINDS.items() if fits(mode)), "no file")


def cant_be_read(error: OSError) -> str:
    return f"unreadable ({error.strerror})"


def walk(folder: Path, left: Inventory | None = None) -> Iterator[Path]:
    """Yield every file in a folder and its folders, in a stable order; hidden folders and links to folders are passed
    over.

    Args:
        left: what is passed over is noted here, folders that can't be read too.

    Raises:
        InputError: the folder itself can't be read.
    """
    left = left if left is not None else Inventory()

    def unread(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise _unlisted(error) from error
        left.add("folder", Path(error.filename), cant_be_read(error), folder=folder)

    for place, subfolders, names in os.walk(folder, onerror=unread):
        for name in subfolders:
            path = Path(place, name)
            if is_hidden(name):
                left.add("folder", path, HIDDEN, meant=True, folder=folder)
            elif path.is_symlink():
                left.add("folder", path, LINK, folder=folder)
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        for name in sorted(names):
            path = Path(place, name)
            if is_left_behind(name):
                left.add("file", path, HIDDEN, meant=True, folder=folder)
            elif is_file(path):
                yield path
            else:
                left.add("file", path, why_no_file(path), folder=folder)


def files_in(folder: Path) -> Iterator[Path]:
    """List the files in a folder, sorted.

    Raises:
        InputError: it can't be read.
    """
    return (path for path in listed_folder(folder) if not is_left_behind(path.name) and is_file(path))


def require_apart(output: Path, inputs: Iterable[Path], may_lie_within: bool = False) -> None:
    """Make sure that what is written comes to lie apart from what is read.

    Otherwise a later command would take it for input, or put it in the place of that.

    Args:
        output: the folder that is written to; it may be missing.
        inputs: folders, and files; those that do not exist are passed over.
        may_lie_within: whether the output may lie in one of the folders, as the command knows what it wrote itself.

    Raises:
        InputError: the output is one of the folders, or that of a file, or it lies in one of them, or one in it.
    """
    for folder, whole in {_folder_of(path) for path in inputs if path.exists()}:
        if is_same(folder, output):
            relation = "is the output folder too"
        elif whole and not may_lie_within and _lies_in(output, folder):
            relation = f"has the output folder in it, {output}"
        elif whole and _lies_in(folder, output):
            relation = f"lies in the output folder, {output}"
        else:
            continue
        raise InputError(
            f"the folder of the input {relation}",
            file=folder,
            remedy="Give -o a folder of its own, neither within that of the input nor around it: otherwise a later "
            "command takes for input what this one writes, or writes over it.",
        )


def _folder_of(path: Path) -> tuple[Path, bool]:
    """Return a folder, or that of a file; and whether all that is in it was given."""
    return (path, True) if path.is_dir() else (path.resolve().parent, False)


def is_same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file or folder; what does not exist is nothing's same."""
    return one.exists() and other.exists() and one.samefile(other)


def _lies_in(inner: Path, outer: Path) -> bool:
    """Return whether a path, which may lead to nothing yet, lies in a folder, on whatever way."""
    return any(is_same(place, outer) for place in inner.resolve().parents)


def is_left_behind(name: str) -> bool:
    """Return whether a file of this name can be no slice, as a system has left it there."""
    return name.lower().startswith(_MAC) or (is_hidden(name) and not name.startswith("."))


def _unlisted(error: OSError) -> InputError:
    return InputError(f"the folder can't be read ({error.strerror})", file=error.filename, remedy="Check its rights.")
