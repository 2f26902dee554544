"""An image as it comes over the network, and what is refused of it with which status (DICOM PS3.4, B.2.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from pydicom import dcmread
from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage, MRImageStorage

from vmseg_auto.data.dicom.elements import hushed
from vmseg_auto.data.dicom.pixels import READABLE
from vmseg_auto.pacs.states import pseudonym, study_hash

SCANS = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
"""SOP classes that are predicted."""
SYNTAXES = READABLE
"""Transfer syntaxes that can be read."""
_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientBirthDate",
    "NumberOfSeriesRelatedInstances",
)  # fmt: skip


class RefusedError(Exception):
    """An object that the node does not take.

    Args:
        status: that is returned for it.
        reason: in words; no header's.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


SUCCESS = 0x0000
NO_SUCH_CLASS, NO_ROOM, MISMATCH, UNREADABLE, TWO_PATIENTS = 0x0122, 0xA700, 0xA900, 0xC000, 0xC001


@dataclass(frozen=True)
class ImageHeader:
    """What the node must know of an image.

    Args:
        series: pseudonym of its series.
        study: a hash of its study.
        patient: a hash of what tells patients apart; it is compared, and never stored.
        instance: a hash of its SOPInstanceUID, which its file is named after.
        announced: how many images its series has, where the header tells.
        uids: of study and series.
    """

    series: str
    study: str
    patient: str
    instance: str
    announced: int | None
    uids: tuple[str, str]


def read_incoming(data: bytes, sop_class: str, instance: str) -> ImageHeader:
    """Read the header of an image that a peer sends.

    Args:
        data: its file.
        sop_class, instance: the UIDs that its sender told.

    Raises:
        RefusedError: it is no MR image, can't be read, or is another one than told.
    """
    if sop_class not in SCANS:
        raise RefusedError(NO_SUCH_CLASS, "no MR image")
    told = _told(BytesIO(data))
    if (told["SOPClassUID"], told["SOPInstanceUID"]) != (sop_class, instance):
        raise RefusedError(MISMATCH, "it is another object than its sender says")
    return _header(told)


def read_received(path: Path) -> ImageHeader | None:
    """Read the header of an image that lies in the queue; None where it is damaged."""
    try:
        with path.open("rb") as file:
            return _header(_told(file))
    except (OSError, RefusedError):
        return None


def _told(file: IO[bytes]) -> dict[str, str]:
    try:
        with hushed():
            header = dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            return {name: str(header.get(name) or "").strip() for name in _TAGS}
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        raise RefusedError(UNREADABLE, "it can't be read") from None


def _header(told: Mapping[str, str]) -> ImageHeader:
    study, series, count = (
        told[name] for name in ("StudyInstanceUID", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances")
    )
    if not study or not series:
        raise RefusedError(UNREADABLE, "its header names no study or no series")
    return ImageHeader(
        pseudonym(study, series),
        study_hash(study),
        _hashed(f"{told['PatientID']}/{told['PatientBirthDate']}"),
        _hashed(told["SOPInstanceUID"]),
        int(count) if count.isdecimal() and int(count) else None,
        (study, series),
    )


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:24]
