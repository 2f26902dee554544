"""A Structured Report tells what volumes.csv tells, of the segments of the DICOM SEG."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_made import complaints, measured, require_whole_wherever_cut, write_series

from vmseg_auto.data.dicom.measurements import write_measurements
from vmseg_auto.data.dicom.results import Algorithm
from vmseg_auto.data.dicom.segmentation import write_dicom_seg
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((4, 9, 8), (4.0, 0.8, 0.7))
LABELS = {"background": 0, "venous_malformation": 1, "airway": 2}
ALGORITHM = Algorithm("vmseg_auto", "1.2.3", "0123456789abcdef")
TOTALS: list[dict[str, Any]] = [
    {
        "label": "venous_malformation", "volume_ml": 1.23456789, "components": 5, "longest_diameter_mm": 9.25,
        "extent_rl_mm": 1.5, "extent_ap_mm": 2.5, "extent_si_mm": 3.5, "volume_low_ml": 1.0, "volume_high_ml": 2.0,
    },
    {"label": "airway", "volume_ml": 0.0, "components": 0, "longest_diameter_mm": None},
]  # fmt: skip


def written(folder: Path, **texts: str | None) -> tuple[Path, Path]:
    """The report and the DICOM SEG that it refers to."""
    (series,) = find_series(write_series(folder / "series", np.full(GRID.shape, 7, np.uint16), GRID, **texts))
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1, 2:5, 3:6] = 1
    write_dicom_seg(folder / "neck.dcm", mask, GRID, LABELS, series, ALGORITHM)
    write_measurements(folder / "neck.sr.dcm", folder / "neck.dcm", TOTALS, LABELS, GRID, series, ALGORITHM)
    return folder / "neck.sr.dcm", folder / "neck.dcm"


def test_it_tells_what_was_measured(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    found = measured(path)
    assert found["Volume"] == pytest.approx(1.23456789, abs=1e-6)
    assert found["Number of lesions"] == 5
    assert found["Longest diameter of a lesion"] == 9.25
    assert [value for name, value in found.items() if name.startswith("Extent")] == [1.5, 2.5, 3.5]
    assert [value for name, value in found.items() if name.startswith("Volume,")] == [1.0, 2.0]
    assert measured(path, 1) == {"Volume": 0.0, "Number of lesions": 0.0}
    assert complaints(path) == []


def test_it_refers_to_the_segments_and_the_series(tmp_path: Path) -> None:
    path, segmentation = written(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎")
    data, segments = pydicom.dcmread(path), pydicom.dcmread(segmentation)
    assert str(data.PatientName) == "山田^太郎"
    assert data.StudyInstanceUID == segments.StudyInstanceUID
    assert data.SeriesDescription == "vmseg_auto measurements, for research, not for diagnosis"
    items = [item for group in data.ContentSequence[-2].ContentSequence for item in group.ContentSequence]
    referred = [item.ReferencedSOPSequence[0] for item in items if item.ValueType == "IMAGE"]
    assert [item.ReferencedSOPInstanceUID for item in referred] == [segments.SOPInstanceUID] * 2
    assert [item.ReferencedSegmentNumber for item in referred] == [1, 2]
    assert data.ContentSequence[-1].TextValue == "for research, not for diagnosis"
    assert complaints(path) == []


def test_one_that_is_cut_short_anywhere_is_not_whole(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    require_whole_wherever_cut(path)


def test_dcmtk_reads_it(tmp_path: Path) -> None:
    if shutil.which("dsrdump") is None:
        pytest.skip("dsrdump (dcmtk) is not installed")
    path, _ = written(tmp_path)
    said = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=True)
    assert '"Volume")="1.23456789" (mL,UCUM' in said.stdout
    assert not [line for line in said.stderr.splitlines() if line.startswith("E:")]
