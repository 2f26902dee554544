from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from dicom import dataset, multi_frame, numbers, save, series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from vmseg_auto.data.dicom.read import read_series
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.names import LONGEST, plain


def scan(folder: Path, uid: str = "1.2.1", number: int = 1, seed: int = 0, names: Sequence[str] | None = None) -> Path:
    """A series of five slices in a folder."""

    def change(_: int, data: Dataset) -> None:
        data.SeriesInstanceUID, data.SeriesNumber = UID(uid), number

    save(folder, series(numbers(seed=seed), change=change), names)
    return folder


def zipped(folder: Path, target: Path) -> Path:
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


def names(found: Path, choice: Choice | None = None) -> list[str]:
    return [one.name for one in find_series(found, choice)]


def test_series_are_named_after_folders(tmp_path: Path) -> None:
    scan(tmp_path / "export")
    assert names(tmp_path / "export") == ["export"]
    assert names(tmp_path) == ["export"]
    scan(tmp_path / "anna" / "T2 TSE", "1.2.2")
    assert names(tmp_path) == ["anna_T2 TSE", "export"]


def test_several_series_in_one_folder_are_named_after_their_first_files(tmp_path: Path) -> None:
    scan(tmp_path / "all", "1.2.9", number=2, seed=9, names=[f"a{n}" for n in range(5)])
    scan(tmp_path / "all", "1.2.1", number=10, seed=1, names=[f"b{n}" for n in range(5)])
    found = find_series(tmp_path)
    assert [one.name for one in found] == ["all_a0", "all_b0"]
    assert np.array_equal(read_series(found[0])[0], numbers(seed=9))
    assert names(tmp_path / "all") == ["a0", "b0"]


def test_series_of_one_file_are_named_after_it(tmp_path: Path) -> None:
    made = [multi_frame(numbers(seed=n)) for n in range(3)]
    for number, data in enumerate(made):
        data.SeriesInstanceUID = UID(f"1.2.{number}")
    save(tmp_path / "scans", made, ["anna.dcm", "ben.2019", "1.2.826.0.1.3680043.8.498.1"])
    assert names(tmp_path / "scans") == ["1.2.826.0.1.3680043.8.498.1", "anna", "ben.2019"]
    (tmp_path / "scans" / "ben.2019").unlink()
    (tmp_path / "scans" / "1.2.826.0.1.3680043.8.498.1").unlink()
    assert names(tmp_path / "scans") == ["scans"]


def test_different_folders_never_give_one_name(tmp_path: Path) -> None:
    scan(tmp_path / "a_b" / "c", "1.2.1")
    scan(tmp_path / "a" / "b_c", "1.2.2")
    marked = names(tmp_path)
    assert [plain(name) for name in marked] == ["a_b_c", "a_b_c"]
    assert len(set(marked)) == 2
    scan(tmp_path / "a_b_c_2", "1.2.4")
    assert names(tmp_path) == sorted([*marked, "a_b_c_2"])
    deep = tmp_path / "deep" / ("x" * 100) / ("y" * 100) / ("z" * 100)
    scan(deep, "1.2.3")
    assert max(map(len, names(tmp_path))) <= LONGEST


def test_a_zip_beside_the_folder_it_was_unpacked_to_and_another_visit(tmp_path: Path) -> None:
    scan(tmp_path / "p", "1.2.1")
    zipped(tmp_path / "p", tmp_path / "p.zip")
    scan(tmp_path / "p_2", "1.2.2", seed=5)
    notes: list[str] = []
    found = {plain(one.name): one for one in find_series(tmp_path, notes=notes)}
    assert len(names(tmp_path)) == 3
    assert found["p_2"].name == "p_2"
    assert np.array_equal(read_series(found["p_2"])[0], numbers(seed=5))
    assert "p.zip/IM1.dcm is p~" in notes[0]
    assert names(tmp_path, Choice(("p",))) == [name for name in names(tmp_path) if name != "p_2"]


def test_uids_as_folders_keep_the_patient_in_front(tmp_path: Path) -> None:
    root = "1.3.6.1.4.1.99999.5.2.1.7695.4164."
    for number, patient in enumerate(("HN-0007", "HN-0008")):
        scan(tmp_path / patient / (root + "5" * 30) / (root + "7" * 30), f"1.2.{number}")
    one, two = names(tmp_path)
    assert one.startswith("HN-0007_1.3.6")
    assert two.startswith("HN-0008_1.3.6")


