"""What all DICOM objects share that are made of a mask: patient, study and frame of reference of its series, what made
it, and how it is written.

highdicom, which the extra `dicom` brings, is imported by this module and those of each kind alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.uid import ComprehensiveSRStorage, RTStructureSetStorage, generate_uid
from pydicom.valuerep import DSfloat

from vmseg_auto.data.codes import Code
from vmseg_auto.data.dicom.elements import AGAIN, hushed
from vmseg_auto.data.dicom.files import DicomFiles
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.json_codec import encode

PURPOSE = "for research, not for diagnosis"
"""Stands in the description of every series that is made."""
_MAY_LACK = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
"""What every DICOM object holds, be it empty; anonymised files often lack it."""
_DEFAULT_REPERTOIRE = "ISO 2022 IR 6"
_LAST = {RTStructureSetStorage: "ApprovalStatus", ComprehensiveSRStorage: "ContentSequence"}
"""What stands last in objects without pixels."""
TEXT_LENGTH = 64
"""Of most texts in a header (VR LO)."""
_UID_ROOT = "1.2.826.0.1.3680043.10.511.3."
"""highdicom's, whose own UIDs begin so too."""
_INSTEAD = "Export the series again, or write NIfTI (--format nifti)."


@dataclass(frozen=True)
class Algorithm:
    """What made a mask, as it is recorded in the object.

    Args:
        name: of the program.
        version: of the program.
        model: the digest of the model and its options.
        corrected: whether a reader has changed the mask since.
    """

    name: str
    version: str
    model: str
    corrected: bool = False

    @property
    def kind(self) -> str:
        """How far a mask was made without a person, in DICOM's words."""
        return "SEMIAUTOMATIC" if self.corrected else "AUTOMATIC"


@dataclass(frozen=True)
class Kind:
    """A kind of object; those of one mask are series of their own in its scan's study.

    Args:
        name: of it in messages.
        content: of it in the description of its series.
        series_number: of its series.
    """

    name: str
    content: str
    series_number: int

    def identity(self, source: Source, algorithm: Algorithm, content: bytes) -> dict[str, Any]:
        """Return what highdicom's classes ask of the new series and its one object, and of what made it.

        Their UIDs follow from what the object is made of: made again of the same, it is the same object to an archive.

        Args:
            content: what the object shows of the series, such as the bytes of the mask.
        """
        made_of = [*source.instances, self.name, *map(str, astuple(algorithm)), hashlib.sha256(content).hexdigest()]
        return {
            "series_instance_uid": generate_uid(_UID_ROOT, ["series", *made_of]),
            "series_number": self.series_number,
            "series_description": f"{algorithm.name} {self.content}, {PURPOSE}",
            "sop_instance_uid": generate_uid(_UID_ROOT, ["instance", *made_of]),
            "instance_number": 1,
            "manufacturer": algorithm.name,
            "manufacturer_model_name": algorithm.name,
            "software_versions": algorithm.version,
            "device_serial_number": algorithm.model[:TEXT_LENGTH],
        }


@dataclass(frozen=True)
class Source:
    """The headers of the series that a mask was made from, each with all that an object must repeat of them.

    Args:
        series: the series.
        headers: of its files, in the order of its slices.
        frame_of_reference: its FrameOfReferenceUID.
    """

    series: Series
    headers: tuple[Dataset, ...]
    frame_of_reference: str

    @property
    def first(self) -> Dataset:
        return self.headers[0]

    @property
    def instances(self) -> list[str]:
        """SOPInstanceUID of each file."""
        return [str(header.SOPInstanceUID) for header in self.headers]

    def images(self) -> list[Dataset]:
        """Return a reference to the image of each slice (Image SOP Instance Reference Macro, PS3.3, 10.3)."""
        by_file = dict(zip(self.series.files, self.headers, strict=True))
        found = []
        for one in self.series.slices:
            header = by_file[one.file]
            item = Dataset()
            item.ReferencedSOPClassUID = header.SOPClassUID
            item.ReferencedSOPInstanceUID = header.SOPInstanceUID
            if "NumberOfFrames" in header:
                item.ReferencedFrameNumber = one.frame + 1
            found.append(item)
        return found

    def new_object(
        self, kind: Kind, algorithm: Algorithm, content: bytes, sop_class: str, modality: str, syntax: str
    ) -> Any:
        """Return an object of patient and study, for which highdicom has no class; what it holds is to be added."""
        import highdicom as hd

        first = self.first
        made = hd.SOPClass(
            study_instance_uid=first.StudyInstanceUID,
            sop_class_uid=sop_class,
            modality=modality,
            transfer_syntax_uid=syntax,
            patient_id=first.PatientID,
            patient_name=first.PatientName,
            patient_birth_date=first.PatientBirthDate,
            patient_sex=first.PatientSex,
            accession_number=first.AccessionNumber,
            study_id=first.StudyID,
            study_date=first.StudyDate,
            study_time=first.StudyTime,
            referring_physician_name=first.get("ReferringPhysicianName"),
            **kind.identity(self, algorithm, content),
        )
        made.copy_patient_and_study_information(first)
        return made


def content_of(mask: NDArray[np.uint8], labels: Mapping[str, int]) -> bytes:
    """Return the bytes that tell a mask [Z, Y, X] with its labels from any other."""
    return json.dumps([encode(labels), mask.shape]).encode() + mask.tobytes()


