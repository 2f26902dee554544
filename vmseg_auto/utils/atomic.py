"""Files and folders that are either whole or absent: written beside their name, flushed, renamed."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from vmseg_auto.utils.errors import DamagedError, InputError, VmsegError
from vmseg_auto.utils.folders import is_file, why_no_file
from vmseg_auto.utils.json_codec import Stored, digest
from vmseg_auto.utils.open_files import TOO_MANY, too_many_files
from vmseg_auto.utils.owners import has_ended, this_process

MOST_JSON_BYTES = 32 * 2**20
S = TypeVar("S", bound=Stored)
_MEND = "Mend the file, or restore it."
_SEAL = "sha256"
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""What begins a character beyond the first 65,536, which takes two of them."""
_TEMPORARY = ".vmseg_tmp."
"""How the names of unfinished files begin; the process that writes them follows."""
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
_LONGEST_ENDING = 20
_ELSEWHERE_S = 3600.0


@contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path with the same ending; on success it takes the place of `path`.

    Args:
        path: where the new file goes; nothing there changes before it is whole and on the disk. It gets the rights of
            the file that it replaces, else those of any new file.
        keep: where the file that stood at `path` goes; it is overwritten unless given. Between the two renames a
            killed process leaves the old file there, and none at `path`.

    Raises:
        VmsegError: the folder can't be written to, or the disk is full.
    """
    suffix = "".join(path.suffixes[-2:])[-_LONGEST_ENDING:]
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _unfinished(path, suffix, lambda name: os.close(os.open(name, _NEW, 0o666)))
        yield temporary
        _put(temporary, path, keep)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def put_in_place(made: Path, path: Path) -> None:
    """Give a whole file of a scratch folder its name, as `replacing` does.

    Raises:
        VmsegError: it can't be put there.
    """
    try:
        _put(made, path)
    except OSError as error:
        raise unwritable(path, error) from error


def _put(made: Path, path: Path, keep: Path | None = None) -> None:
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    _take_rights(path, made)
    if keep is not None and path.is_file():
        os.replace(path, keep)
    os.replace(made, path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it becomes `path`, else nothing of it is left.

    Raises:
        InputError: there is something at `path` already.
        VmsegError: the folder can't be written to, or the disk is full.
    """
    if path.exists() or path.is_symlink():
        raise InputError("it exists already", file=path, remedy="Choose another name, or move it away first.")
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _unfinished(path, "", os.mkdir)
        yield temporary
        os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder in `parent`, which is removed at the end with all that is left in it.

    Raises:
        VmsegError: the folder can't be written to, or the disk is full.
    """
    try:
        made = _unfinished(parent / "scratch", "", os.mkdir)
    except OSError as error:
        raise unwritable(parent, error) from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _unfinished(path: Path, suffix: str, make: Callable[[Path], None]) -> Path:
    """Return a new file or folder beside `path`, named after this process.

    The system decides on its rights, as on those of any new file: what it goes by (the umask, the folder's own rules)
    can't be read without changing it for the other threads.
    """
    while True:
        name = f"{_TEMPORARY}{this_process()}.{path.name[:40]}.{secrets.token_hex(4)}{suffix}"
        with suppress(FileExistsError):
            make(path.with_name(name))
            return path.with_name(name)


def _take_rights(old: Path, new: Path) -> None:
    """Give a file the rights of the one that it replaces: who has closed that to others wants it to stay so."""
    with suppress(OSError):  # there is none, or the file system knows no rights
        mode = old.lstat().st_mode
        if stat.S_ISREG(mode):
            os.chmod(new, stat.S_IMODE(mode))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: after a power cut, what was renamed before is still renamed.

    Files are flushed in any case before they get their names. Where names may wait for the system to write them, as of
    files that are soon made again, this is spared: it takes as long as writing a small file.
    """
    if os.name != "posix":  # elsewhere a folder can't be opened, and names are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems have no such thing
        pass
    finally:
        os.close(handle)


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """List the files of a folder that match, sorted; not those that are being written. A missing folder holds none."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(_TEMPORARY))


def leftovers(folder: Path, below: Callable[[Path], bool] = lambda folder: True) -> list[Path]:
    """List what commands that have ended left unfinished in a folder and those in it.

    What a command on another machine began counts as left an hour after it was last written to.

    Args:
        folder: may be missing, and then holds none.
        below: which of the folders in it to look into, and which of those in them.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        unfinished = [Path(place, name) for name in (*folders, *files) if name.startswith(_TEMPORARY)]
        found += [path for path in unfinished if _is_left(path)]
        folders[:] = [name for name in folders if not name.startswith(_TEMPORARY) and below(Path(place, name))]
    return found


def remove_leftovers(folder: Path, below: Callable[[Path], bool] = lambda folder: True) -> None:
    """Remove what commands that have ended left unfinished; the caller holds the lock of the folder."""
    for path in leftovers(folder, below):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _is_left(path: Path) -> bool:
    ended = has_ended(path.name.removeprefix(_TEMPORARY).partition(".")[0])
    return _quiet_s(path) > _ELSEWHERE_S if ended is None else ended


def _quiet_s(path: Path) -> float:
    """Return how long ago a file, or anything in a folder, was last written to."""
    latest = 0.0
    for one in (path, *path.rglob("*")):
        with suppress(OSError):  # gone meanwhile
            latest = max(latest, one.lstat().st_mtime)
    return time.time() - latest


def unwritable(path: Path, error: OSError) -> VmsegError:
    """Return the error for a file or folder that the system refuses to write."""
    reason = error.strerror or str(error)
    if error.errno in TOO_MANY:
        return too_many_files(f"{path} can't be written")
    remedy = "Check the disk's free space and the folder's rights."
    return VmsegError(f"it can't be written ({reason})", file=path, remedy=remedy)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON for human eyes: short lists of numbers stay on one line."""
    write_text(path, _pretty(data) + "\n")


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """Write JSON that nobody need edit, with a checksum of what it says; `read_json` compares and drops it."""
    write_json(path, {**data, _SEAL: digest(data)})


def read_json(path: Path, remedy: str = _MEND) -> Any:
    """Read JSON.

    Raises:
        InputError: the file is missing or no JSON.
        DamagedError: it does not say what was written and sealed.
    """
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise InputError(f"the file is larger than {MOST_JSON_BYTES >> 20} MB", file=path, remedy=remedy)
        if not is_file(path):
            raise InputError(f"it is {why_no_file(path)}", file=path, remedy=remedy)
        text = path.read_text(encoding="utf-8-sig")  # Windows editors put a byte-order mark first
    except FileNotFoundError:
        raise InputError("the file does not exist", file=path, remedy=remedy) from None
    except OSError as error:
        if error.errno in TOO_MANY:
            raise too_many_files(f"{path} can't be read") from error
        raise InputError(f"the file can't be read ({error.strerror or error})", file=path, remedy=remedy) from error
    except ValueError as error:
        raise InputError(f"the file is no valid JSON ({error})", file=path, remedy=remedy) from None
    value = parse_json(text, path, remedy)
    if isinstance(value, dict) and _SEAL in value and value.pop(_SEAL) != digest(value):
        raise DamagedError(
            "the file is damaged, or was changed since it was written",
            file=path,
            remedy=f'{remedy} If the change is meant, take out its field "{_SEAL}".',
        )
    return value


def read_stored(kind: type[S], path: Path, remedy: str = _MEND) -> S:
    """Read a JSON file that holds one `kind`.

    Raises:
        InputError, DamagedError: as `read_json`, and a field is missing, unknown, of the wrong type or impossible.
    """
    return kind.from_json(read_json(path, remedy), str(path))


def parse_json(text: Any, path: Path, remedy: str) -> Any:
    """Parse a JSON text that stands in `path`.

    Raises:
        InputError: it is no JSON, holds a key twice, or halves of characters, which can't be written or shown.
    """
    try:
        value = json.loads(text, object_pairs_hook=_each_once)
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the file is no valid JSON ({error})", file=path, remedy=remedy) from None
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: the second would count, without a word."""
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise ValueError(f"the key {twice[:80]!r} stands in it twice")
    return value


def refuse_links(folder: Path, *files: Path) -> None:
    """Make sure that what is read of a model lies in its folder.

    Raises:
        InputError: a file is reached by a link that leads out of it.
    """
    inside = folder.resolve()
    for file in files:
        if inside not in file.resolve().parents:
            raise InputError(
                f"it is a link that leads out of the model, to {file.resolve()}",
                file=file,
                remedy="Copy the file itself to this place.",
            )


def _pretty(data: Any, indent: int = 0) -> str:
    flat = json.dumps(data, ensure_ascii=False)
    if not isinstance(data, (dict, list)) or len(flat) + indent <= 110:
        return flat
    inner = indent + 2
    pad, end = "\n" + " " * inner, "\n" + " " * indent
    if isinstance(data, dict):
        rows = [f"{json.dumps(str(k), ensure_ascii=False)}: {_pretty(v, inner)}" for k, v in data.items()]
        return "{" + pad + ("," + pad).join(rows) + end + "}"
    return "[" + pad + ("," + pad).join(_pretty(v, inner) for v in data) + end + "]"
