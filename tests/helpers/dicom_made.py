"""Series with a study and a patient, in files, and what is made of them read by other programs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from dicom import save, series
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from vmseg_auto.data.dicom.results import require_whole
from vmseg_auto.utils.errors import InputError
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


def filled(contours: Sequence[NDArray[np.float64]], shape: tuple[int, int], *, winding: bool) -> NDArray[np.bool_]:
    """The voxels [Y, X] whose centres lie within contours of columns and rows: those that a line to the left crosses an
    odd number of times, or (`winding`) not as often upwards as downwards.
    """
    rows, columns = np.indices(shape)
    inside = np.zeros(shape, dtype=np.int64)
    for contour in contours:
        for (x1, y1), (x2, y2) in zip(contour, np.roll(contour, -1, axis=0), strict=True):
            if y1 != y2:
                crossing = (np.minimum(y1, y2) <= rows) & (rows < np.maximum(y1, y2))
                before = x1 + (rows - y1) * (x2 - x1) / (y2 - y1) < columns
                inside += crossing * before * (int(np.sign(y2 - y1)) if winding else 1)
    return inside != 0 if winding else inside % 2 == 1


def by_contours(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """The label map of an RT Structure Set; contours of one slice are combined by exclusive or."""
    data = dcmread(path)
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    for region in data.ROIContourSequence:
        in_slices: dict[int, list[NDArray[np.float64]]] = {}
        for contour in region.get("ContourSequence", []):
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.reshape(np.array(contour.ContourData, dtype=float), (-1, 3))
            assert len(points) == contour.NumberOfContourPoints
            indices = (np.c_[points, np.ones(len(points))] @ np.linalg.inv(geometry.affine).T)[:, :3]
            place = round(float(indices[0, 2]))
            np.testing.assert_allclose(indices[:, 2], place, atol=1e-3)
            in_slices.setdefault(place, []).append(indices[:, :2])
        for place, contours in in_slices.items():
            mask[place][filled(contours, geometry.shape[1:], winding=False)] += int(region.ReferencedROINumber)
    return mask


def measured(path: Path, number: int = 0) -> dict[str, float]:
    """What a Structured Report says was measured of a label: meaning of the code -> number, in mL, mm or none."""
    (measurements,) = (
        item
        for item in dcmread(path).ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    )
    numbers = [item for item in measurements.ContentSequence[number].ContentSequence if item.ValueType == "NUM"]
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(item.MeasuredValueSequence[0].NumericValue)
        for item in numbers
    }


def complaints(path: Path) -> list[str]:
    """What dciodvfy of dicom3tools calls an error in a file; skips the test where it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


def require_whole_wherever_cut(path: Path) -> None:
    """Assert that a file is whole, and none of its beginnings is."""
    require_whole(path)
    data = path.read_bytes()
    for end in (*range(0, len(data), 97), len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match="damaged or cut short"):
            require_whole(path)
