"""Pictures of a mask as a DICOM Multi-frame True Color Secondary Capture (PS3.3, A.8.5): what any archive shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage

from vmseg_auto.data.dicom.results import PURPOSE, Algorithm, Kind, Source, coded_item, write_object
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.utils.geometry import Geometry

CAPTURES = Kind("DICOM Secondary Capture", "pictures", 9002)
_SOURCE = ("121322", "DCM", "Source Image for Image Processing Operation")
_PAGES = Tag("PageNumberVector")


def write_captures(
    path: Path, pages: NDArray[np.uint8], geometry: Geometry, series: Series, algorithm: Algorithm
) -> None:
    """Write pages as one Secondary Capture of a frame each, whole or not at all.

    Args:
        path: of the new file.
        pages: uint8 [pages, rows, columns, 3], red, green and blue.
        geometry: the grid of the series.
        series: that the mask was made from.
        algorithm: what made the mask.

    Raises:
        InputError: the series lacks what the object must refer to, or can no longer be read.
        VmsegError: the file can't be written.
    """

    def made(source: Source) -> Dataset:
        kind = MultiFrameTrueColorSecondaryCaptureImageStorage
        pixels = pages.tobytes()
        found: Dataset = source.new_object(CAPTURES, algorithm, pixels, kind, "OT", ExplicitVRLittleEndian)
        found.ConversionType = "WSD"
        found.ImageType = ["DERIVED", "SECONDARY"]
        found.PatientOrientation = None
        found.Laterality = None
        found.DerivationDescription = (
            f"Slices of the series with the outlines of a mask by {algorithm.name} {algorithm.version} (model "
            f"{algorithm.model}); {PURPOSE}."
        )
        found.SourceImageSequence = source.images()
        for item in found.SourceImageSequence:
            item.PurposeOfReferenceCodeSequence = [coded_item(_SOURCE)]
        found.BurnedInAnnotation = "NO"
        found.LossyImageCompression = "00"
        found.NumberOfFrames, found.Rows, found.Columns, found.SamplesPerPixel = pages.shape
        if len(pages) > 1:
            found.FrameIncrementPointer = _PAGES
            found.PageNumberVector = list(range(1, len(pages) + 1))
        found.PhotometricInterpretation = "RGB"
        found.PlanarConfiguration = 0
        found.BitsAllocated = found.BitsStored = 8
        found.HighBit = 7
        found.PixelRepresentation = 0
        found.add_new("PixelData", "OB", pixels)
        return found

    write_object(path, series, geometry, CAPTURES, made)
