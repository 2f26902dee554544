"""One command opens a mask with its scan, in either viewer, wherever both lie."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from dicom import numbers, save, series

from vmseg_auto.data.scans import find_scans
from vmseg_auto.workflows.viewers import LABEL_FILE, opening_words, write_label_file


def commands(words: list[str]) -> tuple[str, str]:
    slicer, snap = (line.split(":", 1)[1].strip() for line in words[1:])
    return slicer, snap


@pytest.mark.parametrize("folder", ["plain", "with blanks", "o'hara & $HOME", 'a "b" `c` \\d'])
def test_a_shell_and_slicers_python_see_the_paths_as_they_are(folder: str, tmp_path: Path) -> None:
    scan = tmp_path / folder / "anna.nii.gz"
    scan.parent.mkdir()
    scan.touch()
    masks = [tmp_path / folder / "out" / f"anna{ending}" for ending in (".nii.gz", ".seg.nrrd")]
    slicer, snap = (shlex.split(each) for each in commands(opening_words("anna", scan, masks, windows=False)))
    assert slicer[:2] == ["Slicer", "--python-code"]
    told: list[str] = []
    util = SimpleNamespace(loadVolume=told.append, loadSegmentation=told.append)
    exec(slicer[2], {"slicer": SimpleNamespace(util=util)})
    assert told == [str(scan), str(masks[1])]
    assert snap == ["itksnap", "-g", str(scan), "-s", str(masks[0]), "-l", str(masks[0].with_name(LABEL_FILE))]


def test_in_windows_words_with_blanks_stand_in_double_quotes(tmp_path: Path) -> None:
    scan = tmp_path / "my scans" / "anna.nii.gz"
    scan.parent.mkdir()
    scan.touch()
    slicer, snap = commands(opening_words("anna", scan, [tmp_path / "out" / "anna.seg.nrrd"], windows=True))
    assert slicer.startswith("Slicer --python-code \"slicer.util.loadVolume('")
    assert slicer.count('"') == 2
    assert f'-g "{scan}" -s {tmp_path / "out" / "anna.seg.nrrd"} -l' in snap


def test_of_a_series_one_of_its_files_is_opened_and_a_zip_is_to_be_unpacked(tmp_path: Path) -> None:
    save(tmp_path / "in" / "anna", series(numbers()))
    (case,) = find_scans(tmp_path / "in", ("T2",))
    slicer, snap = commands(opening_words("anna", case.images[0], [tmp_path / "anna.nii.gz"], windows=False))
    first = str(tmp_path / "in" / "anna" / "IM1.dcm")
    assert first in slicer
    assert first in shlex.split(snap)
    (only,) = opening_words("anna", case.images[0], [tmp_path / "anna.dcm"])
    assert "QuantitativeReporting" in only
    (only,) = opening_words("anna", case.images[0], [tmp_path / "anna.rtstruct.dcm"])
    assert "SlicerRT" in only
    (only,) = opening_words("anna", tmp_path / "scans.zip" / "IM1.dcm", [tmp_path / "anna.nii.gz"])
    assert "unpack it" in only


def test_the_label_file_is_as_itk_snap_writes_it(tmp_path: Path) -> None:
    write_label_file(tmp_path, {"background": 0, "lesion": 1, 'a "b"': 2})
    lines = (tmp_path / LABEL_FILE).read_text().splitlines()
    assert lines[0] == "# ITK-SnAP Label Description File"
    assert [line.split(maxsplit=7) for line in lines[2:]] == [
        ["0", "0", "0", "0", "0", "0", "0", '"Clear Label"'],
        ["1", "213", "94", "0", "1", "1", "1", '"lesion"'],
        ["2", "86", "180", "233", "1", "1", "1", "\"a 'b'\""],
    ]
