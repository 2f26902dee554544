"""The report of scans that came as DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread
from reports import deliver

from vmseg_auto.data.cases import read_case
from vmseg_auto.data.pseudonym_key import read_key
from vmseg_auto.data.scans import find_scans
from vmseg_auto.report.write import write_report


def test_a_dicom_series_is_found_again_and_shown(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "dicom" / "t2_series"
    (case,) = find_scans(source, ("T2",))
    image, _, geometry = read_case(case)
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    z, y, x = (size // 2 for size in geometry.shape)
    mask[z - 1 : z + 1, y - 9 : y + 9, x - 9 : x + 9] = 1
    page = write_report(deliver(source, tmp_path / "masks", {case.id: mask}))
    assert read_key(page.with_name("report_key.csv")) == {case.id: "P01"}
    text = page.read_text()
    assert case.id not in text
    header = dcmread(next(path for path in sorted(source.rglob("*")) if path.is_file()), stop_before_pixels=True)
    told = [str(element.value) for element in header if element.VR in ("PN", "LO", "UI", "DA") and element.value]
    assert len(told) > 5
    assert not [value for value in told if len(value) > 5 and value in text]
    assert 'class="scan"' in text
    assert image.shape[1:] == geometry.shape


def test_masks_in_dicom_alone_are_reported(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "dicom" / "t2_series"
    (case,) = find_scans(source, ("T2",))
    mask = np.ones(read_case(case)[2].shape, dtype=np.uint8)
    for formats in (("dicom-seg",), ("dicom-rtstruct", "dicom-seg"), ("dicom-seg", "seg.nrrd")):
        masks = deliver(source, tmp_path / "_".join(formats), {case.id: mask}, formats=formats)
        assert 'class="scan"' in write_report(masks).read_text(encoding="utf-8")
