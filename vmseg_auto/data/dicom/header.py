"""DICOM headers to slices."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset

from vmseg_auto.data.dicom.elements import (
    AGAIN,
    Tag,
    damaged,
    found,
    frame_groups,
    hushed,
    meta_text,
    parsed,
    short,
    text,
)
from vmseg_auto.data.dicom.files import DicomFiles
from vmseg_auto.data.dicom.pixels import BIG, IMPLICIT, READABLE
from vmseg_auto.data.dicom.series import Acquisition, PixelFormat, Slice, Vector
from vmseg_auto.utils.errors import InputError

_FARTHEST_MM = 1e5
_LONGEST_MS = 1e5
_MAX_PIXELS = 1 << 14
"""Along one side of a slice."""
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
        acquisition: how the series was taken.
        slices: of a scan, in the file's order; none in other objects.
        refusal: why an image can't be used; it then has no slices.
    """

    kind: str
    series: tuple[str, str]
    acquisition: Acquisition
    slices: tuple[Slice, ...] = ()
    refusal: str | None = None


def read_content(path: Path, files: DicomFiles) -> Content:
    """Read what a DICOM file holds, from its header.

    Raises:
        InputError: it is damaged so that not even its series can be told.
    """
    return content(parsed(path, files, pixels=False), path)


def content(data: Dataset, path: Path) -> Content:
    """Return what the elements that `parsed` gave tell of a file; raises as `read_content`."""
    with hushed():
        try:
            sop_class = text(data, Tag.SOP_CLASS) or meta_text(data, Tag.MEDIA_CLASS)
            series, acquisition = (text(data, Tag.STUDY), text(data, Tag.SERIES)), _acquisition(data)
        except Exception:  # pydicom on hostile bytes: whatever it stumbles over
            raise damaged(path) from None  # its words repeat what it found
        if kind := next((words for begin, words in _OBJECTS.items() if sop_class.startswith(begin)), None):
            return Content(kind, series, acquisition)
        if not series[1] or not sop_class:
            raise damaged(path)
        try:
            kind = _kind(data)
            if kind in (_NO_SIZE, _NO_PLACE) and (sop_class in _SCANS or sop_class.rpartition(".")[0] in _SCANS):
                raise InputError(f"it should be a slice, but is a {kind}", file=path, remedy=AGAIN)
            return Content(kind, series, acquisition, () if kind != "slice" else _slices(data, path, sop_class))
        except InputError:
            raise
        except _UnfitError as error:
            return Content("image", series, acquisition, refusal=f"{path.name}: {error}")
        except Exception:  # pydicom on hostile bytes: whatever it stumbles over
            return Content("image", series, acquisition, refusal=f"{path.name} is damaged")


def _acquisition(data: Dataset) -> Acquisition:
    number = text(data, Tag.SERIES_NUMBER)
    return Acquisition(
        hashlib.sha256(text(data, Tag.STUDY).encode()).hexdigest()[:16],
        int(number) if number.isdecimal() else 0,
        _words(data, Tag.DESCRIPTION),
        _words(data, Tag.SCANNING),
        _words(data, Tag.SCAN_OPTIONS),
        _milliseconds(data, Tag.REPETITION),
        _milliseconds(data, Tag.INVERSION),
    )


def _words(data: Dataset, tag: Tag) -> str:
    """Read a text, empty where it can't be made out: it is only shown and compared."""
    try:
        raw = text(data, tag).encode("latin-1")
    except ValueError:
        return ""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _milliseconds(data: Dataset, tag: Tag) -> float | None:
    try:
        number = float(_words(data, tag).partition("\\")[0])
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 < number < _LONGEST_MS else None


class _UnfitError(Exception):
    """An image that can't be used; says why."""


def _kind(data: Dataset) -> str:
    if not (short(data, Tag.ROWS) and short(data, Tag.COLUMNS)):
        return _NO_SIZE
    if "LOCALIZER" in text(data, Tag.IMAGE_TYPE).split("\\"):
        return "localizer"
    if short(data, Tag.SAMPLES) > 1:
        return "picture in colour"
    return "slice" if any(found(frame, Tag.POSITION) for frame in frame_groups(data)) else _NO_PLACE


def _slices(data: Dataset, path: Path, sop_class: str) -> tuple[Slice, ...]:
    shape, frames = (short(data, Tag.ROWS), short(data, Tag.COLUMNS)), frame_groups(data)
    if max(shape) > _MAX_PIXELS:
        raise ValueError
    pixels = _pixel_format(data, rescaled=bool(found(frames[0], Tag.SLOPE)))
    padding = _padding(data, pixels.signed)
    told_apart = "\\".join((text(data, Tag.FRAME_OF_REFERENCE), text(data, Tag.PATIENT_ID), sop_class))
    examination = _Examination(
        _hashed(told_apart),
        tuple(_hashed(text(data, tag)) for tag in (Tag.PATIENT_ID, Tag.BIRTH_DAY)),
        tuple(_day(text(data, tag)) for tag in (Tag.STUDY_DAY, Tag.SERIES_DAY, Tag.ACQUISITION_DAY)),
    )
    slices = (_slice(own, path, number, shape, pixels, examination) for number, own in enumerate(frames))
    return tuple(replace(one, padding=padding) for one in slices)


