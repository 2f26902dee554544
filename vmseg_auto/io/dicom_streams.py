"""Compressed images in DICOM files: whether they are whole and of the size that the header tells.

Decoders take the size from the stream itself, and fill what a stream cut short lacks, without a word.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_MAX_TILES = 1024
_NO_SIZE = (0xC4, 0xC8, 0xCC)
"""JPEG's markers between C0 and CF that begin no frame header."""


def rle_decoded(stream: bytes, count: int, width: int) -> NDArray[np.uint8]:
    """DICOM's RLE (PS3.5, annex G): a segment for each byte of a number, the highest first.

    Args:
        count: how many numbers.
        width: bytes a number.

    Returns:
        The bytes of the numbers, lowest first.

    Raises:
        ValueError: the stream is damaged or cut short.
    """
    if len(stream) < 64 or struct.unpack_from("<I", stream)[0] != width:
        raise ValueError("its RLE stream is damaged")
    starts = struct.unpack_from(f"<{width}I", stream, 4)
    ends = (*starts[1:], len(stream))
    numbers = np.empty((count, width), np.uint8)
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if not 64 <= start <= end <= len(stream):
            raise ValueError("its RLE stream is damaged")
        numbers[:, width - 1 - place] = np.frombuffer(_unpacked(stream, start, end, count), np.uint8)
    return numbers.ravel()


def check_j2k(stream: bytes, shape: tuple[int, int]) -> None:
    """JPEG 2000 (ISO/IEC 15444-1, annex A): the size in SIZ, and tile parts that lead on to the end of the stream.

    Raises:
        ValueError: it is damaged, cut short, or of another size.
    """
    try:
        start, siz, x1, y1, x0, y0, dx, dy, tx, ty, parts = struct.unpack_from(">2sH4x8IH", stream)
        if (start, siz, parts) != (b"\xff\x4f", 0xFF51, 1) or (x0, y0, tx, ty) != (0, 0, 0, 0):
            raise ValueError("its JPEG 2000 stream is damaged, or no greyscale image")
        if (y1, x1) != shape:
            raise ValueError(_other_size(y1, x1, shape))
        if min(dx, dy) < 1 or -(-x1 // dx) * -(-y1 // dy) > _MAX_TILES:
            raise ValueError("its JPEG 2000 stream is damaged")
        at = 2
        while (marker := struct.unpack_from(">H", stream, at)[0]) != 0xFF90:
            if marker < 0xFF00:
                raise ValueError("its JPEG 2000 stream is damaged")
            at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
        while (marker := struct.unpack_from(">H", stream, at)[0]) == 0xFF90:
            length = struct.unpack_from(">I", stream, at + 6)[0]
            at = at + length if length >= 14 else len(stream.rstrip(b"\0")) - 2
        if marker != 0xFFD9:
            raise ValueError("its JPEG 2000 stream is damaged")
    except struct.error as error:
        raise ValueError("its JPEG 2000 stream is cut short") from error


def check_jpeg(stream: bytes, shape: tuple[int, int]) -> None:
    """JPEG (ISO/IEC 10918-1, annex B) and JPEG-LS (ISO/IEC 14495-1): the size in the frame header, and the end marker.

    Raises:
        ValueError: it is damaged, cut short, or of another size.
    """
    if not stream.startswith(b"\xff\xd8"):
        raise ValueError("its JPEG stream is damaged")
    if not stream.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("its JPEG stream is cut short")
    at = 2
    try:
        while True:
            marker, length = struct.unpack_from(">HH", stream, at)
            if marker < 0xFFC0 or length < 2:
                raise ValueError("its JPEG stream is damaged")
            kind = marker & 0xFF
            if kind == 0xF7 or (0xC0 <= kind <= 0xCF and kind not in _NO_SIZE):
                break
            at += 2 + length
        bits, rows, columns, parts = struct.unpack_from(">BHHB", stream, at + 4)
    except struct.error as error:
        raise ValueError("its JPEG stream is damaged") from error
    if parts != 1 or not 2 <= bits <= 16:
        raise ValueError("its JPEG stream is damaged, or no greyscale image")
    if (rows, columns) != shape:
        raise ValueError(_other_size(rows, columns, shape))


def _other_size(rows: int, columns: int, shape: tuple[int, int]) -> str:
    return f"its compressed image is {columns} x {rows} pixels, but the header tells of {shape[1]} x {shape[0]}"


def _unpacked(stream: bytes, at: int, end: int, count: int) -> bytes:
    """One segment: runs of PackBits that give exactly `count` bytes."""
    out = bytearray()
    while len(out) < count and at < end:
        control = stream[at]
        if control < 128:
            out += stream[at + 1 : min(at + 2 + control, end)]
            at += 2 + control
        elif control > 128:
            out += stream[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    if len(out) != count or at > end:
        raise ValueError("its RLE stream is damaged or cut short")
    return bytes(out)
