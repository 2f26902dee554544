from __future__ import annotations

import os
import shutil
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from dicom import dataset, grid_of, multi_frame, numbers, save, series
from pydicom.uid import UID
from raw_dataset import GRID, tiny_image

from vmseg_auto.data.cases import content_hash, read_case
from vmseg_auto.data.dicom.series import Choice, Series
from vmseg_auto.data.images.images import write_image
from vmseg_auto.data.scans import find_scans, read_scan, scan_bytes, scan_grid
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.names import plain

T2 = ("T2",)


def test_image_files_and_dicom_are_found_together(tmp_path: Path) -> None:
    write_image(tmp_path / "ben.nii.gz", tiny_image(), GRID)
    write_image(tmp_path / "sub" / "hidden.nii.gz", tiny_image(), GRID)
    save(tmp_path / "anna", series(numbers()))
    notes: list[str] = []
    anna, ben = find_scans(tmp_path, T2, notes=notes)
    assert (anna.id, ben.id) == ("anna", "ben")
    assert (anna.file, ben.file) == (tmp_path / "anna", tmp_path / "ben.nii.gz")
    assert notes == ["DICOM series anna: 5 slices of 7 x 6 pixels, echo time 90 ms."]
    image, mask, geometry = read_case(anna)
    assert np.array_equal(image[0], numbers())
    assert mask is None
    assert geometry.differences(grid_of((5, 6, 7))) == []
    assert [case.id for case in find_scans(tmp_path, T2, choice=Choice(("ann*",)))] == ["anna"]
    assert [case.id for case in find_scans(tmp_path / "anna" / "IM3.dcm", T2)] == ["anna"]
    assert [case.id for case in find_scans(tmp_path / "ben.nii.gz", T2)] == ["ben"]


def test_scans_of_one_name_are_told_apart_by_their_sources(tmp_path: Path) -> None:
    write_image(tmp_path / "anna.nii.gz", tiny_image(), GRID)
    write_image(tmp_path / "ANNA.mha", tiny_image(), GRID)
    write_image(tmp_path / "ben.nii.gz", tiny_image(), GRID)
    save(tmp_path / "anna", series(numbers()))
    notes: list[str] = []
    found = find_scans(tmp_path, T2, notes=notes)
    assert len({case.id.casefold() for case in found}) == 4
    assert {plain(case.id) for case in found} == {"anna", "ANNA", "ben"}
    assert "told apart: ANNA.mha is ANNA~" in notes[-1]
    (tmp_path / "ben.nii.gz").unlink()
    assert {case.id for case in find_scans(tmp_path, T2)} == {case.id for case in found} - {"ben"}


def test_what_is_no_scan_is_told(tmp_path: Path) -> None:
    write_image(tmp_path / "ONE.nii.gz", tiny_image(), GRID)
    (tmp_path / "ONE.nii.gz").rename(tmp_path / "ONE.NII.GZ")
    write_image(tmp_path / "sub" / "two.nii.gz", tiny_image(), GRID)
    write_image(tmp_path / ".three.nii.gz", tiny_image(), GRID)
    (tmp_path / "four.nii.gz").symlink_to("gone")
    (tmp_path / "five.mhd").write_bytes(b"ObjectType = Image")
    (tmp_path / "six").symlink_to(tmp_path / "sub")
    (tmp_path / ".cache").mkdir()
    report = dataset(numbers()[0], SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.88.11"), SeriesInstanceUID=UID("1.2.9"))
    save(tmp_path / "dicom", [*series(numbers()), report])
    with ZipFile(tmp_path / "seven.zip", "w") as archive:
        archive.write(tmp_path / "ONE.NII.GZ", "eight.nii.gz")
        archive.writestr("inner.zip", b"PK")
    left = Inventory()
    assert [case.id for case in find_scans(tmp_path, T2, left=left)] == ["ONE", "dicom"]
    assert {(one.where, one.why, one.meant) for one in left.found} == {
        ("sub/two.nii.gz", "an image file in a folder within, where only DICOM is looked for", False),
        (".three.nii.gz", "hidden", True),
        (".cache", "hidden", True),
        ("four.nii.gz", "a link to what is not there", False),
        ("five.mhd", "neither DICOM nor an image of a format that is read", False),
        ("six", "a link, not followed", False),
        ("dicom/IM6.dcm", "no scan but a report", True),
        ("seven.zip/eight.nii.gz", "an image file in a zip, where only DICOM is looked for", False),
        ("seven.zip/inner.zip", "a zip in a zip", False),
    }
    with pytest.raises(DatasetError, match=r"--strict: not all of the input would be used") as caught:
        find_scans(tmp_path, T2, left=Inventory(strict=True))
    assert "five.mhd" in str(caught.value)
    assert ".three" not in str(caught.value)


def test_what_is_left_out_by_choice_is_told_and_not_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "ben.nii.gz", tiny_image(), GRID)
    for name in ("T1", "T2"):
        save(tmp_path / name, series(numbers(), SeriesInstanceUID=UID(f"1.2.{name[1]}")))
    left = Inventory(strict=True)
    assert [case.id for case in find_scans(tmp_path, T2, Choice(("T2",)), left=left)] == ["T2"]
    assert {one.where for one in left.found} == {"ben.nii.gz", "T1"}
    assert "Not used of what was given: 2 things." in left.text()


