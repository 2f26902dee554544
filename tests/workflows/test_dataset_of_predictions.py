"""Masks that were predicted and corrected become a dataset: the ones that count, and never a map of probabilities."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from dicom import grid_of, numbers
from numpy.typing import NDArray
from slicer import write_seg_nrrd
from workspaces import cohort, trained_run

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import read_mask, write_image, write_mask
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.evaluate import evaluate
from vmseg_auto.workflows.followup import follow_up
from vmseg_auto.workflows.make_dataset import make_dataset
from vmseg_auto.workflows.predict import predict

SHAPE = (8, 16, 16)
CASES = ("anna", "bert", "carl")


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `scans`, and their masks in two formats with all maps in `out`."""
    folder = tmp_path_factory.mktemp("predicted")
    model = trained_run(cohort(tmp_path_factory.mktemp("cohort")), "default").folder
    for seed, name in enumerate(CASES):
        image = numbers(SHAPE, seed).astype(np.float32)
        write_image(folder / "scans" / f"{name}.nii.gz", image, grid_of(SHAPE))
    wishes = {"save_probabilities": True, "save_uncertainty": True, "previews": True}
    predict(
        folder / "scans", folder / "out", model=model, device="cpu", mask_formats="nifti,seg.nrrd",
        **wishes,  # type: ignore[arg-type]
    )  # fmt: skip
    return folder


@pytest.fixture
def place(predicted: Path, tmp_path: Path) -> Path:
    shutil.copytree(predicted, tmp_path / "place")
    return tmp_path / "place"


def drawn(voxels: int) -> NDArray[np.uint8]:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 2, 1 : 1 + voxels] = 1
    return mask


def correct(out: Path) -> None:
    """One mask in its first format, one in its second, one not at all."""
    grid = read_mask(out / "anna.nii.gz")[1]
    write_mask(out / "anna.nii.gz", drawn(5), grid)
    write_seg_nrrd(out / "bert.seg.nrrd", drawn(7)[None], grid, {"lesion": (0, 1)})


def voxels(dataset: Path) -> list[int]:
    masks = [read_mask(case.label)[0] for case in read_dataset(dataset).cases if case.label]
    return sorted(int(mask.sum()) for mask in masks)


@pytest.mark.parametrize("scans", ["scans", "."], ids=["apart", "within"])
def test_the_masks_that_count_are_taken_and_all_else_is_named(place: Path, tmp_path: Path, scans: str) -> None:
    correct(place / "out")
    untouched = int(read_mask(place / "out/carl.nii.gz")[0].sum())
    left = Inventory(strict=True)
    heard = Heard()
    make_dataset(place / scans, place / "out", tmp_path / "made", left=left, console=heard)
    assert any("1 mask as vmseg_predict wrote them" in text and "carl.nii.gz" in text for text in heard.warned)
    assert voxels(tmp_path / "made") == sorted([5, 7, untouched])
    why: dict[str, set[str]] = {}
    for one in left.found:
        why.setdefault(one.why, set()).add(one.where)
    maps = why["a map that vmseg_predict has made of probabilities, and no mask"]
    assert {"probabilities/lesion/anna.nii.gz", "uncertainty/anna_uncertainty.nii.gz"} <= maps
    assert why["as it was predicted, beside a corrected mask"] == {"anna.seg.nrrd", "bert.nii.gz"}
    assert why["a mask that counts in another format"] == {"carl.seg.nrrd"}
    beside = why["written beside masks by vmseg_predict"]
    assert {"anna.json", "volumes.csv", "sources.csv", "previews/anna_overlay.png"} <= beside


def test_two_corrected_files_of_one_case_cost_this_case_alone(place: Path, tmp_path: Path) -> None:
    correct(place / "out")
    write_mask(place / "out/bert.nii.gz", drawn(3), read_mask(place / "out/anna.nii.gz")[1])
    with pytest.raises(SomeCasesFailedError, match=r"bert\.nii\.gz, bert\.seg\.nrrd were changed, and only one"):
        make_dataset(place / "scans", place / "out", tmp_path / "made", left=Inventory())
    assert len(read_dataset(tmp_path / "made").cases) == 2


def test_predictions_beside_the_scans_are_never_taken_for_scans(place: Path, tmp_path: Path) -> None:
    write_mask(place / "drawn/anna.nii.gz", drawn(4), read_mask(place / "out/anna.nii.gz")[1])
    left = Inventory()
    make_dataset(place, place / "drawn", tmp_path / "made", left=left)
    assert voxels(tmp_path / "made") == [4]
    assert "out/bert.nii.gz" in {one.where for one in left.found if "no scan" in one.why}


@pytest.mark.parametrize("maps", ["out/probabilities/lesion", "out/uncertainty"])
def test_a_map_is_no_mask_in_any_command(place: Path, tmp_path: Path, maps: str) -> None:
    shutil.copytree(place / "out", tmp_path / "references", ignore=lambda _, names: [n for n in names if "." not in n])
    one = next((place / maps).glob("anna*.nii.gz"))
    write_image(one, np.zeros(SHAPE, np.float32), read_mask(place / "out/anna.nii.gz")[1])  # a certain one
    with pytest.raises(InputError, match=r"a map that vmseg_predict has made of probabilities.*Give a mask of"):
        make_dataset(place / "scans", one, tmp_path / "made")
    with pytest.raises(InputError, match="there is no mask"):
        make_dataset(place / "scans", place / maps, tmp_path / "made")
    for predictions, second in ((place / maps, None), (place / "out", place / maps)):
        with pytest.raises(InputError, match=r"each image in it is a map.*Give the folder .*out"):
            evaluate(predictions, tmp_path / "references", tmp_path / "scores", second_reader=second)
    scan = place / "scans/anna.nii.gz"
    with pytest.raises(InputError, match="a map that vmseg_predict has made"):
        follow_up(scan, scan, tmp_path / "followed", masks=(one, one))


def test_a_mask_that_is_named_by_itself_must_be_the_one_that_counts(place: Path, tmp_path: Path) -> None:
    correct(place / "out")
    scan = place / "scans/bert.nii.gz"
    problem = r"not the mask of this case that counts, which is bert\.seg\.nrrd"
    with pytest.raises(InputError, match=problem):
        make_dataset(scan, place / "out/bert.nii.gz", tmp_path / "made")
    with pytest.raises(InputError, match=problem):
        follow_up(scan, scan, tmp_path / "followed", masks=(place / "out/bert.nii.gz", place / "out/bert.nii.gz"))
    make_dataset(scan, place / "out/bert.seg.nrrd", tmp_path / "made")
    assert voxels(tmp_path / "made") == [7]


def test_masks_are_not_predicted_from(place: Path, tmp_path: Path) -> None:
    problem = "a mask or map that vmseg_predict has made, and no scan"
    for scans in (place / "out", place / "out/anna.nii.gz", place / "out/probabilities/lesion"):
        with pytest.raises((InputError, DatasetError), match=problem):
            follow_up(scans, scans, tmp_path / "followed")
