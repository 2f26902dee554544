"""A file's bytes, gunzipped where they are packed, and no more of them than are expected."""

from __future__ import annotations

import zlib
from pathlib import Path

from vmseg_auto.utils.errors import InputError

DAMAGED = "Copy the file again from where it came from."


def damaged(why: str = "") -> InputError:
    """Return what is told of a file that does not hold what its header says."""
    return InputError("the file is damaged or cut short" + (f" ({why})" if why else ""), remedy=DAMAGED)


def unreadable(error: OSError) -> InputError:
    """Return what is told of a file that the system does not give."""
    problem = f"the file can't be read ({error.strerror or error})"
    return InputError(problem, remedy="Check the name, the disk and the file's rights.")


def file_bytes(path: Path, most: int = -1) -> bytes:
    """Return a file's bytes, the first `most` of them if that is given.

    Raises:
        InputError: they can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise unreadable(error) from error


def unpacked(packed: bytes, most: int, whole: bool = True) -> bytes:
    """Return bytes, gunzipped where they are packed.

    Args:
        packed: the bytes.
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
            raise damaged(str(error)) from error
    if whole and len(found) > most:
        raise InputError("it holds far more bytes than its header says", remedy=DAMAGED)
    return found


def _gunzipped(packed: bytes, most: int, whole: bool) -> bytes:
    """Return at most so many bytes: a small file may unpack to more than any memory holds."""
    parts: list[bytes] = []
    while packed and most > 0:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        parts.append(stream.decompress(packed, most))
        most -= len(parts[-1])
        if whole and most > 0 and not stream.eof:
            raise EOFError("the end is missing")
        packed = stream.unused_data.lstrip(b"\0")  # files may be packed in several pieces, and padded
    return parts[0] if len(parts) == 1 else b"".join(parts)
