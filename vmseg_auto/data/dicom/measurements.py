"""What was measured of a mask as a DICOM Structured Report (PS3.16, TID 1500), of the segments of its DICOM SEG."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from vmseg_auto.data.codes import coded
from vmseg_auto.data.dicom.results import PURPOSE, TEXT_LENGTH, Algorithm, Kind, Source, write_object
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.utils.geometry import Geometry

MEASUREMENTS = Kind("DICOM Structured Report", "measurements", 9003)
_PROCEDURE = ("25056-3", "LN", "MRI unspecified body region")
_ML, _MM, _ONE = ("mL", "UCUM", "milliliter"), ("mm", "UCUM", "millimeter"), ("1", "UCUM", "no units")
_COMMENT = ("121106", "DCM", "Comment")
_OURS = "99VMSEG"
_MEASURED = {
    "volume_ml": (("118565006", "SCT", "Volume"), _ML),
    "volume_low_ml": (("volume_low", _OURS, "Volume, lower end of what nine in ten lie between"), _ML),
    "volume_high_ml": (("volume_high", _OURS, "Volume, upper end of what nine in ten lie between"), _ML),
    "components": (("lesions", _OURS, "Number of lesions"), _ONE),
    "longest_diameter_mm": (("longest_diameter", _OURS, "Longest diameter of a lesion"), _MM),
    "extent_rl_mm": (("extent_rl", _OURS, "Extent of all lesions, right to left"), _MM),
    "extent_ap_mm": (("extent_ap", _OURS, "Extent of all lesions, front to back"), _MM),
    "extent_si_mm": (("extent_si", _OURS, "Extent of all lesions, feet to head"), _MM),
}
"""Column of volumes.csv -> code and unit. A code of our own says no more than is measured."""


def write_measurements(
    path: Path,
    segmentation: Path,
    totals: Sequence[Mapping[str, Any]],
    labels: Mapping[str, int],
    geometry: Geometry,
    series: Series,
    algorithm: Algorithm,
) -> None:
    """Write what was measured of a mask as a Structured Report, whole or not at all.

    Args:
        path: of the new file.
        segmentation: the DICOM SEG of the mask, whose segments the measurements are of.
        totals: rows of volumes.csv of all of each label.
        labels: name -> value.
        geometry: the grid of the series.
        series: that the mask was made from.
        algorithm: what made the mask.

    Raises:
        InputError: the series lacks what a report must refer to, or can no longer be read.
        VmsegError: the file can't be written.
    """

    def made(source: Source) -> Dataset:
        import highdicom as hd
        from pydicom.sr.coding import Code

        segments = dcmread(segmentation, stop_before_pixels=True)
        said = [{column: total.get(column) for column in ("label", *_MEASURED)} for total in totals]
        device = hd.sr.ObserverContext(
            observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                uid=hd.UID(), name=algorithm.name, model_name=algorithm.name, serial_number=algorithm.model
            ),
        )
        report = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=device),
            procedure_reported=Code(*_PROCEDURE),
            imaging_measurements=[
                _group(total, labels[total["label"]], segments, source, algorithm) for total in totals
            ],
        )
        report[0].ContentSequence.append(
            hd.sr.TextContentItem(
                hd.sr.CodedConcept(*_COMMENT), PURPOSE, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS
            )
        )
        document: Dataset = hd.sr.ComprehensiveSR(
            evidence=[*source.headers, segments],
            content=report,
            is_complete=True,
            specific_character_set=None,  # highdicom refuses some; `write_object` sets the series' own
            **MEASUREMENTS.identity(source, algorithm, json.dumps([segments.SOPInstanceUID, *said]).encode()),
        )
        return document

    write_object(path, series, geometry, MEASUREMENTS, made)


def _group(total: Mapping[str, Any], number: int, segments: Dataset, source: Source, algorithm: Algorithm) -> Any:
    """Return the measurements of a label, of the segment of this number (TID 1411)."""
    import highdicom as hd
    from pydicom.sr.coding import Code

    codes = coded(total["label"])
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(identifier=total["label"].replace("\\", "/")[:TEXT_LENGTH]),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segments.SOPClassUID,
            sop_instance_uid=segments.SOPInstanceUID,
            segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(source.first.SeriesInstanceUID),
        ),
        finding_category=Code(*codes.category),
        finding_type=Code(*codes.kind),
        finding_sites=[hd.sr.FindingSite(Code(*codes.structure))] if codes.structure else None,
        algorithm_id=hd.sr.AlgorithmIdentification(algorithm.name, algorithm.version, [f"model {algorithm.model}"]),
        measurements=list(_measurements(total)),
    )


def _measurements(total: Mapping[str, Any]) -> Iterator[Any]:
    import highdicom as hd
    from pydicom.sr.coding import Code

    for column, (name, unit) in _MEASURED.items():
        if (value := total.get(column)) is not None:
            yield hd.sr.Measurement(name=Code(*name), value=value, unit=Code(*unit))
