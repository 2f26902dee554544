"""Small DICOM series, to be used whole or spoiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from vmseg_auto.data.dicom.series import PixelFormat, Slice
from vmseg_auto.utils.geometry import Geometry

OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)
"""Directions of rows and columns."""
PLAIN = PixelFormat(16, 12, False, False, str(ExplicitVRLittleEndian))

Change = Callable[[int, Dataset], object]


def numbers(shape: tuple[int, int, int] = (5, 6, 7), seed: int = 0, top: int = 4095) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, top, shape, endpoint=True)


def slices(
    count: int = 5,
    step_mm: float = 3.0,
    orientation: Sequence[float] = OBLIQUE,
    origin_mm: Sequence[float] = (10.0, -20.0, 30.0),
    **changes: Any,
) -> list[Slice]:
    """Slices one above the other, in files a.dcm, b.dcm, ..."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    settings: dict[str, Any] = {
        "frame": 0, "shape": (6, 7), "spacing_mm": (1.5, 0.5), "along_row": tuple(row), "along_column": tuple(column),
        "slope": 1.0, "intercept": 0.0, "pixels": PLAIN, "examination": "x",
    }  # fmt: skip
    return [
        Slice(
            file=Path(f"{chr(ord('a') + n)}.dcm"),
            position_mm=tuple(np.array(origin_mm) + n * step_mm * normal),  # type: ignore[arg-type]
            **settings | changes,
        )
        for n in range(count)
    ]


def dataset(
    stored: NDArray[np.int64], bits: int = 12, signed: bool = False, syntax: UID = ExplicitVRLittleEndian, **extra: Any
) -> Dataset:
    """An MR image or, of [Z, Y, X], several, without a place in space."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = UID("1.2"), UID("1.2.1"), UID("1.3")
    data.Modality, data.PatientID = "MR", "P"
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = 8 if bits <= 8 else 16 if bits <= 16 else 32
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
    kind = f"{'<' if syntax.is_little_endian else '>'}{'i' if signed else 'u'}{data.BitsAllocated // 8}"
    data.PixelData = stored.astype(kind).tobytes()
    data["PixelData"].VR = "OW"
    for name, value in extra.items():
        setattr(data, name, value)
    return data


def series(
    image: NDArray[np.int64],
    geometry: Geometry | None = None,
    change: Change | None = None,
    **extra: Any,
) -> list[Dataset]:
    """A dataset for each slice of [Z, Y, X] on a grid, in order; `change` is called with each and its number."""
    grid = geometry or grid_of(image.shape)
    made = []
    for number, stored in enumerate(image):
        data = dataset(stored, **extra)
        data.InstanceNumber, data.EchoTime, data.SliceThickness = number + 1, 90, grid.spacing_mm[0]
        data.SOPInstanceUID = UID(f"1.2.3.{number + 1}")
        data.ImagePositionPatient = [f"{x:.8g}" for x in position(grid, number)]
        data.ImageOrientationPatient = [f"{x:.8g}" for x in orientation(grid)]
        data.PixelSpacing = [f"{x:.8g}" for x in grid.spacing_mm[1:]]
        if change:
            change(number, data)
        made.append(data)
    return made


def compressed(image: NDArray[np.int64], folder: Path, compressor: str, signed: bool = False) -> list[Dataset]:
    """Slices whose pixels GDCM has compressed."""
    folder.mkdir()
    made = series(image, bits=16, signed=signed)
    for number, stored in enumerate(image):
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(folder / f"{number}.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(stored[None].astype(np.int16 if signed else np.uint16)))
        pixels = dcmread(folder / f"{number}.dcm")
        made[number].file_meta.TransferSyntaxUID = pixels.file_meta.TransferSyntaxUID
        made[number].PixelData = pixels.PixelData
        made[number]["PixelData"].is_undefined_length = True
        made[number]["PixelData"].VR = "OB"
        for name in ("BitsStored", "HighBit"):
            setattr(made[number], name, getattr(pixels, name))
    return made


def multi_frame(
    image: NDArray[np.int64], geometry: Geometry | None = None, order: Sequence[int] = (), slope: float = 1.0
) -> Dataset:
    """One enhanced file of all slices, in this order."""
    grid = geometry or grid_of(image.shape)
    order = order or range(len(image))
    data = dataset(image[list(order)], SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=len(image))
    shared = Dataset()
    shared.PlaneOrientationSequence = Items([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [f"{x:.8g}" for x in orientation(grid)]
    shared.PixelMeasuresSequence = Items([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = [f"{x:.8g}" for x in grid.spacing_mm[1:]]
    data.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for number in order:
        frame = Dataset()
        frame.PlanePositionSequence = Items([Dataset()])
        frame.PlanePositionSequence[0].ImagePositionPatient = [f"{x:.8g}" for x in position(grid, number)]
        frame.PixelValueTransformationSequence = Items([Dataset()])
        frame.PixelValueTransformationSequence[0].RescaleSlope = slope
        frame.PixelValueTransformationSequence[0].RescaleIntercept = 0
        frame.MREchoSequence = Items([Dataset()])
        frame.MREchoSequence[0].EffectiveEchoTime = 90.0
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Items(frames)
    return data


def grid_of(shape: Sequence[int]) -> Geometry:
    """An oblique grid."""
    row, column = np.array(OBLIQUE[:3]), np.array(OBLIQUE[3:])
    axes = np.stack([row, column, np.cross(row, column)], axis=1)
    return Geometry(tuple(shape), (3.0, 1.5, 0.5), (10.0, -20.0, 30.0), tuple(axes.ravel()))  # type: ignore[arg-type]


def orientation(grid: Geometry) -> NDArray[np.float64]:
    axes = np.array(grid.direction).reshape(3, 3)
    return np.concatenate([axes[:, 0], axes[:, 1]])


def position(grid: Geometry, number: int) -> NDArray[np.float64]:
    axes = np.array(grid.direction).reshape(3, 3)
    place: NDArray[np.float64] = np.array(grid.origin_mm) + number * grid.spacing_mm[0] * axes[:, 2]
    return place


def save(folder: Path, datasets: Sequence[Dataset], names: Sequence[str] | None = None) -> list[Path]:
    """Write each into a file; IM1.dcm, IM2.dcm, ... unless named."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names or [f"IM{n}.dcm" for n in range(1, len(datasets) + 1)]]
    for path, data in zip(paths, datasets, strict=True):
        data.save_as(path, enforce_file_format=True)
    return paths
