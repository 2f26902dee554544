"""Elements of DICOM files, as raw bytes. Few other modules of io speak to pydicom, and none reads headers by it.

A header can hold anything, and pydicom repeats in warnings what it can't make out, where a patient's name has no place.
So elements are taken as they stand, only those of `Tag`, and no message tells what a header holds but numbers.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, cast

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filereader import _read_file_meta_info
from pydicom.filewriter import write_file_meta_info
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from vmseg_auto.data.dicom.files import DicomFiles
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.process import shared

_MAGIC_AT, _MAGIC = 128, b"DICM"
_DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_INFLATED_BYTES = 1 << 29
"""Of one file; it lies in memory as a whole."""
_MOST_HEADER_BYTES, _CHUNK = 1 << 25, 1 << 20
AGAIN = "Copy the series again from where it came from."


class Tag(IntEnum):
    """The elements that are looked at; no other is."""

    MEDIA_CLASS = 0x00020002
    TRANSFER_SYNTAX = 0x00020010
    IMAGE_TYPE = 0x00080008
    SOP_CLASS = 0x00080016
    STUDY_DAY = 0x00080020
    SERIES_DAY = 0x00080021
    ACQUISITION_DAY = 0x00080022
    DESCRIPTION = 0x0008103E
    PATIENT_ID = 0x00100020
    BIRTH_DAY = 0x00100030
    SCANNING = 0x00180020
    SCAN_OPTIONS = 0x00180022
    THICKNESS = 0x00180050
    REPETITION = 0x00180080
    ECHO = 0x00180081
    INVERSION = 0x00180082
    APART = 0x00180088
    EFFECTIVE_ECHO = 0x00189082
    STUDY = 0x0020000D
    SERIES = 0x0020000E
    SERIES_NUMBER = 0x00200011
    POSITION = 0x00200032
    ORIENTATION = 0x00200037
    FRAME_OF_REFERENCE = 0x00200052
    SAMPLES = 0x00280002
    PHOTOMETRIC = 0x00280004
    FRAMES = 0x00280008
    ROWS = 0x00280010
    COLUMNS = 0x00280011
    SPACING = 0x00280030
    ALLOCATED = 0x00280100
    STORED = 0x00280101
    HIGH_BIT = 0x00280102
    SIGNED = 0x00280103
    PADDING = 0x00280120
    PADDING_LIMIT = 0x00280121
    INTERCEPT = 0x00281052
    SLOPE = 0x00281053
    LOOKUP = 0x00283000
    SHARED = 0x52009229
    PER_FRAME = 0x52009230
    PIXELS = 0x7FE00010


_GROUPS = {
    Tag.POSITION: 0x00209113, Tag.ORIENTATION: 0x00209116, Tag.SPACING: 0x00289110, Tag.THICKNESS: 0x00289110,
    Tag.APART: 0x00289110, Tag.INTERCEPT: 0x00289145, Tag.SLOPE: 0x00289145, Tag.EFFECTIVE_ECHO: 0x00189114,
}  # fmt: skip
"""The functional group in which a multi-frame file keeps an element."""


@shared
@contextmanager
def hushed() -> Iterator[None]:
    """Keep pydicom's warnings, which repeat what headers hold, off the error stream."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_dicom(start: bytes) -> bool:
    """Return whether a file that starts so (132 bytes at least) is DICOM; some lack the preamble."""
    return start[_MAGIC_AT : _MAGIC_AT + 4] == _MAGIC or (
        start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
    )


def parsed(path: Path, files: DicomFiles, *, pixels: bool) -> Dataset:
    """Parse the wanted elements of a file.

    Raises:
        InputError: the file is damaged, or deflated and larger than any image.
    """
    wanted = [int(tag) for tag in Tag if pixels or tag != Tag.PIXELS]
    with files.open(path) as file, hushed():
        try:
            plain = _inflated(file, path, pixels)
            data = dcmread(plain or file, stop_before_pixels=not pixels, force=True, specific_tags=wanted)
            while pixels and file.read(_CHUNK):  # what is read to its end has its checksum compared
                pass
        except InputError:
            raise
        except Exception:  # pydicom on hostile bytes: whatever it stumbles over
            raise damaged(path) from None  # its words repeat what it found
    return data