def test_a_file_stands_for_its_series(tmp_path: Path) -> None:
    scan(tmp_path, "1.2.1", names=[f"a{n}" for n in range(5)])
    scan(tmp_path, "1.2.2", seed=7, names=[f"b{n}" for n in range(5)])
    (found,) = find_series(tmp_path / "b3")
    assert found.name == "b0"
    assert np.array_equal(read_series(found)[0], numbers(seed=7))


def test_zips_are_read_without_being_unpacked(tmp_path: Path) -> None:
    scan(tmp_path / "in" / "T2")
    archive = zipped(tmp_path / "in", tmp_path / "anna.zip")
    shutil.rmtree(tmp_path / "in")
    (found,) = find_series(archive)
    assert found.name == "T2"
    assert found.files[0] == archive / "T2" / "IM1.dcm"
    assert np.array_equal(read_series(found)[0], numbers())
    assert names(tmp_path) == ["anna_T2"]
    assert [path.name for path in tmp_path.iterdir()] == ["anna.zip"]


def test_zips_that_lead_elsewhere_stay_within(tmp_path: Path) -> None:
    scan(tmp_path / "in")
    with ZipFile(tmp_path / "x.zip", "w") as archive:
        for number, path in enumerate(sorted((tmp_path / "in").iterdir())):
            archive.write(path, ["/etc/IM1", "../../IM2", "a\\..\\IM3", "b/\x1b[2JIM4", "IM5"][number])
        archive.writestr("__MACOSX/IM1", b"x")
        archive.writestr(".DS_Store", b"x")
    (found,) = find_series(tmp_path / "x.zip")
    inside = {path.relative_to(tmp_path / "x.zip").as_posix() for path in found.files}
    assert inside == {"etc/IM1", "IM2", "a/IM3", "b/\x1b[2JIM4", "IM5"}
    assert np.array_equal(read_series(found)[0], numbers())


def test_a_zip_in_a_zip_and_folders_without_end_are_told_or_read(tmp_path: Path) -> None:
    scan(tmp_path / "in")
    with ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((tmp_path / "in").iterdir()):
            archive.write(path, "a/" * 30_000 + path.name)  # longer than any path of a file system
        archive.writestr("inner.zip", b"PK")
        archive.writestr("c" * 300 + ".nii.gz", b"x")
    left = Inventory()
    (deep,) = find_series(tmp_path / "x.zip", left=left)
    assert np.array_equal(read_series(deep)[0], numbers())
    assert [one.why for one in left.found] == [
        "an image file in a zip, where only DICOM is looked for",
        "a zip in a zip",
    ]


@pytest.mark.parametrize(("packed", "size", "words"), [(900, 900, "take more than"), (1, 2**30, "more than 100 times")])
def test_a_zip_that_declares_more_than_it_holds_is_refused(tmp_path: Path, packed: int, size: int, words: str) -> None:
    """Before anything in it is read; so is a damaged one, given by itself."""
    scan(tmp_path / "in")
    path = zipped(tmp_path / "in", tmp_path / "x.zip")
    content, at = bytearray(path.read_bytes()), -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 20 : at + 28] = struct.pack("<II", packed, size)
    path.write_bytes(content)
    (found,) = find_series(path)
    assert (found.name, found.slices) == ("x", ())
    assert found.refusal is not None
    assert words in found.refusal
    path.write_bytes(content[:100])
    assert "damaged" in str(find_series(path)[0].refusal)


