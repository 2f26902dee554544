"""Compressed images in DICOM files: whether they are whole and of the size that the header tells.

Decoders take the size from the stream itself, and fill what a stream cut short lacks, without a word.
"""

from __future__ import annotations

import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

_MAX_TILES = 1024
_NO_SIZE = (0xC4, 0xC8, 0xCC)
"""JPEG's markers between C0 and CF that begin no frame header."""


def rle_decoded(stream: bytes, shape: tuple[int, int], width: int) -> NDArray[np.uint8]:
    """Decode DICOM's RLE (PS3.5, annex G), by pydicom. What it takes is bounded: no stream is longer than its image
    makes it.

    Args:
        shape: pixels along (Y, X).
        width: bytes a number.

    Returns:
        The bytes of the numbers, lowest first.

    Raises:
        ValueError: the stream is damaged, cut short, or too long for the image.
    """
    count = shape[0] * shape[1]
    if not 64 < len(stream) <= 64 + width * (2 * count + 2):  # each byte as a run of its own takes two
        raise ValueError("its RLE stream is damaged or cut short")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bytes that fill a segment up
        try:
            decoded, _ = get_decoder(RLELossless).as_buffer(
                encapsulate([stream], has_bot=False), raw=True, number_of_frames=1, rows=shape[0], columns=shape[1],
                samples_per_pixel=1, photometric_interpretation="MONOCHROME2", pixel_keyword="PixelData",
                pixel_representation=0, bits_allocated=8 * width, bits_stored=8 * width,
            )  # fmt: skip
        except Exception:  # pydicom on hostile bytes: whatever it stumbles over
            raise ValueError("its RLE stream is damaged or cut short") from None
    return np.frombuffer(decoded, np.uint8)


def check_j2k(stream: bytes, shape: tuple[int, int]) -> None:
    """Check JPEG 2000 (ISO/IEC 15444-1, annex A): the size in SIZ, and tile parts that lead on to the end of the
    stream.

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
    """Check JPEG (ISO/IEC 10918-1, annex B) and JPEG-LS (ISO/IEC 14495-1): the size in the frame header, and the end
    marker.

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