def _inflated(file: IO[bytes], path: Path, pixels: bool) -> IO[bytes] | None:
    """Inflate a file that is deflated as a whole (PS3.5, A.5); None for any other, which is at its start then.

    pydicom would inflate it to any size. Whether it is deflated is what its own reader of the meta information says,
    wherever the syntax stands in it, and with a preamble or without.

    Args:
        pixels: whether all of it is wanted, else as much as holds the header.
    """
    preamble = file.read(_MAGIC_AT + len(_MAGIC))
    file.seek(0 if preamble[_MAGIC_AT:] != _MAGIC else _MAGIC_AT + len(_MAGIC))
    meta = _read_file_meta_info(cast(BinaryIO, file))
    syntax = meta.get(Tag.TRANSFER_SYNTAX)
    if syntax is None or str(syntax.value).strip(" \0") != _DEFLATED:
        file.seek(0)
        return None
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = BytesIO()
    whole.write(bytes(_MAGIC_AT) + _MAGIC)
    write_file_meta_info(DicomIO(whole), meta, enforce_standard=False)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    while not stream.eof and (packed := stream.unconsumed_tail or file.read(_CHUNK)):
        whole.write(stream.decompress(packed, _CHUNK))
        if whole.tell() > MAX_INFLATED_BYTES:
            problem, remedy = "the file inflates to more than any DICOM image takes", "Remove it from the folder."
            raise InputError(problem, file=path, remedy=remedy)
        if not pixels and whole.tell() > _MOST_HEADER_BYTES:
            break
    if pixels and not stream.eof:
        raise damaged(path)
    whole.seek(0)
    return whole


def frame_groups(data: Dataset) -> list[list[Dataset]]:
    """Return for each image of a file where its elements are looked for: its own functional groups, the shared, the
    rest.
    """
    count = int(text(data, Tag.FRAMES) or 1)
    own = items(data, Tag.PER_FRAME)
    if not own:
        return [[data]] if count == 1 else [[]]  # frames of which nothing is told
    if len(own) != count:
        raise ValueError
    return [[groups, *items(data, Tag.SHARED), data] for groups in own]


def found(groups: Sequence[Dataset], tag: Tag) -> tuple[float, ...]:
    """Return the numbers of an element in the first place that has it; none where it is nowhere."""
    for place in groups:
        inner = [place, *items(place, _GROUPS[tag])[:1]] if tag in _GROUPS else [place]
        for data in inner:
            if there := _numbers(data, tag):
                return there
    return ()


def _numbers(data: Dataset, tag: Tag) -> tuple[float, ...]:
    """Return the numbers of an element, written out (DS) or as doubles (FD)."""
    value, little = _raw(data, tag)
    if tag == Tag.EFFECTIVE_ECHO and value:
        there = struct.unpack(f"{'<' if little else '>'}d", value)
    else:
        words = text(data, tag)
        there = tuple(float(part) for part in words.split("\\")) if words else ()
    if not all(map(math.isfinite, there)):
        raise ValueError
    return there


def short(data: Dataset, tag: Tag) -> int:
    """Return a number of 16 bits (US); 0 where there is none."""
    element = data.get_item(tag)
    if element is not None and isinstance(element.value, int):  # pydicom looks at PixelRepresentation itself
        return element.value
    value, little = _raw(data, tag)
    if len(value) not in (0, 2):
        raise ValueError
    return int.from_bytes(value, "little" if little else "big")


def text(data: Dataset, tag: Tag) -> str:
    return _raw(data, tag)[0].decode("latin-1").strip(" \0")


def meta_text(data: Dataset, tag: Tag) -> str:
    """Return a UID of the file's meta information, which pydicom itself has read."""
    element = data.file_meta.get(tag)
    return "" if element is None else str(element.value).strip(" \0")


def _raw(data: Dataset, tag: Tag) -> tuple[bytes, bool]:
    """Return an element as it stands in the file, empty where there is none, and whether it is little-endian."""
    element = data.get_item(tag)
    if element is None or element.value is None:
        return b"", True
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        raise ValueError
    return element.value, element.is_little_endian


def items(data: Dataset, tag: int) -> list[Dataset]:
    element = data.get(tag)
    if element is None:
        return []
    if not isinstance(element.value, Items):
        raise ValueError
    return list(element.value)


def damaged(path: Path) -> InputError:
    return InputError("the DICOM file is damaged or cut short", file=path, remedy=AGAIN)
