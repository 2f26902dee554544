"""Arrays in .npy and .npz files: written whole or not at all, read no further than what is expected of them."""

from __future__ import annotations

import ast
import struct
import tokenize
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vmseg_auto.utils.atomic import replacing

UNREADABLE = (
    OSError, RuntimeError, ValueError, TypeError, EOFError, LookupError, OverflowError, SyntaxError, struct.error,
    tokenize.TokenError, BadZipFile, zlib.error,
)  # fmt: skip
"""What a damaged .npy or .npz file can raise."""
_MOST_HEADER = 10_000
"""Bytes; numpy's own limit."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> None:
    """Write arrays into one file, whole or not at all.

    numpy's own savez does the same, but numpy 1.26 leaves the archive open where the disk is full.

    Args:
        path: ends with .npz.
        arrays: by the names that `read_arrays` gives them.
        compressed: smaller, and slower to write.

    Raises:
        VmsegError: the disk is full or not writable.
    """
    with replacing(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED if compressed else ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                npy.write_array(file, array, allow_pickle=False)


def read_arrays(path: Path, most: int) -> Mapping[str, NDArray[Any]]:
    """Return all arrays of a file.

    Args:
        path: the file.
        most: bytes that all of them may take. A small file may claim, or unpack to, more than any memory holds.

    Raises:
        UNREADABLE: the file is missing or damaged, or holds more.
    """
    found = {}
    with ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > most + 4096 * len(archive.infolist()):
            raise ValueError(f"it holds more than the {most:,} bytes that are expected")
        for entry in archive.infolist():
            with archive.open(entry) as file:
                found[entry.filename.removesuffix(".npy")] = _array(file, entry.file_size)
    return found


def map_array(path: Path) -> NDArray[Any]:
    """Memory-map the array of an .npy file, read-only.

    Raises:
        UNREADABLE: the file is missing or damaged.
    """
    with path.open("rb") as file:
        shape, by_column, kind = _header(file, path.stat().st_size)
        return np.memmap(file, kind, "r", file.tell(), shape, "F" if by_column else "C")


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    shape, by_column, kind = _header(file, size)
    array = np.frombuffer(file.read(), kind, prod(shape))
    return array.reshape(shape[::-1]).T if by_column else array.reshape(shape)


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the shape, whether it lies column by column, and kind of an array that claims no more than `size` bytes."""
    version = npy.read_magic(file)
    known = {(1, 0): (npy.read_array_header_1_0, 2), (2, 0): (npy.read_array_header_2_0, 4)}
    if version not in known:
        raise ValueError(f"its format is {version}")
    read, width = known[version]
    begin = file.tell()
    length = int.from_bytes(file.read(width), "little")
    header = file.read(min(length, _MOST_HEADER))
    ast.literal_eval(header.decode("latin1"))  # what Python 2 wrote, numpy would mend, and warn
    file.seek(begin)
    shape, by_column, kind = read(file)
    if kind.hasobject or min(shape, default=0) < 0 or prod(shape) * kind.itemsize > size - file.tell():
        raise ValueError(f"it says that it holds {kind} {shape}")
    return shape, by_column, kind
