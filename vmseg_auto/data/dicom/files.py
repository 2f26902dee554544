"""DICOM files, on the disk and in zips. A file in a zip goes by the path ZIP/MEMBER and is never unpacked."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import isfile
from pathlib import Path
from types import TracebackType
from typing import IO
from zipfile import BadZipFile, ZipFile, ZipInfo

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import is_left_behind
from vmseg_auto.utils.left_out import is_hidden

MAX_BYTES = 1 << 30
"""Of one file; far beyond the largest multi-frame MR images."""
MOST_PACKED = 100
"""Times that the files of a zip may be larger than the zip itself; scans shrink to a half or a tenth."""
_AGAIN = "Copy it again from where it came from."


class DicomFiles:
    """Reads files on the disk and within zips, and keeps each zip open until it is left. A context manager."""

    def __init__(self) -> None:
        self._zips: dict[Path, tuple[ZipFile, dict[Path, ZipInfo]]] = {}

    def __enter__(self) -> DicomFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for archive, _ in self._zips.values():
            archive.close()

    def open(self, path: Path) -> IO[bytes]:
        """Open a file, to be read and closed by the caller; at its end a file in a zip is compared with its checksum.

        Raises:
            InputError: it is missing, damaged, or larger than MAX_BYTES.
        """
        file: IO[bytes]
        with _in_words(path):
            if isfile(path):
                size, file = path.stat().st_size, path.open("rb")
            else:
                archive, member = self._member(path)
                size, file = member.file_size, archive.open(member)
        if size > MAX_BYTES:
            file.close()
            raise InputError("the file is larger than any DICOM image", file=path, remedy="Remove it from the folder.")
        return file

    def blocks(self, path: Path, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield all of a file, piece by piece; raises as `open`."""
        with self.open(path) as file, _in_words(path):
            while block := file.read(size):
                yield block

    def members(self, path: Path) -> list[Path]:
        """List the files in a zip, sorted; those in hidden folders are passed over.

        Raises:
            InputError: the zip is damaged or encrypted, or two of its files have one name.
        """
        return sorted(self._zip(path)[1])

    def _member(self, path: Path) -> tuple[ZipFile, ZipInfo]:
        for parent in reversed(path.parents):  # the zip's own folders may be thousands
            if isfile(parent):
                archive, members = self._zip(parent)
                return archive, members[path]
        raise FileNotFoundError(path)

    def _zip(self, path: Path) -> tuple[ZipFile, dict[Path, ZipInfo]]:
        """Open a zip, and return it with its visible members."""
        if path not in self._zips:
            try:
                archive = ZipFile(path)
            except (OSError, ValueError, NotImplementedError, BadZipFile) as error:
                raise InputError("the zip is damaged or can't be read", file=path, remedy=_AGAIN) from error
            self._zips[path] = archive, _index(path, archive)
        return self._zips[path]


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:
        problem, remedy = "the zip is compressed in a way that can't be read", "Unpack it, and give the folder."
        raise InputError(problem, file=path, remedy=remedy) from error
    except (OSError, EOFError, ValueError, LookupError, RuntimeError, BadZipFile, zlib.error) as error:
        raise InputError("the file is damaged or can't be read", file=path, remedy=_AGAIN) from error


def is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def _index(path: Path, archive: ZipFile) -> dict[Path, ZipInfo]:
    found: dict[Path, ZipInfo] = {}
    entries, size = archive.infolist(), path.stat().st_size
    if sum(entry.compress_size for entry in entries) > size:
        raise _refused(path, archive, "the files in the zip take more than the whole zip")
    if sum(entry.file_size for entry in entries) > max(MOST_PACKED * size, MAX_BYTES):
        raise _refused(path, archive, f"the files in the zip are more than {MOST_PACKED} times as large as the zip")
    for entry in entries:
        parts = _parts(entry.filename)
        empty = not parts or (entry.is_dir() and not entry.file_size)
        if empty or is_left_behind(parts[-1]) or any(map(is_hidden, parts[:-1])):
            continue
        problem, member = "", path.joinpath(*parts)
        if entry.flag_bits & 1:
            problem = "the zip is encrypted"
        elif entry.is_dir():
            problem = "the zip is damaged"
        elif member in found:
            problem = f"the zip holds two files called {'/'.join(parts)}"
        if problem:
            raise _refused(path, archive, problem)
        found[member] = entry
    return found


def _refused(path: Path, archive: ZipFile, problem: str) -> InputError:
    archive.close()
    return InputError(problem, file=path, remedy="Unpack it, and give the folder.")


def _parts(member: str) -> list[str]:
    """Return the folders and name of a zip's member; nothing in them leads out of the zip."""
    parts = [part for part in member.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return [part.replace(":", "_") for part in parts] if os.name == "nt" else parts  # C: would lead to another disk
