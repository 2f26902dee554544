"""Arrays in .npz files, read no further than what is expected of them."""

from __future__ import annotations

import struct
import tokenize
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

UNREADABLE = (
    OSError, RuntimeError, ValueError, TypeError, EOFError, LookupError, OverflowError, SyntaxError, struct.error,
    tokenize.TokenError, BadZipFile, zlib.error,
)  # fmt: skip
"""What a damaged .npy or .npz file can raise."""


def read_arrays(path: Path, most: int) -> Mapping[str, NDArray[Any]]:
    """All arrays of a file.

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


def _array(file: Any, size: int) -> NDArray[Any]:
    """An array, once its header is found to claim no more than what follows it."""
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its format is {version}")
    shape, by_column, kind = read(file)
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if kind.hasobject or min(shape, default=0) < 0 or count * kind.itemsize > size:
        raise ValueError(f"it says that it holds {kind} {shape}")
    array = np.frombuffer(file.read(), kind, count)
    return array.reshape(shape[::-1]).T if by_column else array.reshape(shape)
