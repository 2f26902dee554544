"""The pixel data of DICOM files to numbers as stored.

Compressed images are decoded in a process of its own, each in a file of our own making: the decoder gets to see nothing
of the header, and no stream that tells of another size than the header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dicom.decoder import decode
from vmseg_auto.data.dicom.series import PixelFormat
from vmseg_auto.data.dicom.streams import check_j2k, check_jpeg, rle_decoded
from vmseg_auto.utils.scratch import FULL, no_room, scratch

LITTLE, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
_J2K = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_JPEG = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
READABLE = (LITTLE, IMPLICIT, BIG, RLE, *_J2K, *_JPEG)
"""Transfer syntaxes: uncompressed, RLE, JPEG 2000; JPEG baseline, extended and lossless, JPEG-LS."""
_HEADERS = 2048
"""More bytes than an image's files hold before its pixels."""


def stored_numbers(
    images: Sequence[bytes], shape: tuple[int, int], pixels: PixelFormat
) -> Iterator[NDArray[np.signedinteger[Any] | np.unsignedinteger[Any]]]:
    """Yield each image as [Y, X] of whole numbers, as the scanner stored them.

    Args:
        images: the bytes of each, compressed as `pixels.transfer_syntax` says.
        shape: pixels along (Y, X).
        pixels: how they are stored.

    Raises:
        ValueError: the bytes of the image that comes next hold none; says why, in words.
        VmsegError: there is no room for temporary files.
    """
    syntax = pixels.transfer_syntax
    kind = np.dtype(f"{'>' if syntax == BIG else '<'}{'i' if pixels.signed else 'u'}{pixels.bits_allocated // 8}")
    if syntax in _J2K or syntax in _JPEG:
        yield from (_meant(numbers, pixels) for numbers in _decoded(images, shape, pixels, kind))
        return
    for image in images:
        numbers = rle_decoded(image, shape, kind.itemsize).view(kind) if syntax == RLE else np.frombuffer(image, kind)
        yield _meant(numbers.reshape(shape), pixels)


def _decoded(
    images: Sequence[bytes], shape: tuple[int, int], pixels: PixelFormat, kind: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    needed = sum(map(len, images)) + len(images) * (shape[0] * shape[1] * 4 + _HEADERS)
    with scratch(needed) as folder:
        try:
            sound, refusal = _written(images, shape, pixels, folder)
            decode(folder, sound)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise no_room(folder.parent, needed) from error
        for number in range(len(images)):
            path = folder / f"{number}.npy"
            if number == sound or not path.is_file():
                raise refusal
            numbers = np.load(path, allow_pickle=False)
            if numbers.size != shape[0] * shape[1] or numbers.dtype.kind not in "iu":
                raise ValueError("its compressed pixels are damaged")
            yield numbers.astype(kind).reshape(shape)


def _written(
    images: Sequence[bytes], shape: tuple[int, int], pixels: PixelFormat, folder: Path
) -> tuple[int, ValueError]:
    """Write each as a file, up to the first that is damaged; gives their number, and what is wrong with the next."""
    check = check_j2k if pixels.transfer_syntax in _J2K else check_jpeg
    for number, image in enumerate(images):
        try:
            check(image, shape)
        except ValueError as error:
            return number, error
        (folder / f"{number}.dcm").write_bytes(lone_image(image, shape, pixels))
    return len(images), ValueError("its compressed pixels are damaged")


def _meant(numbers: NDArray[Any], pixels: PixelFormat) -> NDArray[Any]:
    """Extend the sign where fewer bits are stored than allocated; bits beyond those hold nothing else."""
    spare = pixels.bits_allocated - pixels.bits_stored
    if not spare:
        return numbers
    if pixels.signed:
        meant: NDArray[Any] = (numbers << spare) >> spare
        foreign = (meant != numbers) & (numbers >> pixels.bits_stored != 0)
    else:
        meant, foreign = numbers, numbers >> pixels.bits_stored != 0
    if foreign.any():
        raise ValueError(f"its pixels take more than the {pixels.bits_stored} bits that the header tells of")
    return meant


def lone_image(frame: bytes, shape: tuple[int, int], pixels: PixelFormat) -> bytes:
    """Return the bytes of a DICOM file of this image and of what is needed to decode it."""
    secondary_capture = b"1.2.840.10008.5.1.4.1.1.7\0"
    instance = b"1.2.3\0"
    syntax = pixels.transfer_syntax.encode()
    meta = b"".join((
        _element(0x0002, 0x0001, b"OB", b"\0\1"),
        _element(0x0002, 0x0002, b"UI", secondary_capture),
        _element(0x0002, 0x0003, b"UI", instance),
        _element(0x0002, 0x0010, b"UI", syntax + b"\0" * (len(syntax) % 2)),
    ))  # fmt: skip
    numbers = {
        0x0002: 1, 0x0010: shape[0], 0x0011: shape[1], 0x0100: pixels.bits_allocated, 0x0101: pixels.bits_stored,
        0x0102: pixels.bits_stored - 1, 0x0103: int(pixels.signed),
    }  # fmt: skip
    image = [_element(0x0028, tag, b"US", struct.pack("<H", value)) for tag, value in sorted(numbers.items())]
    image.insert(1, _element(0x0028, 0x0004, b"CS", b"MONOCHROME2 "))
    padded = frame + b"\0" * (len(frame) % 2)
    return b"".join((
        b"\0" * 128, b"DICM", _element(0x0002, 0x0000, b"UL", struct.pack("<I", len(meta))), meta,
        _element(0x0008, 0x0016, b"UI", secondary_capture), _element(0x0008, 0x0018, b"UI", instance), *image,
        struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE000, 0),
        struct.pack("<HHI", 0xFFFE, 0xE000, len(padded)), padded, struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
    ))  # fmt: skip


def _element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    length = struct.pack("<HI", 0, len(value)) if kind == b"OB" else struct.pack("<H", len(value))
    return struct.pack("<HH2s", group, number, kind) + length + value
