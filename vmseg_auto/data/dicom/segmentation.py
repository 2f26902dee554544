"""Masks as DICOM Segmentation objects (DICOM PS3.3, A.51) in the frame of reference of the series they were made
from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from vmseg_auto.data.codes import coded
from vmseg_auto.data.dicom.results import TEXT_LENGTH, Algorithm, Kind, Source, content_of, write_object
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.utils.geometry import Geometry

SEGMENTATION = Kind("DICOM SEG", "segmentation", 9000)
_FAMILY = ("123110", "DCM", "Artificial Intelligence")


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

    def made(source: Source) -> Dataset:
        import highdicom as hd

        segmentation: Dataset = hd.seg.Segmentation(
            source_images=source.headers,
            pixel_array=hd.Volume(mask, geometry.affine[:, [2, 1, 0, 3]], "PATIENT", source.frame_of_reference),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_segments(labels, algorithm),
            content_label="SEGMENTATION",
            omit_empty_frames=bool(mask.any()),
            specific_character_set=None,
            **SEGMENTATION.identity(source, algorithm, content_of(mask, labels)),
        )
        return segmentation

    write_object(path, series, geometry, SEGMENTATION, made)


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
                    segment_label=name.replace("\\", "/")[:TEXT_LENGTH],
                    segmented_property_category=Code(*codes.category),
                    segmented_property_type=Code(*codes.kind),
                    algorithm_type=hd.seg.SegmentAlgorithmTypeValues(algorithm.kind),
                    algorithm_identification=identification,
                    primary_anatomic_structures=[Code(*codes.structure)] if codes.structure else None,
                )
            )
    return segments