def test_damaged_and_encrypted_zips_are_refused_alone(tmp_path: Path) -> None:
    scan(tmp_path / "sound", "1.2.1")
    scan(tmp_path / "in", "1.2.2")
    content = zipped(tmp_path / "in", tmp_path / "cut.zip").read_bytes()
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "cut.zip").write_bytes(content[:-100])
    locked = bytearray(content)
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = -1
        while (place := locked.find(mark, place + 1)) >= 0:
            locked[place + at] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    middle = bytearray(content)
    middle[len(content) // 2] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(middle)
    with ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("IM1", b"x")
        archive.writestr("./IM1", b"y")
    found = {one.name: one for one in find_series(tmp_path)}
    assert found.keys() == {"sound", "cut", "locked", "flipped", "twice"}
    read_series(found["sound"])
    for name, words in {
        "cut": "cut.zip: the zip is damaged",
        "locked": "locked.zip: the zip is encrypted",
        "flipped": "damaged",
        "twice": "holds two files called IM1",
    }.items():
        with pytest.raises(InputError, match=words):
            read_series(found[name])


def test_other_objects_are_left_out_and_counted(tmp_path: Path) -> None:
    scan(tmp_path / "T2", "1.2.1")

    def localizer(_: int, data: Dataset) -> None:
        data.SeriesInstanceUID, data.ImageType = UID("1.2.5"), ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    save(tmp_path / "scout", series(numbers((3, 6, 7)), change=localizer))
    report = Dataset()
    report.file_meta = dataset(numbers()[0]).file_meta
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.22")
    report.SeriesInstanceUID = UID("1.2.6")
    mask = dataset(numbers(), NumberOfFrames=5, SeriesInstanceUID=UID("1.2.7"))
    mask.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.66.4")
    shot = dataset(numbers()[0], SeriesInstanceUID=UID("1.2.8"), SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.7"))
    save(tmp_path / "more", [report, mask, shot])
    (tmp_path / "README.txt").write_text("a viewer comes with this disc")
    notes: list[str] = []
    left = Inventory()
    found = find_series(tmp_path, notes=notes, left=left)
    assert [one.name for one in found] == ["T2"]
    assert notes == ["DICOM series T2: 5 slices of 7 x 6 pixels, echo time 90 ms."]
    assert {(one.where, one.why) for one in left.found} == {
        *((f"scout/IM{number}.dcm", "no scan but a localizer") for number in (1, 2, 3)),
        ("more/IM1.dcm", "no scan but a report"),
        ("more/IM2.dcm", "no scan but a segmentation or registration"),
        ("more/IM3.dcm", "no scan but a picture without a position in space"),
        ("README.txt", "a text for people"),
    }


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"\0" * 128 + b"DICM" + b"\xff" * 60])
def test_a_damaged_file_among_slices_refuses_the_series(tmp_path: Path, content: bytes) -> None:
    scan(tmp_path / "a", "1.2.1")
    scan(tmp_path / "b", "1.2.2")
    (tmp_path / "a" / "IM5.dcm").write_bytes(content)  # the last slice: no gap tells that it is missing
    found = {one.name: one for one in find_series(tmp_path)}
    read_series(found["b"])
    with pytest.raises(InputError, match=r"IM5.dcm lies among its files and may be a slice that it lacks"):
        read_series(found["a"])
    with pytest.raises(InputError, match=r"move the file elsewhere"):
        read_series(found["a"])


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_slice_of_another_series_that_continues_one_refuses_it(tmp_path: Path, place: int) -> None:
    def other(number: int, data: Dataset) -> None:
        if number == place:
            data.SeriesInstanceUID = UID("1.2.9")

    save(tmp_path, series(numbers(), change=other))
    (found,) = [one for one in find_series(tmp_path) if len(one.slices) > 1]
    with pytest.raises(InputError, match=f"IM{place + 1}.dcm would continue it, but says that it belongs to another"):
        read_series(found)


def parts(folder: Path, first: int, number: int = 1) -> None:
    """Ten slices, those from `first` on under another SeriesInstanceUID and SeriesNumber."""

    def change(slice_number: int, data: Dataset) -> None:
        data.SeriesNumber = 1
        if slice_number >= first:
            data.SeriesInstanceUID, data.SeriesNumber = UID("1.2.9"), number

    save(folder, series(numbers((10, 6, 7)), change=change), [f"IM{n:02}.dcm" for n in range(1, 11)])


@pytest.mark.parametrize("first", [5, 7, 8])
def test_a_series_under_two_uids_is_refused(tmp_path: Path, first: int) -> None:
    parts(tmp_path, first)
    for one in find_series(tmp_path):
        with pytest.raises(InputError, match=r"would continue it: one series was stored under two SeriesInstanceUIDs"):
            read_series(one)


