"""What has changed in a dataset since it was planned for is noticed, whatever it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from consoles import Heard
from raw_dataset import describe, raw_dataset, tiny_image

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import write_image
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.paths import read_fingerprint
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.staleness import Changes, changes_since, file_hashes, read_standing

GRID = Geometry((6, 18, 18), (3.0, 0.8, 0.7))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four cases, planned."""
    folder = raw_dataset(tmp_path / "data", cases=4, grid=GRID)
    plan_and_preprocess(folder, jobs=1)
    return folder


def looked_at(dataset: Path) -> Changes:
    data = read_dataset(dataset)
    return changes_since(read_fingerprint(Workspace(dataset / "vmseg")), data, file_hashes(data, 1))


def test_an_unchanged_dataset_stands(dataset: Path) -> None:
    left = Inventory()
    assert not looked_at(dataset)
    assert read_standing(dataset, Workspace(dataset / "vmseg"), left).fingerprint.cases.keys() == set("abcd")
    assert left.found == ()


def change_a_file(dataset: Path) -> None:
    write_image(dataset / "imagesTr" / "b_0000.nii.gz", 2 * tiny_image(shape=GRID.shape), GRID)


def remove_a_case(dataset: Path) -> None:
    (dataset / "imagesTr" / "b_0000.nii.gz").unlink()
    (dataset / "labelsTr" / "b.nii.gz").unlink()


def rename_a_label(dataset: Path) -> None:
    describe(dataset, channel_names={"0": "T1"}, labels={"background": 0, "malformation": 1})


def add_a_label(dataset: Path) -> None:
    describe(dataset, channel_names={"0": "T1"}, labels={"background": 0, "lesion": 1, "vein": 2})


def rename_a_channel(dataset: Path) -> None:
    describe(dataset, channel_names={"0": "FLAIR"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_a_file, "files changed: b"),
        (remove_a_case, "cases gone: b"),
        (rename_a_label, "labels: .* then, malformation 1 now"),
        (add_a_label, "labels: .* then, lesion 1, vein 2 now"),
        (rename_a_channel, "channels: T1 then, FLAIR now"),
    ],
)
def test_what_was_planned_with_must_be_as_it_was(dataset: Path, change: object, words: str) -> None:
    assert callable(change)
    change(dataset)
    with pytest.raises(InputError, match=rf"changed since it was planned for \({words}\).*vmseg_plan_and_pre"):
        read_standing(dataset, Workspace(dataset / "vmseg"), Inventory())


def test_cases_that_came_are_named(dataset: Path) -> None:
    for name in ("imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"):
        shutil.copy(dataset / name.format("a"), dataset / name.format("e"))
    (dataset / "imagesTs").mkdir(exist_ok=True)
    shutil.copy(dataset / "imagesTr" / "a_0000.nii.gz", dataset / "imagesTs" / "t_0000.nii.gz")
    left = Inventory()
    read_standing(dataset, Workspace(dataset / "vmseg"), left)
    assert looked_at(dataset) == Changes(new=("e",), tests=("imagesTs/t",))
    told = "2 cases, new or changed since the last `vmseg_plan_and_preprocess`: e, imagesTs/t"
    assert told in left.text()


def test_a_split_edited_since_is_checked(dataset: Path) -> None:
    path = Workspace(dataset / "vmseg").splits
    path.write_text('[{"train": ["a", "b"], "val": ["b", "c", "d"]}]')
    with pytest.raises(DatasetError, match="on both sides"):
        read_standing(dataset, Workspace(dataset / "vmseg"), Inventory())


def test_a_file_that_vanishes_is_named(dataset: Path) -> None:
    data = read_dataset(dataset)
    (dataset / "imagesTr" / "b_0000.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"case b.*can't be read"):
        file_hashes(data, 1)


def test_validation_cases_added_later_are_checked_and_compared(dataset: Path) -> None:
    """As a first planning does."""
    tests = dataset / "imagesTs"
    tests.mkdir(exist_ok=True)
    whole = (dataset / "imagesTr" / "a_0000.nii.gz").read_bytes()
    (tests / "t_0000.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="case t"):
        plan_and_preprocess(dataset, jobs=1)
    (tests / "t_0000.nii.gz").write_bytes(whole)
    heard = Heard()
    plan_and_preprocess(dataset, jobs=1, console=heard)
    assert any("imagesTs/t" in text and "identical" in text for text in heard.warned)
    again = Heard()
    plan_and_preprocess(dataset, jobs=1, console=again)
    assert any("Fingerprint kept" in text for text in again.said)
