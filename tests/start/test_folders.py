"""What lies below the start folder, and what of it can be chosen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmseg_auto.start.folders import MOST, find_folders
from vmseg_auto.start.place import Place


def made(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_folders_are_known_by_what_lies_in_them(tmp_path: Path) -> None:
    made(tmp_path, "export/anna/T2/1.dcm", "export/bert/T2/1.dcm", "export.zip", "notes.txt", ".hidden/x", "-x/y")
    made(tmp_path, "mine/imagesTr/a_0000.nii.gz", "mine/imagesTs/b_0000.nii.gz", "mine/vmseg/fingerprint.json")
    made(tmp_path, "masks/sources.csv", "masks/logs/x.log", "space/fingerprint.json", "vmseg_jobs/0001.json")
    assert [(one.path, one.kind, one.files, one.folders) for one in find_folders(tmp_path)[0]] == [
        ("export", "other", 0, 2),
        ("export.zip", "zip", 0, 0),
        ("export/anna", "other", 0, 1),
        ("export/bert", "other", 0, 1),
        ("masks", "predictions", 1, 1),
        ("mine", "dataset", 0, 3),
        ("mine/imagesTs", "other", 1, 0),
    ]


def test_of_many_folders_in_one_their_number_is_enough(tmp_path: Path) -> None:
    made(tmp_path, *(f"export/p{number}/1.dcm" for number in range(20)))
    ((only,), _) = find_folders(tmp_path)
    assert only.words == "export (20 folders, 0 files)"


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    made(tmp_path, "elsewhere/1.dcm")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert find_folders(tmp_path / "root") == ([], 0)


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert find_folders(tmp_path / "gone") == ([], 0)


def test_of_too_many_zips_the_last_are_not_listed_and_counted(tmp_path: Path) -> None:
    made(tmp_path, *(f"p{number:03d}.zip" for number in range(MOST)), "zz/imagesTr/a_0000.nii.gz", "zy/sources.csv")
    found, unlisted = find_folders(tmp_path)
    assert (len(found), unlisted) == (MOST, 2)
    assert [one.path for one in found][-3:] == ["p297.zip", "zy", "zz"]
    assert Place.of(tmp_path, None).unlisted == 2
