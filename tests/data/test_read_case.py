"""Each case is checked as it is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from raw_dataset import GRID, LABELS, describe, raw_dataset, tiny_image, tiny_mask
from slicer import write_seg_nrrd

from vmseg_auto.data.cases import content_hash, over_cases, read_case, read_dataset
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.labels import IGNORE


def one_case(folder: Path, channels: int = 1) -> Case:
    return read_dataset(raw_dataset(folder, cases=1, channels=channels)).cases[0]


def test_a_case_is_read(tmp_path: Path) -> None:
    case = one_case(tmp_path, channels=2)
    notes: list[str] = []
    image, mask, geometry = read_case(case, LABELS, notes)
    np.testing.assert_array_equal(image, np.stack([tiny_image(0), tiny_image(1)]))
    np.testing.assert_array_equal(mask, tiny_mask())
    assert not geometry.differences(GRID)
    assert not notes
    assert read_case(replace(case, label=None))[1] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spacing_mm": (3.0, 0.8, 0.71)}, "spacing 0.71 x 0.8 x 3 mm against 0.7 x 0.8 x 3 mm"),
        ({"origin_mm": (1.0, -2.0, 4.0)}, "origin 1, -2, 4 mm against 1, -2, 3 mm"),
        ({"direction": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)}, "axes that point up to"),
        ({"shape": (6, 9, 11)}, "size 11 x 9 x 6 against 10 x 9 x 6"),
    ],
)
@pytest.mark.parametrize("of_mask", [True, False])
def test_files_on_different_grids_are_refused(
    tmp_path: Path, changes: dict[str, tuple[float, ...]], words: str, of_mask: bool
) -> None:
    case = one_case(tmp_path, channels=2)
    other = replace(GRID, **changes)  # type: ignore[arg-type]
    path = case.label if of_mask else case.images[1]
    assert path is not None
    if of_mask:
        write_mask(path, tiny_mask(shape=other.shape), other)
    else:
        write_image(path, tiny_image(shape=other.shape), other)
    with pytest.raises(InputError, match=f"does not lie on the grid of a_0000.nii.gz: .*{words}") as caught:
        read_case(case, LABELS)
    assert (caught.value.case, caught.value.file) == ("a", path)


def test_values_that_no_label_has_are_refused(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert case.label is not None
    mask = tiny_mask()
    mask[0, 0, :2] = 4, 7
    write_mask(case.label, mask, GRID)
    with pytest.raises(InputError, match=r"holds 4, 7, which is no label \(background 0, lesion 1\)"):
        read_case(case, LABELS)
    assert read_case(case)[1] is not None


def test_a_mask_of_0_and_255_is_read_as_0_and_1_and_said(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert case.label is not None
    write_mask(case.label, tiny_mask(255), GRID)
    notes: list[str] = []
    np.testing.assert_array_equal(read_case(case, LABELS, notes)[1], tiny_mask())
    assert notes == ["case a: the mask holds 0 and 255, read as 0 and 1"]
    with pytest.raises(InputError, match="holds 255"):
        read_case(case, LABELS | {"other": 2})


def test_an_empty_mask_is_legal_and_said(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert case.label is not None
    write_mask(case.label, tiny_mask(0), GRID)
    notes: list[str] = []
    assert read_case(case, LABELS, notes)[1] is not None
    assert notes == ["case a: the mask is empty"]


def test_an_empty_image_is_refused(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    write_image(case.images[0], 0 * tiny_image(), GRID)
    with pytest.raises(InputError, match="the image is empty") as caught:
        read_case(case, LABELS)
    assert caught.value.file == case.images[0]


def test_everything_wrong_with_a_case_is_said_at_once(tmp_path: Path) -> None:
    case = one_case(tmp_path, channels=2)
    assert case.label is not None
    case.images[0].write_bytes(b"no image")
    write_mask(case.label, tiny_mask(9), replace(GRID, spacing_mm=(1.0, 1.0, 1.0)))
    with pytest.raises(DatasetError) as caught:
        read_case(case, LABELS)
    problems = [error.problem for error in caught.value.errors]
    assert len(problems) == 3
    assert problems[0].startswith("the file is no image")
    assert problems[1].startswith("the mask holds 9")
    assert "spacing 1 x 1 x 1 mm" in problems[2]


def test_the_hash_needs_every_file(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert content_hash(case) != content_hash(replace(case, label=None))
    case.images[0].unlink()
    with pytest.raises(InputError, match="can't be read"):
        content_hash(case)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_case_that_fails_does_not_stop_the_others(jobs: int) -> None:
    cases = [Case(name, name, (Path(name),), None) for name in "dcba"]

    def work(case: Case) -> str:
        if case.id == "c":
            raise DatasetError("bad", [InputError("first", case="c"), InputError("second", case="c")])
        if case.id == "a":
            raise MemoryError
        return case.id.upper()

    steps: list[int] = []
    done, errors = over_cases(work, cases, jobs, lambda: steps.append(1))
    assert list(done.items()) == [("d", "D"), ("b", "B")]
    assert [error.problem for error in errors] == ["first", "second", "the memory is not enough for this case"]
    assert len(steps) == 4


def test_an_unexpected_error_names_its_case_and_its_traceback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def work(case: Case) -> str:
        if case.id == "b":
            raise InputError("a known one", case="b")
        return str(1 // 0)

    cases = [Case("a", "a", (Path("a.nii"),), None), Case("b", "b", (Path("b.nii"),), None)]
    done, errors = over_cases(work, cases, 2, lambda: None)
    assert not done
    assert [(one.case, one.problem.partition(":")[0]) for one in errors] == [
        ("a", "unexpected ZeroDivisionError"),
        ("b", "a known one"),
    ]
    assert isinstance(errors[0].__cause__, ZeroDivisionError)
    assert "Traceback" in caplog.text
    assert "return str(1 // 0)" in caplog.text


@pytest.mark.parametrize(("name", "count"), [("hippocampus53", 3), ("vmsemi53", 2), ("neck_cord", 2)])
def test_real_cases_are_read(shared_data: Path, name: str, count: int) -> None:
    dataset = read_dataset(shared_data / name)
    assert not dataset.notes
    for case in dataset.cases[:count]:
        image, mask, geometry = read_case(case, dataset.labels)
        assert mask is not None
        assert image.shape == (1, *geometry.shape)
        assert mask.shape == geometry.shape
        assert set(np.unique(mask)) == set(dataset.labels.values())


SPARSE = {**LABELS, "ignore": 2}


def sparse_mask() -> NDArray[np.uint8]:
    """A mask of which nobody has looked at the first three slices."""
    mask = tiny_mask()
    mask[:3] = 2
    return mask


def test_voxels_that_nobody_has_annotated_are_read_as_such(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert case.label is not None
    write_mask(case.label, sparse_mask(), GRID)
    notes: list[str] = []
    _, mask, _ = read_case(case, SPARSE, notes)
    assert mask is not None
    assert (mask[:3] == IGNORE).all()
    np.testing.assert_array_equal(mask[3:], tiny_mask()[3:])
    assert not notes
    with pytest.raises(InputError, match="holds 2, which is no label"):
        read_case(case, LABELS)


def test_a_mask_with_ignored_voxels_and_nothing_else_but_background_is_empty(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert case.label is not None
    write_mask(case.label, np.where(sparse_mask() == 2, 2, 0).astype(np.uint8), GRID)
    notes: list[str] = []
    read_case(case, SPARSE, notes)
    assert notes == ["case a: the mask is empty"]


def test_a_mask_that_nobody_has_annotated_anywhere_is_refused(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert case.label is not None
    write_mask(case.label, np.full(GRID.shape, 2, np.uint8), GRID)
    with pytest.raises(InputError, match="nobody has annotated it: every voxel is ignored") as caught:
        read_case(case, SPARSE)
    assert (caught.value.case, caught.value.file) == ("a", case.label)


def test_255_beside_a_label_ignore_is_not_guessed_at(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert case.label is not None
    write_mask(case.label, 255 * tiny_mask(), GRID)
    with pytest.raises(InputError, match="holds 255, which is no label"):
        read_case(case, SPARSE)


def test_a_segment_called_ignore_is_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(path, sparse_mask()[None], GRID, {"lesion": (0, 1), "ignore": (0, 2)})
    mask, _ = read_labels(path, SPARSE, GRID)
    np.testing.assert_array_equal(mask, np.where(sparse_mask() == 2, IGNORE, sparse_mask()))


def test_the_same_mask_is_another_content_with_the_label(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    assert content_hash(case) == content_hash(case, LABELS) != content_hash(case, SPARSE)


def test_a_dataset_tells_classes_from_what_masks_may_hold(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=1)
    assert read_dataset(folder).mask_labels == LABELS
    describe(folder, labels=SPARSE)
    data = read_dataset(folder)
    assert (data.labels, data.ignore, data.mask_labels) == (LABELS, 2, SPARSE)