@dataclass(frozen=True)
class _Examination:
    """What a header says of the examination; see `Slice`."""

    examination: str
    patient: tuple[str, ...]
    days: tuple[str, ...]


def _hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16] if value else ""


def _day(value: str) -> str:
    """Return a day as YYYYMMDD; empty for what is no day. Until 1993 days were written as YYYY.MM.DD."""
    day = value.replace(".", "")
    return day if len(day) == 8 and day.isdecimal() else ""


def _pixel_format(data: Dataset, *, rescaled: bool) -> PixelFormat:
    syntax = meta_text(data, Tag.TRANSFER_SYNTAX) or IMPLICIT
    allocated, stored, signed = short(data, Tag.ALLOCATED), short(data, Tag.STORED), short(data, Tag.SIGNED)
    problem = ""
    if syntax not in READABLE:
        problem = "its pixels are compressed in a way that can't be read"
    elif text(data, Tag.PHOTOMETRIC) != "MONOCHROME2":
        problem = "it is no greyscale image in which high numbers are bright (MONOCHROME2)"
    elif allocated not in (8, 16, 32) or (allocated != 16 and syntax == BIG):
        problem = f"its pixels take {allocated} bits, which can't be read"
    elif not 1 <= stored <= allocated or short(data, Tag.HIGH_BIT) != stored - 1 or signed not in (0, 1):
        problem = "the header contradicts itself on how its pixels are stored"
    elif data.get_item(Tag.LOOKUP) is not None:
        problem = "its numbers must be looked up in a table (modality LUT), which can't be done"
    if problem:
        raise _UnfitError(problem)
    return PixelFormat(allocated, stored, bool(signed), rescaled, syntax)


def _padding(data: Dataset, signed: bool) -> tuple[int, int] | None:
    """Return PixelPaddingValue and PixelPaddingRangeLimit, the lower one first; a limit without a value says nothing.

    Some files give the type of the value as that of other pixels than theirs: its bits are read as the pixels' are.
    """

    def stored(tag: Tag) -> int:
        number = short(data, tag)
        return number - (1 << 16) if signed and number >= 1 << 15 else number

    if not _is_given(data, Tag.PADDING):
        return None
    value = stored(Tag.PADDING)
    limit = stored(Tag.PADDING_LIMIT) if _is_given(data, Tag.PADDING_LIMIT) else value
    return min(value, limit), max(value, limit)


def _is_given(data: Dataset, tag: Tag) -> bool:
    element = data.get_item(tag)
    return element is not None and element.value not in (None, b"", "")


def _slice(
    groups: Sequence[Dataset],
    path: Path,
    frame: int,
    shape: tuple[int, int],
    pixels: PixelFormat,
    examination: _Examination,
) -> Slice:
    def several(tag: Tag, count: int) -> tuple[float, ...]:
        numbers = found(groups, tag)
        if len(numbers) != count or max(map(abs, numbers)) > _FARTHEST_MM:
            raise ValueError
        return numbers

    def one(tag: Tag) -> float | None:
        numbers = found(groups, tag)
        return numbers[0] if numbers else None

    orientation, spacing = several(Tag.ORIENTATION, 6), several(Tag.SPACING, 2)
    slope, intercept, echo = one(Tag.SLOPE), one(Tag.INTERCEPT), one(Tag.EFFECTIVE_ECHO) or one(Tag.ECHO)
    if min(spacing) <= 0 or slope == 0 or (slope is not None) != pixels.rescaled or (intercept and slope is None):
        raise ValueError
    return Slice(
        path,
        frame,
        shape,
        _pair(spacing),
        _vector(several(Tag.POSITION, 3)),
        _vector(orientation[:3]),
        _vector(orientation[3:]),
        1.0 if slope is None else slope,
        intercept or 0.0,
        pixels,
        examination.examination,
        echo_ms=None if echo is None else round(echo, 2),
        thickness_mm=one(Tag.THICKNESS),
        apart_mm=one(Tag.APART),
        patient=examination.patient,
        days=examination.days,
    )


def _pair(numbers: Sequence[float]) -> tuple[float, float]:
    first, second = numbers
    return first, second


def _vector(numbers: Sequence[float]) -> Vector:
    x, y, z = numbers
    return x, y, z