def test_a_name_that_is_no_text_is_refused_alone(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", tiny_image(), GRID)
    odd = tmp_path / os.fsdecode(b"K\xe4se.nii.gz")
    shutil.copy(tmp_path / "a.nii.gz", odd)
    one, two = find_scans(tmp_path, T2)
    assert two.id == "a"
    assert one.id.startswith("K_se~")
    with pytest.raises(InputError, match=r"is not UTF-8 and can't be used. Rename it") as caught:
        read_case(one)
    assert "K\\xe4se.nii.gz" in str(caught.value)


def test_channels_are_series_named_by_their_folders(tmp_path: Path) -> None:
    for channel in (0, 1):
        made = series(numbers(seed=channel))
        for data in made:
            data.SeriesInstanceUID = UID(f"1.2.{channel}")
        save(tmp_path / f"anna_000{channel}", made)
    (case,) = find_scans(tmp_path, ("T2", "FLAIR"))
    assert case.id == "anna"
    assert np.array_equal(read_case(case)[0], np.stack([numbers(seed=0), numbers(seed=1)]))
    (tmp_path / "anna_0001").rename(tmp_path / "ben_0001")
    with pytest.raises(DatasetError, match=r"case anna, .*anna_0001: channel 1 \(FLAIR\) is missing"):
        find_scans(tmp_path, ("T2", "FLAIR"))


def test_no_scan_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no scan in this folder. Scans end with .nii.gz.* or are DICOM series"):
        find_scans(tmp_path, T2)
    report = dataset(numbers()[0], SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.88.11"))
    save(tmp_path, [report])
    with pytest.raises(InputError, match=r"(?s)no scan in this folder. .* no scan but a report: IM1.dcm"):
        find_scans(tmp_path, T2)
    with pytest.raises(InputError, match=r"there is no series x. There are: none"):
        find_scans(tmp_path, T2, choice=Choice(("x",)))


def test_content_is_that_of_the_files_in_slice_order_and_of_the_echo(tmp_path: Path) -> None:
    made = series(numbers())
    save(tmp_path / "a" / "anna", made)
    save(tmp_path / "b" / "anna", made[::-1], ["x1", "x2", "x3", "x4", "x5"])
    hashes = {content_hash(find_scans(tmp_path / place, T2)[0]) for place in ("a", "b")}
    assert len(hashes) == 1
    save(tmp_path / "b" / "anna", [series(numbers(seed=1))[4]], ["x1"])
    assert content_hash(find_scans(tmp_path / "b", T2)[0]) not in hashes
    frames = multi_frame(numbers((10, 6, 7)))
    for number, frame in enumerate(frames.PerFrameFunctionalGroupsSequence):
        frame.MREchoSequence[0].EffectiveEchoTime = 12.0 if number % 2 else 90.0
    save(tmp_path / "c", [frames])
    echoes = [find_scans(tmp_path / "c", T2, choice=Choice(echo=echo))[0] for echo in (1, 2)]
    assert len({content_hash(case) for case in echoes}) == 2


def test_files_that_vanish_are_said(tmp_path: Path) -> None:
    save(tmp_path / "anna", series(numbers()))
    (case,) = find_scans(tmp_path, T2)
    (tmp_path / "anna" / "IM1.dcm").unlink()
    with pytest.raises(InputError, match=r"IM1.dcm: the file is damaged or can't be read"):
        content_hash(case)
    write_image(tmp_path / "ben.nii.gz", tiny_image(), GRID)
    ben = next(case for case in find_scans(tmp_path / "ben.nii.gz", T2))
    (tmp_path / "ben.nii.gz").unlink()
    with pytest.raises(InputError, match=r"case ben, .*ben.nii.gz: the file can't be read"):
        content_hash(ben)


def test_grid_and_voxels_of_both_kinds(tmp_path: Path) -> None:
    write_image(tmp_path / "ben.nii.gz", tiny_image(), GRID)
    save(tmp_path / "anna", series(numbers()))
    anna, ben = (case.images[0] for case in find_scans(tmp_path, T2))
    assert isinstance(anna, Series)
    assert scan_grid(anna) == read_scan(anna)[1]
    assert scan_grid(ben) == read_scan(ben)[1]
    assert b"".join(scan_bytes(ben)) == (tmp_path / "ben.nii.gz").read_bytes()