def coded_item(code: Code) -> Dataset:
    """Return an item of a sequence of codes."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def require_highdicom() -> None:
    """Raise InputError where the extra that writes DICOM objects is not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        remedy = "Install it (`python -m pip install highdicom`), or write NIfTI (--format nifti)."
        raise InputError("writing DICOM files needs highdicom, which is not installed", remedy=remedy) from None


def write_object(path: Path, series: Series, geometry: Geometry, kind: Kind, make: Callable[[Source], Dataset]) -> None:
    """Write what is made of a series' headers, whole or not at all, in the character set of the series.

    Args:
        path: of the new file.
        series: that the mask was made from.
        geometry: its grid.
        kind: of the object.
        make: makes it.

    Raises:
        InputError: the series lacks what the object must refer to, or can no longer be read.
        VmsegError: the file can't be written.
    """
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)  # its warnings repeat the patient's name
    try:
        with replacing(path) as temporary, hushed():
            headers = _headers(series)
            frame = _complete(headers, series, geometry, kind)
            for header in headers:
                _put_on_grid(header, geometry)
            made = make(Source(series, tuple(headers), frame))
            if characters := _character_set(headers[0]):
                made.SpecificCharacterSet = characters
            made.save_as(temporary, enforce_file_format=True)
    except VmsegError:
        raise
    except Exception as error:  # highdicom on a hostile header; its text may repeat what that says of the patient
        problem = f"the header of the series can't be taken over into a {kind.name} ({type(error).__name__})"
        raise InputError(problem, file=series.path, remedy=_INSTEAD) from None


def require_whole(path: Path) -> None:
    """Refuse a DICOM object that is damaged or cut short, by an InputError."""
    try:
        with hushed():
            data = dcmread(path)
            if last := _LAST.get(data.SOPClassUID):
                element = data.get_item(last)  # pydicom takes a file that ends before it, or within it
                if element is None or (isinstance(element, RawDataElement) and len(element.value) != element.length):
                    raise ValueError
            else:
                data.pixel_array  # noqa: B018
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        raise InputError("the DICOM file is damaged or cut short", file=path, remedy=AGAIN) from None


def _headers(series: Series) -> list[Dataset]:
    """Read the headers of a series' files, in the order of its slices."""
    found: list[Dataset] = []
    with DicomFiles() as files, hushed():
        for path in series.files:
            try:
                with files.open(path) as file:
                    found.append(dcmread(file, stop_before_pixels=True, force=True))
            except InputError:
                raise
            except Exception:  # pydicom on hostile bytes: whatever it stumbles over
                raise InputError("the DICOM file is damaged or cut short", file=path, remedy=AGAIN) from None
    return found


def _complete(headers: Sequence[Dataset], series: Series, geometry: Geometry, kind: Kind) -> str:
    """Give headers what highdicom looks for in them; returns the frame of reference.

    Raises:
        InputError: the series has none, or is of no study.
    """
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
        if not all(header.get(keyword) for header in headers):
            problem = f"the header of the series lacks the {keyword}, to which a {kind.name} must refer"
            raise InputError(problem, file=series.path, remedy=_INSTEAD)
    for header in headers:
        for keyword in _MAY_LACK:
            if keyword not in header:
                setattr(header, keyword, "")
        if not header.get("SliceThickness"):
            header.SliceThickness = geometry.spacing_mm[0]
        if own := header.get("PerFrameFunctionalGroupsSequence"):
            shared = header.SharedFunctionalGroupsSequence[0]
            for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
                if keyword not in shared and keyword in own[0]:  # in a volume all frames have the same
                    setattr(shared, keyword, own[0].get(keyword))
    return str(headers[0].FrameOfReferenceUID)


def _character_set(header: Dataset) -> str | list[str] | None:
    """Return what SpecificCharacterSet says, an empty value by the name of what it stands for (PS3.3, C.12.1.1.2).

    highdicom knows neither the empty value nor the Korean set.
    """
    stated = header.get("SpecificCharacterSet")
    if not stated or isinstance(stated, str):
        return stated or None
    return [value or _DEFAULT_REPERTOIRE for value in stated]


def _put_on_grid(header: Dataset, geometry: Geometry) -> None:
    """Give each image the position of the slice nearest to it, and the grid's orientation.

    Positions and cosines in headers are often rounded, and highdicom then finds no image for a frame. Where the nearest
    slice lies half a slice or more away the position stays: such an image is none of the grid.
    """
    axes = np.array(geometry.direction).reshape(3, 3)
    cosines = [_decimal(cosine) for cosine in axes[:, :2].T.ravel()]
    frames = header.get("PerFrameFunctionalGroupsSequence", [])
    for shared in header.get("SharedFunctionalGroupsSequence", []):
        for plane in (plane for group in (shared, *frames) for plane in group.get("PlaneOrientationSequence", [])):
            plane.ImageOrientationPatient = cosines
    if "ImageOrientationPatient" in header:
        header.ImageOrientationPatient = cosines
    for place in (header, *(plane for frame in frames for plane in frame.get("PlanePositionSequence", []))):
        if "ImagePositionPatient" in place:
            stated = np.array(place.ImagePositionPatient, dtype=float)
            steps = float(axes[:, 2] @ (stated - geometry.origin_mm)) / geometry.spacing_mm[0]
            nearest = min(max(round(steps), 0), geometry.shape[0] - 1)
            if abs(steps - nearest) < 0.5:
                on_grid = geometry.origin_mm + nearest * geometry.spacing_mm[0] * axes[:, 2]
                place.ImagePositionPatient = [_decimal(value) for value in on_grid]


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)
