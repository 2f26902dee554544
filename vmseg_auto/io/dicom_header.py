"""DICOM headers to slices. Beside dicom.py, the only module that speaks to pydicom.

A header can hold anything, and pydicom repeats in warnings what it can't make out, where a patient's name has no place.
So elements are taken as raw bytes, only those named here, and no message tells what a header holds but numbers.
"""

from __future__ import annotations

import hashlib
import math
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.series import PixelFormat, Slice, Vector
from vmseg_auto.io.dicom_files import DicomFiles
from vmseg_auto.io.dicom_pixels import BIG, IMPLICIT, READABLE
from vmseg_auto.io.shared import shared

_MAGIC_AT, _MAGIC = 128, b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 1 << 16
_FARTHEST_MM = 1e5
_MAX_PIXELS = 1 << 14
"""Along one side of a slice."""
AGAIN = "Copy the series again from where it came from."

_TRANSFER_SYNTAX, _SOP_CLASS, _MEDIA_CLASS = 0x00020010, 0x00080016, 0x00020002
_IMAGE_TYPE, _STUDY, _SERIES, _SERIES_NUMBER, _FRAME_OF_REFERENCE = (
    0x00080008, 0x0020000D, 0x0020000E, 0x00200011, 0x00200052,
)  # fmt: skip
_PATIENT_ID = 0x00100020
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS = 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH_BIT, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_INTERCEPT, _SLOPE, _LOOKUP = 0x00281052, 0x00281053, 0x00283000
_THICKNESS, _APART, _ECHO, _EFFECTIVE_ECHO = 0x00180050, 0x00180088, 0x00180081, 0x00189082
PIXELS = 0x7FE00010
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_GROUPS = {
    _POSITION: 0x00209113, _ORIENTATION: 0x00209116, _SPACING: 0x00289110, _THICKNESS: 0x00289110, _APART: 0x00289110,
    _INTERCEPT: 0x00289145, _SLOPE: 0x00289145, _EFFECTIVE_ECHO: 0x00189114,
}  # fmt: skip
"""The functional group in which a multi-frame file keeps an element."""
_WANTED = [
    _SOP_CLASS, _IMAGE_TYPE, _STUDY, _SERIES, _SERIES_NUMBER, _FRAME_OF_REFERENCE, _PATIENT_ID, _SAMPLES, _PHOTOMETRIC,
    _FRAMES, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH_BIT, _SIGNED, _LOOKUP, _ECHO, _SHARED, _PER_FRAME, *_GROUPS,
]  # fmt: skip
_OBJECTS = {
    "1.2.840.10008.1.3.10": "table of contents (DICOMDIR)",
    "1.2.840.10008.5.1.4.1.1.66.": "segmentation or registration",
    "1.2.840.10008.5.1.4.1.1.30": "parametric map",
    "1.2.840.10008.5.1.4.1.1.88.": "report",
    "1.2.840.10008.5.1.4.1.1.104.": "document",
    "1.2.840.10008.5.1.4.1.1.11.": "presentation state",
    "1.2.840.10008.5.1.4.1.1.481.": "radiotherapy object",
    "1.2.840.10008.5.1.4.1.1.4.2": "spectrum",
}
"""SOP classes that hold no slices of a scan: how their UID begins, and what they are."""
_SCANS = tuple(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2", "4", "128", "130"))
"""SOP classes of CT, MR and PET, and of their enhanced kinds (a point and a number follow)."""
_NO_SIZE, _NO_PLACE = "file without pixels", "picture without a position in space"


@dataclass(frozen=True)
class Content:
    """What a DICOM file holds, as far as it matters.

    Args:
        kind: in words, for messages.
        series: equal for files of one series only; never shown.
        number: SeriesNumber, 0 where there is none; for the order of series only.
        slices: of a scan, in the file's order; none in other objects.
        refusal: why an image can't be used; it then has no slices.
    """

    kind: str
    series: tuple[str, str]
    number: int
    slices: tuple[Slice, ...] = ()
    refusal: str | None = None


@shared
@contextmanager
def hushed() -> Iterator[None]:
    """Keep pydicom's warnings, which repeat what headers hold, off the error stream."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_dicom(start: bytes) -> bool:
    """Whether a file that starts so (132 bytes at least) is DICOM; old ones have no preamble."""
    return start[_MAGIC_AT : _MAGIC_AT + 4] == _MAGIC or (start[:2] == b"\x08\x00" and start[3:4] == b"\x00")


def read_content(path: Path, files: DicomFiles) -> Content:
    """What a DICOM file holds, from its header.

    Raises:
        InputError: it is damaged so that not even its series can be told.
    """
    return content(parsed(path, files, pixels=False), path)


def parsed(path: Path, files: DicomFiles, *, pixels: bool) -> Dataset:
    """The wanted elements of a file.

    Raises:
        InputError: the file is damaged, or deflated.
    """
    wanted: list[Any] = [*_WANTED, PIXELS] if pixels else _WANTED
    with files.open(path) as file, hushed():
        try:
            if _DEFLATED in file.read(_META_BYTES):
                problem, remedy = "the file is deflated as a whole, which can't be read", "Export it uncompressed."
                raise InputError(problem, file=path, remedy=remedy)
            file.seek(0)
            data = dcmread(file, stop_before_pixels=not pixels, force=True, specific_tags=wanted)
            while pixels and file.read(1 << 20):  # what is read to its end has its checksum compared
                pass
        except InputError:
            raise
        except Exception:  # pydicom on hostile bytes: whatever it stumbles over
            raise _damaged(path) from None  # its words repeat what it found
    return data


def content(data: Dataset, path: Path) -> Content:
    """What the elements that `parsed` gave tell of a file; raises as `read_content`."""
    with hushed():
        try:
            sop_class = _text(data, _SOP_CLASS) or _meta_text(data, _MEDIA_CLASS)
            number = _text(data, _SERIES_NUMBER)
            series, order = (_text(data, _STUDY), _text(data, _SERIES)), int(number) if number.isdecimal() else 0
        except Exception:  # pydicom on hostile bytes: whatever it stumbles over
            raise _damaged(path) from None  # its words repeat what it found
        if kind := next((words for begin, words in _OBJECTS.items() if sop_class.startswith(begin)), None):
            return Content(kind, series, order)
        if not series[1] or not sop_class:
            raise _damaged(path)
        try:
            kind = _kind(data)
            if kind in (_NO_SIZE, _NO_PLACE) and (sop_class in _SCANS or sop_class.rpartition(".")[0] in _SCANS):
                raise InputError(f"it should be a slice, but is a {kind}", file=path, remedy=AGAIN)
            return Content(kind, series, order, () if kind != "slice" else _slices(data, path, sop_class))
        except InputError:
            raise
        except _UnfitError as error:
            return Content("image", series, order, refusal=f"{path.name}: {error}")
        except Exception:  # pydicom on hostile bytes: whatever it stumbles over
            return Content("image", series, order, refusal=f"{path.name} is damaged")


class _UnfitError(Exception):
    """An image that can't be used; says why."""


def _kind(data: Dataset) -> str:
    if not (_short(data, _ROWS) and _short(data, _COLUMNS)):
        return _NO_SIZE
    if "LOCALIZER" in _text(data, _IMAGE_TYPE).split("\\"):
        return "localizer"
    if _short(data, _SAMPLES) > 1:
        return "picture in colour"
    return "slice" if any(_found(frame, _POSITION) for frame in _frame_groups(data)) else _NO_PLACE


def _slices(data: Dataset, path: Path, sop_class: str) -> tuple[Slice, ...]:
    shape, frames = (_short(data, _ROWS), _short(data, _COLUMNS)), _frame_groups(data)
    if max(shape) > _MAX_PIXELS:
        raise ValueError
    pixels = _pixel_format(data, rescaled=bool(_found(frames[0], _SLOPE)))
    told_apart = "\\".join((_text(data, _FRAME_OF_REFERENCE), _text(data, _PATIENT_ID), sop_class))
    examination = hashlib.sha256(told_apart.encode()).hexdigest()[:16]
    return tuple(_slice(own, path, number, shape, pixels, examination) for number, own in enumerate(frames))


def _frame_groups(data: Dataset) -> list[list[Dataset]]:
    """For each image of a file, where its elements are looked for: its own functional groups, the shared, the rest."""
    count = int(_text(data, _FRAMES) or 1)
    own = _items(data, _PER_FRAME)
    if not own:
        return [[data]] if count == 1 else [[] for _ in range(count)]
    if len(own) != count:
        raise ValueError
    return [[groups, *_items(data, _SHARED), data] for groups in own]


def _pixel_format(data: Dataset, *, rescaled: bool) -> PixelFormat:
    syntax = _meta_text(data, _TRANSFER_SYNTAX) or IMPLICIT
    allocated, stored, signed = _short(data, _ALLOCATED), _short(data, _STORED), _short(data, _SIGNED)
    problem = ""
    if syntax not in READABLE:
        problem = "its pixels are compressed in a way that can't be read"
    elif _text(data, _PHOTOMETRIC) != "MONOCHROME2":
        problem = "it is no greyscale image in which high numbers are bright (MONOCHROME2)"
    elif allocated not in (8, 16, 32) or (allocated != 16 and syntax == BIG):
        problem = f"its pixels take {allocated} bits, which can't be read"
    elif not 1 <= stored <= allocated or _short(data, _HIGH_BIT) != stored - 1 or signed not in (0, 1):
        problem = "the header contradicts itself on how its pixels are stored"
    elif data.get_item(_LOOKUP) is not None:
        problem = "its numbers must be looked up in a table (modality LUT), which can't be done"
    if problem:
        raise _UnfitError(problem)
    return PixelFormat(allocated, stored, bool(signed), rescaled, syntax)


def _slice(
    groups: Sequence[Dataset], path: Path, frame: int, shape: tuple[int, int], pixels: PixelFormat, examination: str
) -> Slice:
    def several(tag: int, count: int) -> tuple[float, ...]:
        numbers = _found(groups, tag)
        if len(numbers) != count or max(map(abs, numbers)) > _FARTHEST_MM:
            raise ValueError
        return numbers

    def one(tag: int) -> float | None:
        numbers = _found(groups, tag)
        return numbers[0] if numbers else None

    orientation, spacing = several(_ORIENTATION, 6), several(_SPACING, 2)
    slope, intercept, echo = one(_SLOPE), one(_INTERCEPT), one(_EFFECTIVE_ECHO) or one(_ECHO)
    if min(spacing) <= 0 or slope == 0 or (slope is not None) != pixels.rescaled or (intercept and slope is None):
        raise ValueError
    return Slice(
        path,
        frame,
        shape,
        _pair(spacing),
        _vector(several(_POSITION, 3)),
        _vector(orientation[:3]),
        _vector(orientation[3:]),
        1.0 if slope is None else slope,
        intercept or 0.0,
        pixels,
        examination,
        echo_ms=None if echo is None else round(echo, 2),
        thickness_mm=one(_THICKNESS),
        apart_mm=one(_APART),
    )


def _found(groups: Sequence[Dataset], tag: int) -> tuple[float, ...]:
    """The numbers of an element in the first place that has it; none where it is nowhere."""
    for place in groups:
        inner = [place, *_items(place, _GROUPS[tag])[:1]] if tag in _GROUPS else [place]
        for data in inner:
            if numbers := _numbers(data, tag):
                return numbers
    return ()


def _numbers(data: Dataset, tag: int) -> tuple[float, ...]:
    """The numbers of an element, written out (DS) or as doubles (FD)."""
    value, little = _raw(data, tag)
    if tag == _EFFECTIVE_ECHO and value:
        numbers = struct.unpack(f"{'<' if little else '>'}d", value)
    else:
        text = value.decode("latin-1").strip(" \0")
        numbers = tuple(float(part) for part in text.split("\\")) if text else ()
    if not all(map(math.isfinite, numbers)):
        raise ValueError
    return numbers


def _short(data: Dataset, tag: int) -> int:
    """A number of 16 bits (US); 0 where there is none."""
    element = data.get_item(tag)
    if element is not None and isinstance(element.value, int):  # pydicom looks at PixelRepresentation itself
        return element.value
    value, little = _raw(data, tag)
    if len(value) not in (0, 2):
        raise ValueError
    return int.from_bytes(value, "little" if little else "big")


def _text(data: Dataset, tag: int) -> str:
    return _raw(data, tag)[0].decode("latin-1").strip(" \0")


def _meta_text(data: Dataset, tag: int) -> str:
    """A UID of the file's meta information, which pydicom itself has looked at."""
    element = data.file_meta.get(tag)
    return "" if element is None else str(element.value).strip(" \0")


def _raw(data: Dataset, tag: int) -> tuple[bytes, bool]:
    """An element as it stands in the file, empty where there is none, and whether it is little-endian."""
    element = data.get_item(tag)
    if element is None or element.value is None:
        return b"", True
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        raise ValueError
    return element.value, element.is_little_endian


def _items(data: Dataset, tag: int) -> list[Dataset]:
    element = data.get(tag)
    if element is None:
        return []
    if not isinstance(element.value, Items):
        raise ValueError
    return list(element.value)


def _pair(numbers: Sequence[float]) -> tuple[float, float]:
    first, second = numbers
    return first, second


def _vector(numbers: Sequence[float]) -> Vector:
    x, y, z = numbers
    return x, y, z


def _damaged(path: Path) -> InputError:
    return InputError("the DICOM file is damaged or cut short", file=path, remedy=AGAIN)
