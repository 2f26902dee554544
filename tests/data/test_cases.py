"""Datasets and folders of scans, whole and spoiled."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from raw_dataset import GRID, LABELS, VOLUMES, describe, raw_dataset, tiny_image, tiny_mask

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.scans import find_scans
from vmseg_auto.utils.errors import DatasetError, InputError


@pytest.mark.parametrize("ending", VOLUMES)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_dataset_is_read(tmp_path: Path, ending: str, channels: int) -> None:
    folder = raw_dataset(tmp_path / "cohort", ending=ending, channels=channels, test_cases=2)
    dataset = read_dataset(folder)
    assert dataset.name == "cohort"
    assert dataset.channels == ("T1", "T2")[:channels]
    assert dataset.labels == LABELS
    assert dataset.file_ending == ending
    assert [case.id for case in dataset.cases] == ["a", "b", "c"]
    assert [case.id for case in dataset.test_cases] == ["t", "u"]
    assert dataset.cases[1] == Case(
        id="b",
        patient="b",
        images=tuple(folder / "imagesTr" / f"b_{n:04d}{ending}" for n in range(channels)),
        label=folder / "labelsTr" / f"b{ending}",
    )
    assert dataset.notes == ()


def test_one_channel_may_omit_its_number(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    (folder / "imagesTr" / "b_0000.nii.gz").rename(folder / "imagesTr" / "b.nii.gz")
    (folder / "imagesTr" / "c_0000.nii.gz").rename(folder / "imagesTr" / "c_2019.nii.gz")
    (folder / "labelsTr" / "c.nii.gz").rename(folder / "labelsTr" / "c_2019.nii.gz")
    assert [case.id for case in read_dataset(folder).cases] == ["a", "b", "c_2019"]


def test_patients_and_validation_cases_without_masks(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, test_cases=2)
    describe(folder, patients={"a": "anna", "b": "anna", "t": "theo"})
    (folder / "labelsTs" / "u.nii.gz").unlink()
    dataset = read_dataset(folder)
    assert dataset.patients == {"a": "anna", "b": "anna", "c": "c"}
    assert dataset.stated == {"a", "b", "t"}
    assert [(case.patient, case.label is None) for case in dataset.test_cases] == [("theo", False), ("u", True)]


def test_hidden_and_foreign_files_are_passed_over_and_told(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    (folder / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"")
    (folder / "imagesTr" / "notes.txt").write_bytes(b"")
    write_image(folder / "imagesTr" / "z_0000.mha", tiny_image(), GRID)
    dataset = read_dataset(folder)
    assert len(dataset.cases) == 3
    assert {(one.where, one.why, one.meant) for one in dataset.left_out} == {
        ("._a_0000.nii.gz", "hidden", True),
        ("notes.txt", "of another format than .nii.gz", False),
        ("z_0000.mha", "of another format than .nii.gz", False),
    }


def test_all_that_a_dataset_does_not_use_is_told(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=4)
    describe(folder, numTraining=5, hospital="A")
    (folder / "imagesTr" / "e_0000.nii.gz").symlink_to("gone")
    (folder / "labelsTr" / "old").mkdir()
    shutil.copy(folder / "labelsTr" / "a.nii.gz", folder / "labelsTr" / "old" / "a.nii.gz")
    shutil.copytree(folder / "imagesTr", folder / "imagesVal", symlinks=True)
    (folder / "vmseg").mkdir()
    shutil.copytree(folder / "labelsTr" / "old", folder / "masks")
    (folder / "masks" / "sources.csv").touch()  # as vmseg_predict leaves it
    assert [f"{one.what} {one.where}: {one.why}" for one in read_dataset(folder).left_out] == [
        "file e_0000.nii.gz: a link to what is not there",
        "folder old (1 file): not looked into",
        "key hospital: unknown in dataset.json",
        "key numTraining: which tells of 5 training cases where 4 are there",
        "folder imagesVal (4 files): no folder of a dataset (imagesTr, labelsTr, imagesTs, labelsTs)",
    ]


def test_what_a_description_lists_and_lacks_is_told(tmp_path: Path) -> None:
    """Older files list their images by hand."""
    folder = raw_dataset(tmp_path, cases=2, test_cases=1)
    training = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in "ab"]
    describe(folder, numTraining=2, numTest=1, training=training, test=["./imagesTs/t.nii.gz"])
    assert read_dataset(folder).left_out == ()
    describe(folder, numTest=3, training=[*training, {"image": "./imagesTr/q_0000.nii.gz"}, 7], test=[])
    assert {f"{one.what} {one.where}: {one.why}" for one in read_dataset(folder).left_out} == {
        "key numTest: which tells of 3 test cases where 1 are there",
        "file ./imagesTr/q_0000.nii.gz: listed in dataset.json, and not there",
    }


def test_endings_in_capitals_are_used(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    (folder / "imagesTr" / "b_0000.nii.gz").rename(folder / "imagesTr" / "b_0000.NII.GZ")
    (folder / "labelsTr" / "b.nii.gz").rename(folder / "labelsTr" / "b.NII.GZ")
    dataset = read_dataset(folder)
    assert [case.id for case in dataset.cases] == ["a", "b", "c"]
    assert dataset.cases[1].label == folder / "labelsTr" / "b.NII.GZ"
    assert dataset.left_out == ()


def test_the_two_forms_of_an_accent_belong_together(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    describe(folder, patients={"K\u00e4se": "p"})
    (folder / "imagesTr" / "b_0000.nii.gz").rename(folder / "imagesTr" / "Ka\u0308se_0000.nii.gz")
    (folder / "labelsTr" / "b.nii.gz").rename(folder / "labelsTr" / "K\u00e4se.nii.gz")
    assert read_dataset(folder).patients == {"a": "a", "c": "c", "K\u00e4se": "p"}
    shutil.copy(folder / "labelsTr" / "K\u00e4se.nii.gz", folder / "labelsTr" / "Ka\u0308se.nii.gz")
    with pytest.raises(DatasetError, match="the same case as"):
        read_dataset(folder)


def test_cases_that_differ_in_capitals_alone_are_refused(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    for place, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        shutil.copy(folder / place / f"a{ending}", folder / place / f"A{ending}")
    with pytest.raises(DatasetError, match="is that of the case A but for capitals"):
        read_dataset(folder)


def test_a_missing_ending_is_inferred(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, ending=".nrrd")
    describe(folder, file_ending=None)
    dataset = read_dataset(folder)
    assert dataset.file_ending == ".nrrd"
    assert "inferred: .nrrd" in dataset.notes[0]


@pytest.mark.parametrize(
    ("values", "labels"),
    [((1, 0, 1), LABELS), ((255, 255, 0), LABELS), ((1, 2, 1), {"background": 0, "label_1": 1, "label_2": 2})],
)
def test_a_missing_description_is_inferred_and_said(
    tmp_path: Path, values: tuple[int, ...], labels: dict[str, int]
) -> None:
    folder = raw_dataset(tmp_path, ending=".mha")
    (folder / "dataset.json").unlink()
    for case, value in zip("abc", values, strict=True):
        write_mask(folder / "labelsTr" / f"{case}.mha", tiny_mask(value), GRID)
    dataset = read_dataset(folder)
    assert (dataset.channels, dataset.labels, dataset.file_ending) == (("T2",), labels, ".mha")
    assert "dataset.json is missing; inferred: one channel (T2), labels background 0" in dataset.notes[0]


@pytest.mark.parametrize(("value", "words"), [(3, "the masks hold 0, 3"), (0, "the masks hold 0")])
def test_labels_that_cannot_be_inferred_are_said(tmp_path: Path, value: int, words: str) -> None:
    folder = raw_dataset(tmp_path, cases=1)
    (folder / "dataset.json").unlink()
    write_mask(folder / "labelsTr" / "a.nii.gz", tiny_mask(value), GRID)
    with pytest.raises(InputError, match=words):
        read_dataset(folder)


def test_missing_folders_are_said(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path / "cohort")
    with pytest.raises(InputError, match=r"elsewhere: there is no such folder.*imagesTr/CASE_0000.nii.gz"):
        read_dataset(tmp_path / "elsewhere")
    shutil.rmtree(folder / "labelsTr")
    with pytest.raises(InputError, match="labelsTr: there is no such folder"):
        read_dataset(folder)


def test_a_dataset_without_cases_is_refused(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=2)
    describe(folder, file_ending=".nrrd")
    with pytest.raises(InputError, match=r"no file ends with .nrrd, but 2 \*.nii.gz"):
        read_dataset(folder)
    for path in (folder / "imagesTr").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"there is no case: no file ends with .nrrd"):
        read_dataset(folder)


def test_every_file_that_does_not_fit_is_listed(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=5, channels=2, test_cases=1)
    describe(folder, channel_names={"0": "T1", "1": "T2"}, patients={"a": "anna", "b": "bert", "y": "yves"})
    images, labels = folder / "imagesTr", folder / "labelsTr"
    (images / "b_0001.nii.gz").unlink()
    (labels / "c.nii.gz").unlink()
    for path in images.glob("d_*"):
        path.unlink()
    (images / "e_0001.nii.gz").rename(images / "e_0002.nii.gz")
    (folder / "imagesTs" / "t_0000.nii.gz").unlink()
    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)
    found = {(error.case, Path(str(error.file)).name): error.problem for error in caught.value.errors}
    assert found == {
        ("b", "b_0001.nii.gz"): "channel 1 (T2) is missing",
        ("c", "c.nii.gz"): "the mask is missing",
        ("d", "d.nii.gz"): "there is a mask, but no image in imagesTr",
        ("e", "e_0001.nii.gz"): "channel 1 (T2) is missing",
        ("e_0002", "e_0002.nii.gz"): "its name does not tell which of the 2 channels (T1, T2) it is",
        ("t", "t_0000.nii.gz"): "channel 0 (T1) is missing",
        (None, "dataset.json"): "patients names cases that the dataset lacks: y",
    }
    assert all(error.remedy for error in caught.value.errors)


def test_two_files_for_one_case_are_refused(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    shutil.copy(folder / "imagesTr" / "b_0000.nii.gz", folder / "imagesTr" / "b.nii.gz")
    with pytest.raises(DatasetError, match=r"case b.*is the same case and channel"):
        read_dataset(folder)


def test_scans_are_found_in_a_folder_or_by_a_file(tmp_path: Path) -> None:
    images = raw_dataset(tmp_path, channels=2) / "imagesTr"
    pairs = find_scans(images, ("T1", "T2"))
    assert [(case.id, case.patient, len(case.images), case.label) for case in pairs] == [
        (name, name, 2, None) for name in "abc"
    ]
    assert find_scans(images / "b_0001.nii.gz", ("T1", "T2")) == [pairs[1]]
    assert find_scans(images / "b_0000.nii.gz", ("T2",)) == [replace(pairs[1], images=pairs[1].images[:1])]
    write_image(images / "d.mha", tiny_image(), GRID)
    singles = find_scans(images, ("T2",))
    assert [case.id for case in singles] == ["a", "b", "c", "d"]


def test_scans_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    images = raw_dataset(tmp_path, cases=1) / "imagesTr"
    with pytest.raises(InputError, match="no such file or folder"):
        find_scans(tmp_path / "x", ("T2",))
    with pytest.raises(InputError, match="no scan in this folder"):
        find_scans(tmp_path, ("T2",))
    with pytest.raises(InputError, match=r"dataset.json: the file is no scan"):
        find_scans(tmp_path / "dataset.json", ("T2",))
    with pytest.raises(DatasetError, match=r"a_0001.nii.gz: channel 1 \(T1\) is missing"):
        find_scans(images, ("T2", "T1"))
