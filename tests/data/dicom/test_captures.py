"""Pictures of a mask are one Secondary Capture in the study of its series, pixel for pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_made import complaints, write_series

from vmseg_auto.data.dicom.captures import write_captures
from vmseg_auto.data.dicom.results import Algorithm
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((4, 9, 8), (4.0, 0.8, 0.7))
ALGORITHM = Algorithm("vmseg_auto", "1.2.3", "0123456789abcdef")
PAGES = np.random.default_rng(0).integers(0, 256, (3, 6, 4, 3), dtype=np.uint8)


def written(folder: Path, **texts: str | None) -> Path:
    (series,) = find_series(write_series(folder / "series", np.full(GRID.shape, 7, np.uint16), GRID, **texts))
    write_captures(folder / "pictures.sc.dcm", PAGES, GRID, series, ALGORITHM)
    return folder / "pictures.sc.dcm"


@pytest.mark.parametrize("pages", [1, 3])
def test_it_holds_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    monkeypatch.setitem(globals(), "PAGES", PAGES[:pages])
    path = written(tmp_path)
    data = pydicom.dcmread(path)
    np.testing.assert_array_equal(data.pixel_array.reshape(PAGES[:pages].shape), PAGES[:pages])
    assert complaints(path) == []


def test_it_belongs_to_the_study_and_says_what_it_was_made_from(tmp_path: Path) -> None:
    path = written(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎")
    data = pydicom.dcmread(path)
    source = pydicom.dcmread(next((tmp_path / "series").iterdir()))
    assert str(data.PatientName) == "山田^太郎"
    assert data.StudyInstanceUID == source.StudyInstanceUID
    assert data.SeriesDescription == "vmseg_auto pictures, for research, not for diagnosis"
    assert len(data.SourceImageSequence) == GRID.shape[0]
    assert data.BurnedInAnnotation == "NO"
    assert "for research, not for diagnosis" in data.DerivationDescription
    assert complaints(path) == []


def test_a_series_of_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="to which a DICOM Secondary Capture must refer"):
        written(tmp_path, StudyInstanceUID=None)
