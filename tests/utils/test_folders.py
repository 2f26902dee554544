"""Odd things in folders are named; none of them is opened, followed or waited for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom import numbers, save, series
from raw_dataset import GRID, raw_dataset, tiny_image, tiny_mask

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.naming import image_files
from vmseg_auto.data.scans import find_scans
from vmseg_auto.evaluation.evaluate import find_masks
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import listed_folder, require_apart, walk
from vmseg_auto.utils.left_out import Inventory

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
T2 = ("T2",)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two scans, and of what is none."""
    folder = tmp_path / "in"
    write_image(folder / "anna.nii.gz", tiny_image(), GRID)
    save(folder / "ben", series(numbers()))
    os.mkfifo(folder / "pipe.nii.gz")
    os.mkfifo(folder / "ben" / "IM9.dcm")
    os.mkfifo(folder / "pipe.zip")
    monkeypatch.chdir(folder)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.nii")
    (folder / "device.nii").symlink_to("/dev/zero")
    (folder / "circle.nii.gz").symlink_to("circle.nii.gz")
    (folder / "up").symlink_to(folder)
    (folder / "ben" / "up").symlink_to(folder)
    (folder / "gone.nii.gz").symlink_to("nowhere")
    return folder


def test_pipes_sockets_devices_and_circles_are_named(odd: Path) -> None:
    left = Inventory()
    assert [case.id for case in find_scans(odd, T2, left=left)] == ["anna", "ben"]
    assert {(one.what, one.where, one.why) for one in left.unwanted} == {
        ("file", "pipe.nii.gz", "a pipe, which is not read"),
        ("file", "ben/IM9.dcm", "a pipe, which is not read"),
        ("file", "pipe.zip", "a pipe, which is not read"),
        ("file", "socket.nii", "a socket, which is not read"),
        ("file", "device.nii", "a device, which is not read"),
        ("file", "circle.nii.gz", "a link that leads in a circle"),
        ("folder", "up", "a link, not followed"),
        ("folder", "ben/up", "a link, not followed"),
        ("file", "gone.nii.gz", "a link to what is not there"),
    }


def test_so_are_they_among_masks(odd: Path) -> None:
    write_mask(odd / "anna.nii.gz", tiny_mask(), GRID)
    left = Inventory()
    assert list(find_masks(odd, left)) == ["anna"]
    assert ("pipe.nii.gz", "a pipe, which is not read") in {(one.where, one.why) for one in left.unwanted}
    assert ("circle.nii.gz", "a link that leads in a circle") in {(one.where, one.why) for one in left.unwanted}


@pytest.mark.parametrize("name", ["pipe.nii.gz", "pipe.zip", "socket.nii", "device.nii"])
def test_what_is_neither_file_nor_folder_is_no_input(odd: Path, name: str) -> None:
    with pytest.raises(InputError, match="which is not read"):
        find_scans(odd / name, T2)


def test_a_description_that_is_no_file_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    (folder / "dataset.json").unlink()
    os.mkfifo(folder / "dataset.json")
    with pytest.raises(InputError, match="it is a pipe"):
        read_dataset(folder)
    (folder / "dataset.json").unlink()
    (folder / "dataset.json").symlink_to("gone")
    with pytest.raises(InputError, match="it is a link to what is not there"):
        read_dataset(folder)


LOOK = """
import os
from pathlib import Path
import vmseg_auto.data.dicom.series_files
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.data.images.registry import formats
from vmseg_auto.data.scans import find_scans
formats()  # now, as another user may not read where packages lie
if os.geteuid() == 0:  # root may read everything
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
left = Inventory()
print([case.id for case in find_scans(Path("in"), ("T2",), left=left)])
print(left.text())
"""


def test_folders_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "anna.nii.gz", tiny_image(), GRID)
    save(tmp_path / "in" / "ben" / "T2", series(numbers()))
    tmp_path.chmod(0o755)
    (tmp_path / "in" / "ben").chmod(0)
    try:
        done = subprocess.run([sys.executable, "-c", LOOK], cwd=tmp_path, capture_output=True, text=True, check=False)
    finally:
        (tmp_path / "in" / "ben").chmod(0o755)
    told = "['anna']\nNot used of what was given: 1 thing.\n  - 1 folder in in, unreadable (Permission denied): ben\n"
    assert done.stdout == told, done.stderr


