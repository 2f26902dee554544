"""The formats of a mask, and what its files are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_made import write_series

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.scans import find_scans
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.mask_formats import chosen_formats, made_by, mask_name

GRID = Geometry((4, 5, 6), (5.0, 1.0, 1.0))


def series(folder: Path) -> Case:
    (case,) = find_scans(write_series(folder, np.ones(GRID.shape, np.uint16), GRID), ("T2",))
    return case


def test_formats_are_a_list() -> None:
    assert chosen_formats("nifti") == ("nifti",)
    assert chosen_formats("seg.nrrd, nifti,seg.nrrd") == chosen_formats(["seg.nrrd", "nifti"]) == ("seg.nrrd", "nifti")
    for odd in ("", "nii", "nifti;seg.nrrd", []):
        with pytest.raises(InputError, match=r"format.*nifti, seg\.nrrd, dicom-seg"):
            chosen_formats(odd)


def test_what_holds_no_mask_stands_last_and_not_alone() -> None:
    assert chosen_formats("dicom-sc,dicom-seg,nifti") == ("dicom-seg", "nifti", "dicom-sc")
    with pytest.raises(InputError, match=r"dicom-sc tells of a mask, and holds none.*--format nifti,dicom-sc"):
        chosen_formats("dicom-sc")
    assert chosen_formats("dicom-sr,dicom-seg") == ("dicom-seg", "dicom-sr")
    for alone in ("dicom-sr", "nifti,dicom-sr"):
        with pytest.raises(InputError, match=r"segments of a DICOM SEG, which is not asked for.*--format dicom-seg,"):
            chosen_formats(alone)


def test_files_are_called_as_the_case(tmp_path: Path) -> None:
    image = Case("anna", "anna", (tmp_path / "anna_0000.mha",), None)
    assert [mask_name(image, each) for each in chosen_formats("nifti,seg.nrrd")] == ["anna.mha", "anna.seg.nrrd"]
    case = series(tmp_path / "anna")
    names = [mask_name(case, each) for each in chosen_formats("nifti,dicom-seg,dicom-rtstruct")]
    assert names == ["anna.nii.gz", "anna.dcm", "anna.rtstruct.dcm"]


def test_a_case_that_is_called_as_the_file_of_another_is_refused(tmp_path: Path) -> None:
    made_by("model", [series(tmp_path / "anna")])
    with pytest.raises(InputError, match=r"case anna\.RTSTRUCT.*Rename its folder"):
        made_by("model", [series(tmp_path / "anna.RTSTRUCT")])
