"""Voxels of NIfTI files, read in one pass that also checks their length and the gzip checksum."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.geometry import Geometry

DAMAGED = "Copy the file again from where it came from."
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
"""NIfTI's data type codes in numpy's words."""
_NIFTI_1 = (("h", 70), ("f", 108), ("f", 112), ("f", 116))
_NIFTI_2 = (("h", 12), ("q", 168), ("d", 176), ("d", 184))
"""Format and offset of data type, first voxel, slope and intercept in the header."""
_HEADER_BYTES = 540
_MOST_BEFORE = 2**24
"""Bytes of extensions before the first voxel; as many are let pass behind the last."""


def nifti_voxels(path: Path, geometry: Geometry, case: str | None) -> NDArray[Any]:
    """Voxels [Z, Y, X] of a NIfTI-1 or NIfTI-2 file whose header ITK has read; float64 where the file scales them.

    Raises:
        InputError: the file is damaged or cut short, or of a type that can't be read.
    """
    packed = file_bytes(path, case)
    header = unpacked(packed, path, case, _HEADER_BYTES, whole=False)
    order = "<" if struct.unpack_from("<i", header)[0] in (348, 540) else ">"
    fields = _NIFTI_2 if struct.unpack_from(f"{order}i", header)[0] == 540 else _NIFTI_1
    code, start, slope, inter = (struct.unpack_from(order + form, header, at)[0] for form, at in fields)
    if code not in _TYPES:
        raise InputError(
            f"the NIfTI data type {code} can't be read", case=case, file=path, remedy="Save it as float32 or int16."
        )
    if not 0 <= start <= _MOST_BEFORE:
        raise InputError(f"its first voxel stands at byte {start:g}", case=case, file=path, remedy=DAMAGED)
    kind = np.dtype(order + _TYPES[code])
    count = int(np.prod(geometry.shape))
    end = int(start) + count * kind.itemsize
    data = unpacked(packed, path, case, end + _MOST_BEFORE)
    if len(data) < end:
        problem = f"the file is damaged or cut short ({end - len(data)} bytes are missing)"
        raise InputError(problem, case=case, file=path, remedy=DAMAGED)
    voxels: NDArray[Any] = np.frombuffer(data, kind, count, int(start)).reshape(geometry.shape)
    if slope != 0 and np.isfinite([slope, inter]).all() and (slope, inter) != (1, 0):
        with np.errstate(over="ignore", invalid="ignore"):
            return voxels * float(slope) + float(inter)
    return voxels


def file_bytes(path: Path, case: str | None) -> bytes:
    """A file's bytes.

    Raises:
        InputError: they can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(error, case, path) from error


def unreadable(error: OSError, case: str | None, path: Path) -> InputError:
    """What is told of a file that the system does not give."""
    problem = f"the file can't be read ({error.strerror or error})"
    return InputError(problem, case=case, file=path, remedy="Check the name, the disk and the file's rights.")


def unpacked(packed: bytes, path: Path, case: str | None, most: int, whole: bool = True) -> bytes:
    """Bytes, gunzipped where they are packed.

    Args:
        path, case: for messages.
        most: bytes to give; where there are more, the file is refused, or cut if it need not be `whole`.
        whole: also check length and checksum.

    Raises:
        InputError: it is damaged, cut short or larger.
    """
    if packed[:2] != b"\x1f\x8b":
        found = packed if not whole else packed[: most + 1]
    else:
        try:
            found = _gunzipped(packed, most + 1, whole)
        except (EOFError, zlib.error) as error:
            problem = f"the file is damaged or cut short ({error})"
            raise InputError(problem, case=case, file=path, remedy=DAMAGED) from error
    if whole and len(found) > most:
        raise InputError("it holds far more bytes than its header says", case=case, file=path, remedy=DAMAGED)
    return found


def _gunzipped(packed: bytes, most: int, whole: bool) -> bytes:
    """At most so many bytes: a small file may unpack to more than any memory holds."""
    parts: list[bytes] = []
    while packed and most > 0:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        parts.append(stream.decompress(packed, most))
        most -= len(parts[-1])
        if whole and most > 0 and not stream.eof:
            raise EOFError("the end is missing")
        packed = stream.unused_data.lstrip(b"\0")  # files may be packed in several pieces, and padded
    return parts[0] if len(parts) == 1 else b"".join(parts)
