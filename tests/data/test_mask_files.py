"""Of the files of a case's mask, the one that counts is known, and whether it was corrected."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import GRID, tiny_mask

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.images.segmentations import write_segmentation
from vmseg_auto.data.mask_files import SCHEMA, MaskFile, Standing, Written, case_of, is_corrected, mask_sha256, standing
from vmseg_auto.data.mask_folders import find_masks
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.json_codec import encode
from vmseg_auto.utils.left_out import Inventory

LABELS, COLOURS = {"background": 0, "lesion": 1}, {"lesion": "#D55E00"}
WRITTEN, EDITED = tiny_mask(), np.roll(tiny_mask(), 1, axis=2)


def put(folder: Path, name: str, mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = WRITTEN) -> MaskFile:
    path = folder / name
    if name.endswith(".seg.nrrd"):
        write_segmentation(path, mask, GRID, LABELS, COLOURS)
    else:
        write_mask(path, mask, GRID)
    return MaskFile.of(path)


def written_as(masks: tuple[MaskFile, ...], outdated: tuple[MaskFile, ...] = ()) -> Written:
    return Written("anna", masks, outdated, mask_sha256(WRITTEN), LABELS, GRID)


def record(folder: Path, *masks: MaskFile, outdated: tuple[MaskFile, ...] = ()) -> None:
    (folder / "anna.json").write_text(json.dumps({**encode(written_as(masks, outdated)), "schema": SCHEMA}))


def stands(folder: Path, *masks: MaskFile, outdated: tuple[MaskFile, ...] = ()) -> Standing:
    return standing(folder, written_as(masks, outdated))


def found(folder: Path, left: Inventory | None = None) -> tuple[dict[str, str], list[str]]:
    errors: list[VmsegError] = []
    masks = {case: path.name for case, path in find_masks(folder, errors, left).items()}
    return masks, [str(error) for error in errors]


def test_the_first_file_counts_until_another_is_corrected(tmp_path: Path) -> None:
    written = [put(tmp_path, name) for name in ("anna.nii.gz", "anna.seg.nrrd")]
    record(tmp_path, *written)
    there = stands(tmp_path, *written)
    assert (there.mask.name, there.state, len(there.sound), there.behind) == ("anna.nii.gz", "as written", 2, ())
    assert found(tmp_path) == ({"anna": "anna.nii.gz"}, [])
    put(tmp_path, "anna.seg.nrrd", EDITED)
    there = stands(tmp_path, *written)
    assert (there.mask.name, there.state) == ("anna.seg.nrrd", "edited")
    assert [path.name for path in there.behind] == ["anna.nii.gz"]
    left = Inventory(strict=True)
    assert found(tmp_path, left) == ({"anna": "anna.seg.nrrd"}, [])
    left.require_nothing()
    assert [one.why for one in left.found] == ["as it was predicted, beside a corrected mask"]
    assert (is_corrected(tmp_path / "anna.seg.nrrd"), is_corrected(tmp_path / "anna.nii.gz")) == (True, False)
    put(tmp_path, "anna.nii.gz", EDITED)
    with pytest.raises(InputError, match=r"anna\.nii\.gz, anna\.seg\.nrrd were changed, and only one can be right"):
        stands(tmp_path, *written)
    assert found(tmp_path)[0] == {}


@pytest.mark.parametrize("name", ["anna.nii", "anna.nrrd", "anna.mha", "anna.seg.nrrd", "anna.NII.GZ"])
def test_a_mask_saved_under_another_ending_is_the_corrected_one(tmp_path: Path, name: str) -> None:
    written = put(tmp_path, "anna.nii.gz")
    put(tmp_path, name, EDITED)
    put(tmp_path, "anna_2.nii", EDITED)
    there = stands(tmp_path, written)
    assert (there.mask.name, there.state, [path.name for path in there.behind]) == (name, "edited", ["anna.nii.gz"])


@pytest.mark.parametrize("name", ["anna.nii.gz", "anna.nii", "anna.mha", "anna.seg.nrrd"])
def test_a_mask_saved_again_or_converted_without_a_change_is_none_that_was_corrected(tmp_path: Path, name: str) -> None:
    written = put(tmp_path, "anna.nii.gz")
    record(tmp_path, written)
    if name == "anna.nii.gz":
        write_image(tmp_path / name, WRITTEN.astype(np.float32), GRID)
    else:
        put(tmp_path, name)
    there = stands(tmp_path, written)
    assert (there.mask.name, there.state, there.behind) == ("anna.nii.gz", "as written", ())
    assert not is_corrected(tmp_path / name)
    assert found(tmp_path) == ({"anna": "anna.nii.gz"}, [])
    (tmp_path / "anna.nii.gz").unlink()
    assert stands(tmp_path, written).state == ("missing" if name == "anna.nii.gz" else "as written")
    put(tmp_path, name, EDITED)
    assert (stands(tmp_path, written).mask.name, stands(tmp_path, written).state) == (name, "edited")


def test_the_same_values_on_another_grid_are_a_change(tmp_path: Path) -> None:
    written = put(tmp_path, "anna.nii.gz")
    write_mask(tmp_path / "anna.nii.gz", WRITTEN, replace(GRID, origin_mm=(9.0, 0.0, 0.0)))
    assert stands(tmp_path, written).state == "edited"


def test_an_earlier_prediction_is_never_read_in_the_place_of_the_mask(tmp_path: Path) -> None:
    old, new = put(tmp_path, "anna.nii.gz", EDITED), put(tmp_path, "anna.seg.nrrd")
    record(tmp_path, new, outdated=(old,))
    (tmp_path / "anna.seg.nrrd").unlink()
    masks, (error,) = found(tmp_path)
    assert masks == {}
    assert "its mask anna.seg.nrrd is missing; anna.nii.gz is of an earlier prediction" in error


def test_what_is_no_mask_and_lies_under_its_name_is_named(tmp_path: Path) -> None:
    written = put(tmp_path, "anna.nii.gz")
    (tmp_path / "anna.nrrd").write_bytes(b"NRRD0004\n")
    with pytest.raises(InputError, match=r"anna\.nrrd.*lies beside the mask of this case, and is none"):
        stands(tmp_path, written)


def test_a_damaged_file_gives_way_to_a_sound_one_and_is_never_taken_for_a_correction(tmp_path: Path) -> None:
    written = [put(tmp_path, name) for name in ("anna.nii.gz", "anna.mha")]
    whole = (tmp_path / "anna.nii.gz").read_bytes()
    (tmp_path / "anna.nii.gz").write_bytes(whole[: len(whole) // 2])
    there = stands(tmp_path, *written)
    assert (there.mask.name, there.state) == ("anna.mha", "as written")
    (tmp_path / "anna.mha").unlink()
    assert stands(tmp_path, *written).state == "damaged"
    (tmp_path / "anna.nii.gz").unlink()
    assert stands(tmp_path, *written).state == "missing"


@pytest.mark.parametrize("value", [0.5, 300.0, -1.0])
def test_a_correction_with_a_voxel_of_no_label_is_still_one(tmp_path: Path, value: float) -> None:
    """Smoothed or resampled, say: nobody may take it for damaged, and make it anew."""
    written = [put(tmp_path, "anna.nii.gz")]
    changed = EDITED.astype(np.float32)
    changed[0, 0, 0] = value
    write_image(tmp_path / "anna.nii.gz", changed, GRID)
    there = stands(tmp_path, *written)
    assert (there.mask.name, there.state) == ("anna.nii.gz", "edited")


def test_files_of_earlier_predictions_count_no_more_but_a_correction_of_one_does(tmp_path: Path) -> None:
    old, new = put(tmp_path, "anna.nii.gz", EDITED), put(tmp_path, "anna.seg.nrrd")
    assert stands(tmp_path, new, outdated=(old,)).mask.name == "anna.seg.nrrd"
    record(tmp_path, new, outdated=(old,))
    assert found(tmp_path) == ({"anna": "anna.seg.nrrd"}, [])
    put(tmp_path, "anna.nii.gz", np.roll(EDITED, 1, axis=1))
    assert stands(tmp_path, new, outdated=(old,)).mask.name == "anna.nii.gz"
    put(tmp_path, "anna.nii.gz", EDITED)
    (tmp_path / "anna.seg.nrrd").unlink()
    assert stands(tmp_path, new, outdated=(old,)).state == "missing"


def test_two_files_that_nothing_tells_of_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("anna.nii.gz", "anna.seg.nrrd"):
        put(tmp_path, name)
    masks, errors = found(tmp_path)
    assert masks == {}
    assert "the same case as anna.nii.gz" in errors[0]


def test_a_file_is_called_after_its_case_whatever_it_ends_with() -> None:
    names = ("a.b.nii.gz", "a.b.seg.nrrd", "a.b.SEG.NRRD", "a.b.nrrd", "a.b.dcm", "a.b.mha")
    assert {case_of(Path(name)) for name in names} == {"a.b"}
    assert case_of(Path("a.seg.nii")) == "a.seg"
