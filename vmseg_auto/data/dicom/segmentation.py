"""Masks as DICOM Segmentation objects (DICOM PS3.3, A.51) in the frame of reference of the series they were made from.

The only module that speaks to highdicom, which the extra `dicom` brings.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.valuerep import DSfloat

from vmseg_auto.data.codes import coded
from vmseg_auto.data.dicom.elements import AGAIN, hushed
from vmseg_auto.data.dicom.files import DicomFiles
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry

ENDING = ".dcm"
_FAMILY = ("123110", "DCM", "Artificial Intelligence")
_MAY_LACK = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
"""What every DICOM object holds, be it empty; anonymised files often lack it."""
_DEFAULT_REPERTOIRE = "ISO 2022 IR 6"
_SERIES_NUMBER = 9000
_TEXT_LENGTH = 64
_INSTEAD = "Export the series again, or write NIfTI (--format nifti)."


@dataclass(frozen=True)
class Algorithm:
    """What made a mask, as it is recorded in the object.

    Args:
        name: of the program.
        version: of the program.
        model: the digest of the model and its options.
    """

    name: str
    version: str
    model: str


def require_highdicom() -> None:
    """Raise InputError where the extra that writes DICOM Segmentations is not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        remedy = "Install it (`python -m pip install highdicom`), or write NIfTI (--format nifti)."
        raise InputError("writing DICOM SEG needs highdicom, which is not installed", remedy=remedy) from None


def write_dicom_seg(
    path: Path,
    mask: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    series: Series,
    algorithm: Algorithm,
) -> None:
    """Write a mask as a DICOM Segmentation, whole or not at all.

    Slices without a labelled voxel are left out, as is usual; a mask without any keeps them all, so that the object
    says that the scan was looked at and nothing was found.

    Args:
        path: of the new file.
        mask: uint8 [Z, Y, X] of label values.
        geometry: the grid of the series.
        labels: name -> value; 0 is the background, the others are 1, 2, ...
        series: that the mask was made from.
        algorithm: what made the mask.

    Raises:
        InputError: the series lacks what a Segmentation must refer to, or can no longer be read.
        VmsegError: the file can't be written.
    """
    import highdicom as hd

    logging.getLogger("highdicom").setLevel(logging.CRITICAL)  # its warnings repeat the patient's name
    try:
        with replacing(path) as temporary, hushed():
            source = _headers(series)
            frame = _complete(source, series, geometry)
            for header in source:
                _put_on_grid(header, geometry)
            made = hd.seg.Segmentation(
                source_images=source,
                pixel_array=hd.Volume(mask, geometry.affine[:, [2, 1, 0, 3]], "PATIENT", frame),
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=_segments(labels, algorithm),
                series_instance_uid=hd.UID(),
                series_number=_SERIES_NUMBER,
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer=algorithm.name,
                manufacturer_model_name=algorithm.name,
                software_versions=algorithm.version,
                device_serial_number=algorithm.model[:_TEXT_LENGTH],
                series_description=f"{algorithm.name} segmentation",
                content_label="SEGMENTATION",
                omit_empty_frames=bool(mask.any()),
                specific_character_set=None,
            )
            if characters := _character_set(source[0]):
                made.SpecificCharacterSet = characters
            made.save_as(temporary, enforce_file_format=True)
    except VmsegError:
        raise
    except Exception as error:  # highdicom on a hostile header; its text may repeat what that says of the patient
        problem = f"the header of the series can't be taken over into a DICOM SEG ({type(error).__name__})"
        raise InputError(problem, file=series.path, remedy=_INSTEAD) from None


def require_whole(path: Path) -> None:
    """Refuse a DICOM Segmentation that is damaged or cut short, by an InputError."""
    try:
        with hushed():
            dcmread(path).pixel_array  # noqa: B018
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


def _segments(labels: Mapping[str, int], algorithm: Algorithm) -> list[Any]:
    import highdicom as hd
    from pydicom.sr.coding import Code

    identification = hd.AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=Code(*_FAMILY),
        version=algorithm.version,
        parameters={"model": algorithm.model},
    )
    segments = []
    for name, value in sorted(labels.items(), key=lambda label: label[1]):
        if value:
            codes = coded(name)
            segments.append(
                hd.seg.SegmentDescription(
                    segment_number=value,
                    segment_label=name.replace("\\", "/")[:_TEXT_LENGTH],
                    segmented_property_category=Code(*codes.category),
                    segmented_property_type=Code(*codes.kind),
                    algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                    algorithm_identification=identification,
                    primary_anatomic_structures=[Code(*codes.structure)] if codes.structure else None,
                )
            )
    return segments


def _complete(source: Sequence[Dataset], series: Series, geometry: Geometry) -> str:
    """Give headers what highdicom looks for in them; returns the frame of reference.

    Raises:
        InputError: the series has none, or is of no study.
    """
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
        if not all(header.get(keyword) for header in source):
            problem = f"the header of the series lacks the {keyword}, to which a DICOM SEG must refer"
            raise InputError(problem, file=series.path, remedy=_INSTEAD)
    for header in source:
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
    return str(source[0].FrameOfReferenceUID)


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
