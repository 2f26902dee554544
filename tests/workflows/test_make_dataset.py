"""From scans and masks as they lie about to a dataset under pseudonyms, whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consoles import Heard
from raw_dataset import GRID, tiny_image, tiny_mask
from slicer import write_seg_nrrd

from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset import Dataset
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.data.outlined_slices import OutlinedSlices
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.make_dataset import make_dataset

SECRET = "mueller_erika"


def shifted(place: int) -> Geometry:
    return Geometry(GRID.shape, GRID.spacing_mm, (100.0 * place, -2.0, 3.0), GRID.direction)


def scans(folder: Path, names: list[str]) -> None:
    """An image for each name, each at a place of its own in the world."""
    for place, name in enumerate(names):
        write_image(folder / "scans" / f"{name}.nii.gz", tiny_image(place), shifted(place))


def cohort(folder: Path, names: list[str]) -> None:
    scans(folder, names)
    for place, name in enumerate(names):
        write_mask(folder / "masks" / f"{name}.nii.gz", tiny_mask(), shifted(place))


def made(folder: Path, **wishes: Any) -> tuple[Dataset, dict[str, dict[str, str]]]:
    """The dataset, and the rows of its key by the name of the image."""
    key = make_dataset(folder / "scans", folder / "masks", folder / "out" / "cohort", **wishes)
    assert key == folder / "out" / "cohort_key.csv"
    lines = key.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# Who is who")
    assert "never pass it on" in lines[0]
    rows = {Path(row["image"]).name.split(".")[0]: row for row in csv.DictReader(lines[1:])}
    return read_dataset(folder / "out" / "cohort"), rows


def test_voxels_and_grids_arrive_under_pseudonyms(tmp_path: Path) -> None:
    names = [SECRET, "huber_max", "ay_ece"]
    cohort(tmp_path, names)
    data, key = made(tmp_path)
    assert [case.id for case in data.cases] == ["case_001", "case_002", "case_003"]
    assert (data.channels, data.labels) == (("T2",), {"background": 0, "lesion": 1})
    assert data.patients == {f"case_00{n}": f"patient_0{n}" for n in (1, 2, 3)}
    cases = {case.id: case for case in data.cases}
    for place, name in enumerate(names):
        case = cases[key[name]["case"]]
        image, grid = read_image(case.images[0])
        np.testing.assert_array_equal(image, tiny_image(place))
        assert not grid.differences(shifted(place))
        assert case.label is not None
        mask, grid = read_mask(case.label)
        np.testing.assert_array_equal(mask, tiny_mask())
        assert not grid.differences(shifted(place))
        assert Path(key[name]["mask"]) == tmp_path / "masks" / f"{name}.nii.gz"


def test_no_source_is_named_in_the_dataset(tmp_path: Path) -> None:
    cohort(tmp_path, [SECRET, "huber_max"])
    made(tmp_path)
    files = [path for path in (tmp_path / "out" / "cohort").rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in files:
        assert b"mueller" not in path.read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_file()] == ["cohort_key.csv"]


def test_numbers_follow_the_images_and_not_their_names(tmp_path: Path) -> None:
    for folder, names in ((tmp_path / "one", ["a", "b", "c", "d"]), (tmp_path / "two", ["z", "y", "x", "w"])):
        cohort(folder, names)
    one, two = made(tmp_path / "one")[1], made(tmp_path / "two")[1]
    numbers = [one[name]["case"] for name in "abcd"]
    assert numbers == [two[name]["case"] for name in "zyxw"] != sorted(numbers)


def test_a_slicer_file_and_a_plain_mask_make_the_same_case(tmp_path: Path) -> None:
    for kind in ("slicer", "plain", "cropped", "turned"):
        scans(tmp_path / kind, ["anna"])
    box = (slice(2, 4), slice(3, 6), slice(4, 8))
    mask = tiny_mask()
    cropped = Geometry(mask[box].shape, GRID.spacing_mm, (4 * 0.7, -2.0 + 3 * 0.8, 3.0 + 2 * 3.0))
    turned = Geometry(GRID.shape, GRID.spacing_mm, (9 * 0.7, -2.0, 3.0), (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    write_seg_nrrd(tmp_path / "slicer/masks/anna.seg.nrrd", mask[None], shifted(0), {"lesion": (0, 1)})
    write_seg_nrrd(tmp_path / "cropped/masks/anna.seg.nrrd", mask[box][None], cropped, {"lesion": (0, 1)})
    write_mask(tmp_path / "plain/masks/anna.nii.gz", mask, shifted(0))
    write_mask(tmp_path / "turned/masks/anna.mha", mask[:, :, ::-1], turned)
    written = []
    for kind in ("slicer", "plain", "cropped", "turned"):
        data, _ = made(tmp_path / kind)
        assert data.cases[0].label is not None
        written.append([path.read_bytes() for path in (*data.cases[0].images, data.cases[0].label)])
    assert written[0] == written[1] == written[2] == written[3]


def test_segments_are_chosen_by_name_and_merged(tmp_path: Path) -> None:
    scans(tmp_path, ["anna"])
    lesion, node = tiny_mask(), np.roll(tiny_mask(), 1, axis=1)
    segments = {"Lesion": (0, 1), "node": (1, 1)}
    write_seg_nrrd(tmp_path / "masks/anna.seg.nrrd", np.stack([lesion, node]), shifted(0), segments)
    shown: list[str] = []
    for wishes, expected in (({"segments": ["lesion"]}, lesion), ({}, lesion | node)):
        key = make_dataset(
            tmp_path / "scans",
            tmp_path / "masks",
            tmp_path / f"out{len(shown)}",
            confirm=lambda table: not shown.append(table),
            **wishes,
        )
        written, _ = read_mask(key.with_name(key.name.removesuffix("_key.csv")) / "labelsTr/case_001.nii.gz")
        np.testing.assert_array_equal(written, expected)
    assert "Lesion, node (merged where they overlap, 12 voxels)" in shown[1]
    with pytest.raises(DatasetError, match=r"none of the segments tumour, but Lesion, node\. Name with --segments"):
        made(tmp_path, segments=["tumour"])


def test_segments_are_merged_and_left_out_with_a_word_only(tmp_path: Path) -> None:
    scans(tmp_path, ["anna", "ben"])
    layers = np.stack([tiny_mask(), np.roll(tiny_mask(), 3, axis=1)])
    write_seg_nrrd(tmp_path / "masks/anna.seg.nrrd", layers, shifted(0), {"Lesion": (0, 1), "node": (1, 1)})
    write_mask(tmp_path / "masks/ben.nii.gz", tiny_mask(), shifted(1))
    with pytest.raises(InputError, match=r"no mask has a segment lesoin; there are 1, Lesion, node\. Mend"):
        made(tmp_path, segments=["lesoin", "node", "1"])
    assert not (tmp_path / "out").exists()
    console, left = Heard(), Inventory(strict=True)
    made(tmp_path, segments=["lesion", "1"], left=left, console=console)
    assert [(one.what, one.where, one.why) for one in left.found] == [("segment", "node", "not chosen by --segments")]
    assert console.warned == []
    make_dataset(tmp_path / "scans", tmp_path / "masks", tmp_path / "all", console=console)
    (warned,) = console.warned
    assert "1 mask with several segments (Lesion, node), which become one label, lesion." in warned


def test_a_dataset_that_lies_among_its_scans_is_none_of_them(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna", "ben"])
    data = tmp_path / "data"
    make_dataset(tmp_path, tmp_path / "masks", data)
    write_image(tmp_path / "scans/carl.nii.gz", tiny_image(2), shifted(2))
    write_mask(tmp_path / "masks/carl.nii.gz", tiny_mask(), shifted(2))
    left = Inventory(strict=True)
    make_dataset(tmp_path, tmp_path / "masks", data, add=True, left=left)
    assert len(read_dataset(data).cases) == 3
    assert {one.why for one in left.found} == {"of the dataset itself"}


def test_the_table_shows_every_pair_before_anything_is_written(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna", "ben"])
    (tmp_path / "masks/ben.nii.gz").rename(tmp_path / "masks/x.nii.gz")
    write_image(tmp_path / "scans/carl.nii.gz", tiny_image(7), shifted(7))
    (tmp_path / "scans/dora.nii.gz").write_bytes(b"no image")
    before = sorted(tmp_path.rglob("*"))
    tables: list[str] = []
    with pytest.raises(InputError, match="not confirmed; nothing is written"):
        made(tmp_path, confirm=lambda table: bool(tables.append(table)))
    assert sorted(path for path in tmp_path.rglob("*") if path != tmp_path / "out") == before
    head, anna, ben, *rest = tables[0].splitlines()
    assert head.split() == ["case", "patient", "set", "image", "mask", "drawn", "mL", "fit"]
    assert anna.split()[2:] == ["train", "anna", "anna.nii.gz", "1", "0.03", "same", "grid"]
    assert ben.split()[2:] == ["train", "ben", "x.nii.gz", "1", "0.03", "same", "grid,", "no", "common", "name"]
    assert rest[1:3] == ["Left out: 1 image without a mask:", "  - carl"]
    assert "dora.nii.gz: the file is no image that can be read" in rest[4]


@pytest.mark.parametrize("strict", [True, False])
def test_masks_that_do_not_fit_are_all_named_and_cost_their_patients_alone(tmp_path: Path, strict: bool) -> None:
    cohort(tmp_path, ["anna", "ben", "carl"])
    write_mask(tmp_path / "masks/anna.nii.gz", tiny_mask(), Geometry(GRID.shape, (3.0, 0.9, 0.7), (0.0, -2.0, 3.0)))
    write_mask(tmp_path / "masks/dora.nii.gz", tiny_mask(), shifted(9))
    outside = Geometry(GRID.shape, GRID.spacing_mm, (100.0 - 5 * 0.7, -2.0, 3.0))
    write_mask(tmp_path / "masks/ben.nii.gz", tiny_mask(), outside)
    problem = "3 masks or scans can't be used" + ("; nothing is written" if strict else " and were left out")
    with pytest.raises(DatasetError if strict else SomeCasesFailedError, match=problem) as caught:
        made(tmp_path, left=Inventory(strict))
    said = [str(error) for error in caught.value.errors]
    assert "anna.nii.gz: named as anna, but its voxels are 0.7 x 0.9 x 3 mm" in said[0]
    assert "dora.nii.gz: no image has its name, and none its grid. Give mask and image the same name" in said[1]
    assert "ben.nii.gz: 6 of its voxels lie outside the image" in said[2]
    assert (tmp_path / "out").exists() is not strict
    if not strict:
        assert list(read_dataset(tmp_path / "out" / "cohort").patients.values()) == ["patient_01"]


@pytest.mark.parametrize("name", ["anna_corrected", "Copy of anna", "anna (1)"])
def test_a_mask_beside_its_corrected_copy_is_not_trained_on(tmp_path: Path, name: str) -> None:
    cohort(tmp_path, ["anna", "ben"])
    write_mask(tmp_path / "masks" / f"{name}.nii.gz", tiny_mask(), shifted(0))
    with pytest.raises(SomeCasesFailedError) as caught:
        made(tmp_path, left=Inventory())
    (said,) = map(str, caught.value.errors)
    assert f"{name}.nii.gz: it looks like a corrected mask of anna, and anna.nii.gz lies beside it" in said
    assert "Save it as anna.nii.gz, in place of the other" in said
    assert [case.id for case in read_dataset(tmp_path / "out" / "cohort").cases] == ["case_001"]


def test_without_any_mask_that_can_be_used_nothing_is_written(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna"])
    write_mask(tmp_path / "masks/anna.nii.gz", tiny_mask(), Geometry(GRID.shape, (3.0, 0.9, 0.7), (0.0, -2.0, 3.0)))
    with pytest.raises(DatasetError, match="1 of 1 masks can't be used; nothing is written"):
        made(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_share_of_the_patients_is_validation_by_seed(tmp_path: Path) -> None:
    names = [f"{name}/{year}" for name in ("a", "b", "c", "d", "e") for year in ("2019", "2021")]
    cohort(tmp_path, names)
    tests = []
    for number, seed in enumerate((3, 3, 4)):
        key = make_dataset(
            tmp_path / "scans",
            tmp_path / "masks",
            tmp_path / f"out{number}",
            patients="folders",
            test_share=0.4,
            seed=seed,
        )
        data = read_dataset(tmp_path / f"out{number}")
        assert (len(data.cases), len(data.test_cases)) == (6, 4)
        assert not {case.patient for case in data.cases} & {case.patient for case in data.test_cases}
        rows = list(csv.DictReader(key.read_text(encoding="utf-8").splitlines()[1:]))
        assert {row["source_patient"] for row in rows} == set("abcde")
        tests.append({row["source_patient"] for row in rows if row["set"] == "test"})
        assert all(case.label is not None for case in data.test_cases)
        assert json.loads((tmp_path / f"out{number}/dataset.json").read_text())["numTraining"] == 6
    assert tests[0] == tests[1] != tests[2]
    with pytest.raises(InputError, match="of 5 patients 4 would be test patients"):
        made(tmp_path, patients="folders", test_share=0.8)


def test_visits_are_joined_on_the_users_word(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna_v1", "anna_v2", "ben_v1", "carl"])
    data, key = made(tmp_path, visits="join")
    assert len(set(data.patients.values())) == 3
    assert key["anna_v1"]["patient"] == key["anna_v2"]["patient"] != key["ben_v1"]["patient"]


def test_folders_that_look_like_visits_are_warned_of_and_joined_on_the_users_word(tmp_path: Path) -> None:
    names = ["anna_v1/t2", "anna_v2/t2", "ben/t2", "carl/t2"]
    for folder in (tmp_path / "apart", tmp_path / "joined"):
        cohort(folder, names)
    heard = Heard()
    apart, _ = made(tmp_path / "apart", patients="folders", console=heard)
    joined, _ = made(tmp_path / "joined", patients="folders", visits="join")
    assert [len(set(data.patients.values())) for data in (apart, joined)] == [4, 3]
    assert any("visits of one patient" in text and "anna_v1, anna_v2" in text for text in heard.warned)


@pytest.mark.parametrize(
    ("there", "words"), [("cohort/x", "it exists already"), ("cohort_key.csv", "holds no row of a key")]
)
def test_what_exists_is_never_overwritten(tmp_path: Path, there: str, words: str) -> None:
    cohort(tmp_path, ["anna"])
    path = tmp_path / "out" / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputError, match=words):
        made(tmp_path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("label", ["", "background", "ignore"])
def test_a_label_that_means_something_else_is_refused(tmp_path: Path, label: str) -> None:
    cohort(tmp_path, ["anna"])
    with pytest.raises(InputError, match=f'can\'t be called "{label}"'):
        made(tmp_path, label=label)


def test_an_empty_folder_may_become_the_dataset(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna"])
    (tmp_path / "out" / "cohort").mkdir(parents=True)
    assert len(made(tmp_path)[0].cases) == 1


@pytest.mark.parametrize("strict", [True, False])
def test_a_scan_that_fails_while_it_is_written_costs_its_patient_alone(tmp_path: Path, strict: bool) -> None:
    cohort(tmp_path, ["anna", "ben"])
    image = tiny_image()
    image[2, 3, 4] = np.nan
    write_image(tmp_path / "scans/ben.nii.gz", image, shifted(1))
    with pytest.raises(DatasetError if strict else SomeCasesFailedError, match="NaN"):
        made(tmp_path, left=Inventory(strict))
    assert (tmp_path / "out").exists() is not strict
    if not strict:
        assert len(read_dataset(tmp_path / "out/cohort").cases) == 1
        assert "ben" not in (tmp_path / "out/cohort_key.csv").read_text()


def test_the_same_image_twice_is_taken_once(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna", "ben"])
    write_image(tmp_path / "scans/ben.nii.gz", tiny_image(0), shifted(0))
    write_mask(tmp_path / "masks/ben.nii.gz", tiny_mask(), shifted(0))
    with pytest.raises(SomeCasesFailedError, match="it is the same image as anna"):
        made(tmp_path)
    assert len(read_dataset(tmp_path / "out/cohort").cases) == 1


def test_an_empty_mask_is_legal(tmp_path: Path) -> None:
    scans(tmp_path, ["anna"])
    write_mask(tmp_path / "masks/anna.nii.gz", tiny_mask(0), shifted(0))
    tables: list[str] = []
    data, _ = made(tmp_path, confirm=lambda table: not tables.append(table), segments=["1"])
    assert data.cases[0].label is not None
    assert not read_mask(data.cases[0].label)[0].any()
    assert " nothing  0.00 " in tables[0]


@pytest.mark.parametrize(
    ("images", "masks", "words"), [("none", "masks", "no such file"), ("scans", "none", "no such")]
)
def test_folders_that_are_not_there_are_named(tmp_path: Path, images: str, masks: str, words: str) -> None:
    cohort(tmp_path, ["anna"])
    with pytest.raises(InputError, match=words):
        make_dataset(tmp_path / images, tmp_path / masks, tmp_path / "out")


def test_slices_that_nobody_has_looked_at_are_ignored(tmp_path: Path) -> None:
    """tiny_mask lies on slices 3 and 4 of 6."""
    cohort(tmp_path, ["anna", "bert"])
    for place, name in enumerate(["anna", "bert"]):
        mask = tiny_mask()
        mask[2] = 0
        write_mask(tmp_path / "masks" / f"{name}.nii.gz", mask, shifted(place))
    shown: list[str] = []
    data, _ = made(tmp_path, outlined_slices=OutlinedSlices.parse("2:2"), confirm=lambda table: not shown.append(table))
    assert "3 of 6 slices looked at" in shown[0]
    assert data.mask_labels == {"background": 0, "lesion": 1, "ignore": 2}
    for case in data.cases:
        _, mask, _ = read_case(case, data.mask_labels)
        assert mask is not None
        assert (mask[::2] == IGNORE).all()
        np.testing.assert_array_equal(mask[1::2], [0 * tiny_mask()[0], tiny_mask()[3], 0 * tiny_mask()[0]])


def test_an_outline_on_another_slice_costs_that_mask_alone(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna", "bert"])
    mask = tiny_mask()
    mask[2] = 0
    write_mask(tmp_path / "masks" / "anna.nii.gz", mask, shifted(0))
    with pytest.raises(SomeCasesFailedError, match="hold an outline: 3") as caught:
        made(tmp_path, outlined_slices=OutlinedSlices.parse("4,6"))
    assert [error.file for error in caught.value.errors] == [tmp_path / "masks" / "bert.nii.gz"]
    assert len(read_dataset(tmp_path / "out" / "cohort").cases) == 1


def test_a_segment_called_ignore_is_where_nobody_has_looked(tmp_path: Path) -> None:
    scans(tmp_path, ["anna"])
    mask = tiny_mask()
    mask[5] = 2
    write_seg_nrrd(tmp_path / "masks/anna.seg.nrrd", mask[None], shifted(0), {"VM": (0, 1), "Ignore": (0, 2)})
    console = Heard()
    data, _ = made(tmp_path, console=console)
    _, found, _ = read_case(data.cases[0], data.mask_labels)
    np.testing.assert_array_equal(found, np.where(mask == 2, IGNORE, mask))
    assert not console.warned


def test_masks_of_other_slices_are_added_by_a_command_of_their_own(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna"])
    assert made(tmp_path)[0].ignore is None
    cohort(tmp_path, ["anna", "bert"])
    data, key = made(tmp_path, add=True, outlined_slices=OutlinedSlices.parse("drawn"))
    assert data.ignore == 2
    masks = {case.id: read_case(case, data.mask_labels)[1] for case in data.cases}
    whole, partly = (masks[key[name]["case"]] for name in ("anna", "bert"))
    assert whole is not None
    assert partly is not None
    np.testing.assert_array_equal(whole, tiny_mask())
    assert ((partly == IGNORE).all(axis=(1, 2)) == ~tiny_mask().any(axis=(1, 2))).all()


def test_masks_added_to_others_annotated_in_part_are_not_taken_for_whole_ones_silently(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna"])
    made(tmp_path, outlined_slices=OutlinedSlices.parse("drawn"))
    cohort(tmp_path, ["anna", "bert"])
    console = Heard()
    data, _ = made(tmp_path, add=True, console=console)
    assert len(data.cases) == 2
    (warning,) = console.warned
    assert "bert.nii.gz would count as annotated on every slice" in warning
    assert "--outlined-slices" in warning


def test_a_value_that_the_dataset_ignores_is_not_taken_for_a_lesion(tmp_path: Path) -> None:
    cohort(tmp_path, ["anna"])
    made(tmp_path, outlined_slices=OutlinedSlices.parse("drawn"))
    cohort(tmp_path, ["anna", "bert"])
    mask = tiny_mask()
    mask[5] = 2
    write_mask(tmp_path / "masks" / "bert.nii.gz", mask, shifted(1))
    with pytest.raises(InputError, match='it holds 2, which is "ignore" in this dataset'):
        made(tmp_path, add=True)
    assert len(read_dataset(tmp_path / "out" / "cohort").cases) == 1
