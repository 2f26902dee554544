"""Masks as DICOM RT Structure Sets (DICOM PS3.3, A.19), which planning systems and most viewers show.

Each label is a region of interest (ROI) of closed planar contours, those of `data.dicom.contours`, in the planes of the
series' images. Coordinates are rounded to 0.0001 mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from vmseg_auto.data.codes import coded
from vmseg_auto.data.dicom.contours import slice_contours
from vmseg_auto.data.dicom.results import (
    PURPOSE,
    TEXT_LENGTH,
    Algorithm,
    Kind,
    Source,
    coded_item,
    content_of,
    write_object,
)
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.label_masks import mask_of

STRUCTURES = Kind("DICOM RTSTRUCT", "contours", 9001)
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management (retired), which a referenced study is still said to be."""
_DECIMALS = 4


def write_rtstruct(
    path: Path,
    mask: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    colours: Mapping[str, str],
    series: Series,
    algorithm: Algorithm,
) -> None:
    """Write a mask as a DICOM RT Structure Set, whole or not at all.

    A label of which nothing was found is a region without contours.

    Args:
        path: of the new file.
        mask: uint8 [Z, Y, X] of label values.
        geometry: the grid of the series.
        labels: name -> value; 0 is the background, the others are 1, 2, ...
        colours: name -> #RRGGBB of all but the background.
        series: that the mask was made from.
        algorithm: what made the mask.

    Raises:
        InputError: the series lacks what a Structure Set must refer to, or can no longer be read.
        VmsegError: the file can't be written.
    """

    def made(source: Source) -> Dataset:
        # Implicit, as an element's length has 16 bits in the others, too few for long contours
        found: Dataset = source.new_object(
            STRUCTURES, algorithm, content_of(mask, labels), RTStructureSetStorage, "RTSTRUCT", ImplicitVRLittleEndian
        )
        found.OperatorsName = ""
        found.FrameOfReferenceUID = source.frame_of_reference
        found.PositionReferenceIndicator = None
        images = source.images()
        found.StructureSetLabel = algorithm.name[:16]
        found.StructureSetDescription = (
            f"Contours of a mask by {algorithm.name} {algorithm.version} (model {algorithm.model}), along the edges of "
            f"its voxels; {PURPOSE}."
        )
        found.StructureSetDate, found.StructureSetTime = found.InstanceCreationDate, found.InstanceCreationTime
        found.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source, images)]
        found.StructureSetROISequence = []
        found.ROIContourSequence = []
        found.RTROIObservationsSequence = []
        for name, value in sorted(labels.items(), key=lambda label: label[1]):
            if value:
                contours = _contours(mask_of(mask, labels, name), geometry, images)
                found.StructureSetROISequence.append(_region(name, value, source, algorithm))
                found.ROIContourSequence.append(_drawn(value, colours[name], contours))
                found.RTROIObservationsSequence.append(_observation(name, value))
        found.ApprovalStatus = "UNAPPROVED"
        return found

    write_object(path, series, geometry, STRUCTURES, made)


def _frame_of_reference(source: Source, images: list[Dataset]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = source.first.SeriesInstanceUID
    series.ContourImageSequence = images
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = source.first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = source.frame_of_reference
    frame.RTReferencedStudySequence = [study]
    return frame


def _region(name: str, number: int, source: Source, algorithm: Algorithm) -> Dataset:
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = source.frame_of_reference
    region.ROIName = name.replace("\\", "/")[:TEXT_LENGTH]
    region.ROIGenerationAlgorithm = algorithm.kind
    region.ROIGenerationDescription = f"{algorithm.name} {algorithm.version}"[:TEXT_LENGTH]
    return region


def _drawn(number: int, colour: str, contours: list[Dataset]) -> Dataset:
    drawn = Dataset()
    drawn.ROIDisplayColor = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    drawn.ReferencedROINumber = number
    if contours:
        drawn.ContourSequence = contours
    return drawn


def _observation(name: str, number: int) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = number
    observation.ReferencedROINumber = number
    observation.RTROIIdentificationCodeSequence = [coded_item(coded(name).kind)]
    observation.RTROIInterpretedType = ""
    observation.ROIInterpreter = ""
    return observation


def _contours(mask: NDArray[np.bool_], geometry: Geometry, images: list[Dataset]) -> list[Dataset]:
    found: list[Dataset] = []
    for place in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for corners in slice_contours(mask[place]):
            indices = np.column_stack([corners, np.full(len(corners), place), np.ones(len(corners))])
            points = np.round((indices @ geometry.affine.T)[:, :3], _DECIMALS) + 0.0  # no -0.0
            contour = Dataset()
            contour.ContourImageSequence = [images[place]]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourNumber = len(found) + 1
            contour.ContourData = points.ravel().tolist()
            found.append(contour)
    return found
