from __future__ import annotations

import os
from pathlib import Path

from dicom import numbers, save, series
from raw_dataset import GRID, tiny_image

from vmseg_auto.data.images.images import write_image
from vmseg_auto.data.scans import find_scans
from vmseg_auto.data.sources import write_sources
from vmseg_auto.utils.tables import read_csv


def test_each_case_leads_back_to_its_source_and_earlier_rows_stay(tmp_path: Path) -> None:
    scans, out = tmp_path / "in", tmp_path / "out"
    write_image(scans / "ben.nii.gz", tiny_image(), GRID)
    save(scans / "anna" / "T2", series(numbers()))
    cases = find_scans(scans, ("T2",))
    write_sources(out, cases, scans, "../in", ())
    write_sources(out, find_scans(scans / "ben.nii.gz", ("T2",)), scans / "ben.nii.gz", "../in/ben.nii.gz", ["anna_T2"])
    rows = {row["case"]: (row["source"], row["files"], row["inputs"]) for row in read_csv(out / "sources.csv")}
    assert rows == {
        "anna_T2": (os.path.join("anna", "T2", "IM1.dcm"), "5", "../in"),
        "ben": ("ben.nii.gz", "1", "../in/ben.nii.gz"),
    }
    write_sources(out, cases[1:], scans, "../in", ())
    assert [row["case"] for row in read_csv(out / "sources.csv")] == ["ben"]