def test_a_folder_that_is_none_can_not_be_listed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder can't be read"):
        listed_folder(tmp_path / "gone")
    with pytest.raises(InputError, match="the folder can't be read"):
        list(walk(tmp_path / "gone"))
    assert image_files(tmp_path / "gone") == []


def test_what_systems_and_people_leave_behind_is_told_shortly(tmp_path: Path) -> None:
    write_image(tmp_path / "anna.nii.gz", tiny_image(), GRID)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._anna.nii.gz", "README.txt"):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "anna.NII.GZ.txt").write_bytes(b"?")
    left = Inventory()
    assert [case.id for case in find_scans(tmp_path, T2, left=left)] == ["anna"]
    assert left.text() == (
        "Not used of what was given: 7 things.\n"
        f"  - 1 file in {tmp_path}, neither DICOM nor an image of a format that is read: anna.NII.GZ.txt\n"
        f"  - 1 folder in {tmp_path}, hidden: __MACOSX\n"
        f"  - 4 files in {tmp_path}, hidden: .DS_Store, ._anna.nii.gz, Thumbs.db, desktop.ini\n"
        f"  - 1 file in {tmp_path}, a text for people: README.txt"
    )
    assert len(left.unwanted) == 1


def test_further_channels_are_no_scans_of_their_own_but_numbered_patients_are(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"anna_000{number}.nii.gz", tiny_image(number), GRID)
        grid = type(GRID)(GRID.shape, GRID.spacing_mm, (10.0 * number, 0.0, 0.0))
        write_image(tmp_path / f"patient_000{number}.nii.gz", tiny_image(number), grid)
    write_image(tmp_path / "ben_0001.nii.gz", tiny_image(), GRID)
    left = Inventory()
    found = find_scans(tmp_path, T2, left=left)
    assert [case.id for case in found] == ["anna", "ben_0001", "patient", "patient_0001", "patient_0002"]
    why = f"2 scans in {tmp_path}, a further channel of another scan, by its name and grid: anna_0001.nii.gz, anna_"
    assert why in left.text()
    (tmp_path / "ben_0001.nii.gz").unlink()
    for path in tmp_path.glob("patient*"):
        path.unlink()
    left = Inventory()
    (case,) = find_scans(tmp_path, ("T2", "FLAIR"), left=left)
    assert np.shape(case.images) == (2,)
    assert f"1 scan in {tmp_path}, a further channel of another scan, by its name" in left.text()


@pytest.mark.parametrize(
    ("given", "output", "said"),
    [
        ("in", "in", "is the output folder too"),
        ("in", "in/../in", "is the output folder too"),
        ("in", "link", "is the output folder too"),
        ("in", "in/new/masks", "has the output folder in it"),
        ("in", "link/masks", "has the output folder in it"),
        ("in", ".", "lies in the output folder"),
        ("in/ben", "in", "lies in the output folder"),
        ("in/anna.nii.gz", "in", "is the output folder too"),
    ],
)
def test_what_is_written_lies_apart_from_what_is_read(tmp_path: Path, given: str, output: str, said: str) -> None:
    (tmp_path / "in" / "ben").mkdir(parents=True)
    (tmp_path / "in" / "anna.nii.gz").touch()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(InputError, match=rf"the folder of the input {said}.*Give -o a folder of its own"):
        require_apart(tmp_path / output, [tmp_path / given])


def test_a_folder_beside_the_input_is_apart_and_so_is_one_beside_a_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "anna.nii.gz").touch()
    for output in (tmp_path / "out", tmp_path / "in_2", tmp_path / "in" / "anna"):
        require_apart(output, [tmp_path / "in" / "anna.nii.gz"])
    require_apart(tmp_path / "out", [tmp_path / "in", tmp_path / "missing"])
