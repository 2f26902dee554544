"""Cases are preprocessed once, whole, and the same whoever prepares them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import GRID, LABELS, raw_dataset, tiny_image, tiny_mask
from tiny import PLAN

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.preprocessing.preprocess import preprocess
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE

NATIVE = replace(PLAN, axes=(1, 0, 2), spacing_mm=(0.8, 3.0, 0.7))


@pytest.fixture
def cases(tmp_path: Path) -> tuple[Case, ...]:
    return read_dataset(raw_dataset(tmp_path / "raw")).cases


@pytest.fixture
def folder(tmp_path: Path) -> PreprocessedFolder:
    return PreprocessedFolder(tmp_path / "preprocessed")


def test_cases_are_preprocessed(cases: tuple[Case, ...], folder: PreprocessedFolder) -> None:
    steps: list[int] = []
    done = preprocess(cases, NATIVE, folder, 2, LABELS, lambda: steps.append(1))
    assert (done.made, done.kept, done.failed) == (("a", "b", "c"), (), ())
    assert len(steps) == 3
    found = folder.load("b")
    assert found.crop_box == ((1, 5), (1, 8), (1, 9))
    assert not found.geometry.differences(GRID)
    cropped = tiny_image(10)[1:5, 1:8, 1:9].transpose(1, 0, 2)
    np.testing.assert_allclose(found.image[0], (cropped - cropped.mean()) / cropped.std(), atol=1e-5)
    assert found.label is not None
    np.testing.assert_array_equal(found.label, tiny_mask()[1:5, 1:8, 1:9].transpose(1, 0, 2))
    assert {tuple(at) for at in found.foreground[1].tolist()} == {tuple(at) for at in np.argwhere(found.label).tolist()}
    assert found.foreground[1].dtype == np.int32


def test_only_what_changed_is_done_again(cases: tuple[Case, ...], folder: PreprocessedFolder) -> None:
    preprocess(cases, NATIVE, folder, 2, LABELS)
    write_image(cases[1].images[0], tiny_image(99), GRID)
    (folder.folder / "c.json").unlink()
    done = preprocess(cases, NATIVE, folder, 2, LABELS)
    assert (done.made, done.kept) == (("b", "c"), ("a",))


def test_a_case_that_fails_does_not_stop_the_others(cases: tuple[Case, ...], folder: PreprocessedFolder) -> None:
    cases[0].images[0].write_bytes(b"no image")
    write_image(cases[1].images[0], 0 * tiny_image(), GRID)
    done = preprocess(cases, NATIVE, folder, 2, LABELS)
    assert done.made == ("c",)
    assert [error.case for error in done.failed] == ["a", "b"]
    assert folder.content("a") is None


def test_jobs_change_nothing(cases: tuple[Case, ...], tmp_path: Path) -> None:
    folders = [PreprocessedFolder(tmp_path / str(jobs)) for jobs in (1, 3)]
    for jobs, folder in zip((1, 3), folders, strict=True):
        preprocess(cases, replace(NATIVE, spacing_mm=(0.5, 2.0, 1.0)), folder, jobs, LABELS)
    for path in sorted(folders[0].folder.rglob("*.npy")):
        other = folders[1].folder / path.relative_to(folders[0].folder)
        assert path.read_bytes() == other.read_bytes()


def test_positions_are_drawn_by_the_cases_name(tmp_path: Path, folder: PreprocessedFolder) -> None:
    grid = Geometry((30, 30, 30), (1.0, 1.0, 1.0))
    mask = np.ones(grid.shape, dtype=np.uint8)
    mask[0, 0, :5] = 2
    files = tmp_path / "image.nii", tmp_path / "mask.nii"
    write_image(files[0], tiny_image(shape=grid.shape) + 1, grid)
    write_mask(files[1], mask, grid)
    twins = [Case(name, name, files[:1], files[1]) for name in ("a", "b", "empty")]
    twins[2] = replace(twins[2], label=None)
    labels = {"background": 0, "lesion": 1, "core": 2, "absent": 3}
    preprocess(twins, replace(PLAN, spacing_mm=(1.0, 1.0, 1.0)), folder, 2, labels)
    a, b, empty = (folder.load(case.id).foreground for case in twins)
    assert set(a) == {1, 2}
    assert a[1].shape == (10_000, 3)
    assert len(np.unique(a[1], axis=0)) == 10_000
    assert a[2].tolist() == [[0, 0, x] for x in range(5)]
    assert not np.array_equal(a[1], b[1])
    assert empty == {}
    again = PreprocessedFolder(tmp_path / "again")
    preprocess(twins[:1], replace(PLAN, spacing_mm=(1.0, 1.0, 1.0)), again, 1, labels)
    np.testing.assert_array_equal(again.load("a").foreground[1], a[1])


def test_labels_with_gaps_are_refused(cases: tuple[Case, ...], folder: PreprocessedFolder) -> None:
    with pytest.raises(ValueError, match="must be 0 to 1"):
        preprocess(cases, NATIVE, folder, 1, {"background": 0, "lesion": 2})


@pytest.mark.parametrize(("name", "count"), [("hippocampus53", 3), ("vmsemi53", 2), ("neck_cord", 2)])
def test_real_scans_are_preprocessed(shared_data: Path, folder: PreprocessedFolder, name: str, count: int) -> None:
    dataset = read_dataset(shared_data / name)
    plan = replace(PLAN, spacing_mm=(2.5, 1.2, 1.2))
    done = preprocess(dataset.cases[:count], plan, folder, 2, dataset.labels)
    assert len(done.made) == count
    for case_id in done.made:
        case = folder.load(case_id)
        assert case.label is not None
        assert case.image.shape[1:] == case.label.shape
        assert np.isfinite(case.image).all()
        assert sorted(case.foreground) == sorted(set(dataset.labels.values()) - {0})
        for index, positions in case.foreground.items():
            assert (case.label[tuple(positions.T)] == index).all()


SPARSE = {**LABELS, "ignore": 2}


def test_where_a_case_is_annotated_in_part_is_kept(cases: tuple[Case, ...], folder: PreprocessedFolder) -> None:
    assert cases[0].label is not None
    mask = tiny_mask()
    mask[:3] = 2
    write_mask(cases[0].label, mask, GRID)
    done = preprocess(cases, NATIVE, folder, 1, SPARSE)
    assert done.failed == ()
    found = folder.load("a")
    assert found.label is not None
    assert found.annotated is not None
    cropped = mask[1:5, 1:8, 1:9].transpose(1, 0, 2)
    np.testing.assert_array_equal(found.label, np.where(cropped == 2, IGNORE, cropped))
    assert {tuple(at) for at in found.annotated.tolist()} == {tuple(at) for at in np.argwhere(cropped != 2).tolist()}
    assert set(found.foreground) == {1}
    assert folder.load("b").annotated is None, "it is annotated as a whole"


def test_a_case_without_an_annotated_voxel_in_the_network_s_grid_is_refused(
    cases: tuple[Case, ...], folder: PreprocessedFolder
) -> None:
    assert cases[0].label is not None
    mask = np.full(GRID.shape, 2, np.uint8)
    mask[0] = 0  # in the rim that is cropped away
    write_mask(cases[0].label, mask, GRID)
    done = preprocess(cases, NATIVE, folder, 1, SPARSE)
    assert [(error.case, error.file) for error in done.failed] == [("a", cases[0].label)]
    assert "no annotated voxel is left" in str(done.failed[0])


def test_a_case_is_preprocessed_anew_when_its_mask_says_something_else(
    cases: tuple[Case, ...], folder: PreprocessedFolder
) -> None:
    preprocess(cases, NATIVE, folder, 1, {**LABELS, "vein": 2})
    assert preprocess(cases, NATIVE, folder, 1, SPARSE).made == ("a", "b", "c")