def test_two_volumes_that_continue_each_other_are_said(tmp_path: Path) -> None:
    parts(tmp_path, 5, number=2)
    notes: list[str] = []
    for one in find_series(tmp_path, notes=notes):
        read_series(one)
    assert "IM06 continues IM01: their slices form one volume" in notes[0]


def test_parts_of_two_slices_are_refused_whatever_their_number(tmp_path: Path) -> None:
    parts(tmp_path, 8, number=2)
    for one in find_series(tmp_path):
        with pytest.raises(InputError, match=r"would continue it"):
            read_series(one)


def test_files_without_a_preamble_are_read(tmp_path: Path) -> None:
    scan(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    (found,) = find_series(tmp_path)
    assert np.array_equal(read_series(found)[0], numbers())


def test_a_damaged_file_alone_is_a_scan_that_fails(tmp_path: Path) -> None:
    (tmp_path / "anna.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 60)
    (found,) = find_series(tmp_path)
    assert found.name == "anna"
    with pytest.raises(InputError, match=r"anna.dcm: the DICOM file is damaged"):
        read_series(found)
    (tmp_path / "ben.dcm").write_bytes(b"")
    (found,) = find_series(tmp_path)
    assert found.name == tmp_path.name
    assert find_series(tmp_path / "ben.dcm") == [found]
    with pytest.raises(InputError, match=r"anna.dcm: the DICOM file is damaged or cut short .and 1 more files like it"):
        read_series(found)


def test_parts_in_several_folders_are_one_series_and_copies_several(tmp_path: Path) -> None:
    scan(tmp_path / "scan" / "1")
    (tmp_path / "scan" / "2").mkdir()
    for name in ("IM2.dcm", "IM5.dcm"):
        (tmp_path / "scan" / "1" / name).rename(tmp_path / "scan" / "2" / name)
    (found,) = find_series(tmp_path)
    assert found.name == "scan"
    assert np.array_equal(read_series(found)[0], numbers())
    scan(tmp_path / "copies" / "a", "1.2.8")
    shutil.copytree(tmp_path / "copies" / "a", tmp_path / "copies" / "b")
    assert names(tmp_path) == ["copies_a", "copies_b", "scan"]
    (tmp_path / "copies" / "b" / "IM1.dcm").unlink()
    with pytest.raises(InputError, match=r"doubled slices, such as a/IM2.dcm and b/IM2.dcm"):
        read_series(find_series(tmp_path / "copies")[0])


def test_series_are_chosen_by_name_or_pattern(tmp_path: Path) -> None:
    for number, name in enumerate(("anna_T1", "anna_T2", "ben_T2")):
        scan(tmp_path / name, f"1.2.{number}")
    assert names(tmp_path, Choice(("*_T2",))) == ["anna_T2", "ben_T2"]
    assert names(tmp_path, Choice(("anna_T1", "ben_*"))) == ["anna_T1", "ben_T2"]
    for number, name in enumerate(("anna_T1", "anna_T2", "ben_T2")):
        for path in (tmp_path / name).iterdir():
            data = dcmread(path)
            data.SeriesDescription = ("t1_tse", "t2_tse_fs", "T2 STIR")[number]
            data.save_as(path)
    assert names(tmp_path, Choice(("T2*",))) == ["anna_T2", "ben_T2"]
    assert names(tmp_path, Choice(("*_fs",))) == ["anna_T2"]
    with pytest.raises(InputError, match=r"there is no series carl. There are: anna_T1, anna_T2, ben_T2"):
        names(tmp_path, Choice(("carl",)))


def test_an_echo_is_chosen_only_where_there_are_several(tmp_path: Path) -> None:
    scan(tmp_path / "one", "1.2.1")
    first, second = numbers(seed=1), numbers(seed=2)

    def echo(ms: int) -> list[Dataset]:
        made = series(first if ms == 12 else second)
        for data in made:
            data.EchoTime, data.SeriesInstanceUID = ms, UID("1.2.2")
        return made

    save(tmp_path / "two", [*echo(100), *echo(12)])
    found = find_series(tmp_path, Choice(echo=2))
    assert [(one.name, one.echo) for one in found] == [("one", None), ("two_echo_2", 2)]
    assert np.array_equal(read_series(found[1])[0], second)


def test_nothing_but_other_files_gives_no_series(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert find_series(tmp_path) == []
    assert find_series(tmp_path / "notes.txt") == []
