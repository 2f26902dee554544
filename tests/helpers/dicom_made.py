"""Series with a study and a patient, in files, and DICOM SEG read by two libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from dicom import save, series
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from vmseg_auto.utils.geometry import Geometry

PATIENT = {
    "PatientName": "Doe^Jo", "PatientID": "17", "PatientBirthDate": "19700101", "PatientSex": "O",
    "AccessionNumber": "5", "StudyID": "6", "StudyDate": "20200102", "StudyTime": "101112",
}  # fmt: skip


def write_series(folder: Path, image: NDArray[np.uint16], geometry: Geometry, **texts: Any) -> Path:
    """A file for each slice, named in another order than they lie; each folder is a study of its own.

    Args:
        image: [Z, Y, X].
        texts: further elements by keyword, or None for those to leave out.
    """

    def uid(*what: object) -> str:
        return str(generate_uid(entropy_srcs=[str(folder), *map(str, what)]))

    def fill(number: int, data: Dataset) -> None:
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid(number)
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = uid("study"), uid("x"), uid("frame")
        for keyword, value in (PATIENT | texts).items():
            if value is not None:
                setattr(data, keyword, value)
            elif keyword in data:
                delattr(data, keyword)

    order = np.random.default_rng(0).permutation(len(image))
    save(folder, series(image.astype(np.int64), geometry, fill), [f"IM{place:03d}.dcm" for place in order])
    return folder


def by_pydicom(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """The label map, each frame put where its position says."""
    data = dcmread(path)
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    shared = data.SharedFunctionalGroupsSequence[0]
    orientation = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
    cosines = np.array(geometry.direction).reshape(3, 3)
    np.testing.assert_allclose(orientation, cosines[:, :2].T, atol=1e-6)
    spacing = shared.PixelMeasuresSequence[0]
    np.testing.assert_allclose([spacing.SpacingBetweenSlices, *spacing.PixelSpacing], geometry.spacing_mm, rtol=1e-5)
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    for frame, groups in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        off = np.subtract(groups.PlanePositionSequence[0].ImagePositionPatient, geometry.origin_mm)
        along = off @ cosines / np.array(geometry.spacing_mm[::-1])
        place = round(float(along[2]))
        np.testing.assert_allclose(along, (0, 0, place), atol=1e-3)
        own = groups if "SegmentIdentificationSequence" in groups else shared
        mask[place] += frame * own.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return mask


def by_highdicom(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """The label map on the grid of the series."""
    segmentation = hd.seg.segread(path)
    affine = np.eye(4)
    affine[:3, :3] = (np.array(geometry.direction).reshape(3, 3) * np.array(geometry.spacing_mm[::-1]))[:, ::-1]
    affine[:3, 3] = geometry.origin_mm
    grid = hd.VolumeGeometry(affine, geometry.shape, "PATIENT", segmentation.FrameOfReferenceUID)
    mask: NDArray[np.uint8] = segmentation.get_volume(combine_segments=True).match_geometry(grid).array
    return mask
