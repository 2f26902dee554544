"""Small MR series as a scanner writes them, made here, on any grid; and DICOM SEG read by two libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from vmseg_auto.core.geometry import Geometry


def write_series(folder: Path, image: NDArray[np.uint16], geometry: Geometry, **texts: Any) -> Path:
    """A file for each slice, named in another order than they lie.

    Args:
        image: [Z, Y, X].
        texts: further elements by keyword, or None for those to leave out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cosines = np.array(geometry.direction).reshape(3, 3)
    study, series, frame = (
        str(generate_uid(entropy_srcs=[str(folder), what])) for what in ("study", "series", "frame")
    )
    order = np.random.default_rng(0).permutation(len(image))
    for place, pixels in enumerate(image):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        uid = UID(generate_uid(entropy_srcs=[str(folder), str(place)]))
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.Modality, data.SeriesNumber, data.InstanceNumber = "MR", 4, int(order[place]) + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Doe^Jo", "17", "19700101", "O"
        data.AccessionNumber, data.StudyID, data.StudyDate, data.StudyTime = "5", "6", "20200102", "101112"
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows, data.Columns = pixels.shape
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.PixelSpacing = [float(mm) for mm in geometry.spacing_mm[1:]]
        data.SliceThickness = 1.0
        data.ImageOrientationPatient = [round(float(x), 12) for x in (*cosines[:, 0], *cosines[:, 1])]
        position = np.array(geometry.origin_mm) + place * geometry.spacing_mm[0] * cosines[:, 2]
        data.ImagePositionPatient = [round(float(x), 9) for x in position]
        data.PixelData = pixels.astype("<u2").tobytes()
        for keyword, value in texts.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)
        data.save_as(folder / f"IM{order[place]:03d}.dcm", enforce_file_format=True)
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
