"""PNG and TIFF files with a voxel size beside them are scans; other pictures are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from raw_dataset import describe

from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.images.images import read_grid, read_image, read_mask, write_image, write_mask
from vmseg_auto.data.naming import image_files
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory

GRID, FLAT = Geometry((3, 6, 5), (3.0, 0.8, 0.7)), Geometry((1, 6, 5), (3.0, 0.8, 0.7))


@pytest.mark.parametrize("ending", [".tif", ".tiff"])
def test_a_stack_comes_back_with_its_voxel_size(tmp_path: Path, ending: str) -> None:
    image = np.random.default_rng(0).normal(100, 30, GRID.shape).astype(np.float32)
    write_image(tmp_path / f"a{ending}", image, GRID)
    found, grid = read_image(tmp_path / f"a{ending}")
    assert np.array_equal(found, image)
    assert grid.differences(GRID) == []
    before = (tmp_path / f"a{ending}").read_bytes()
    write_image(tmp_path / f"a{ending}", image, GRID)
    assert (tmp_path / f"a{ending}").read_bytes() == before


@given(st.integers(0, 2**16), st.sampled_from([".png", ".tif"]))
def test_masks_of_one_slice_come_back(tmp_path_factory: pytest.TempPathFactory, seed: int, ending: str) -> None:
    path = tmp_path_factory.mktemp("mask") / f"a{ending}"
    mask = np.random.default_rng(seed).integers(0, 4, FLAT.shape).astype(np.uint8)
    write_mask(path, mask, FLAT)
    found, grid = read_mask(path)
    assert np.array_equal(found, mask)
    assert grid.differences(FLAT) == []


def dataset(folder: Path, ending: str, of_all: bool) -> Path:
    """As nnU-Net's users write them: 16-bit pictures, with CASE.json beside image and mask, or one for all."""
    values = np.arange(30, dtype=np.uint16).reshape(6, 5) * 1000
    told = json.dumps({"spacing": [3.0, 0.8, 0.7]})
    for part, name, voxels in (("images", "a_0000", values), ("labels", "a", (values > 9000).astype(np.uint8))):
        (folder / f"{part}Tr").mkdir(parents=True)
        Image.fromarray(voxels).save(folder / f"{part}Tr" / f"{name}{ending}")
        if not of_all:
            (folder / f"{part}Tr" / "a.json").write_text(told)
    if of_all:
        (folder / "spacing.json").write_text(told)
    describe(folder, file_ending=ending)
    return folder


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("of_all", [True, False])
def test_a_spacing_file_makes_scans_of_pictures(tmp_path: Path, ending: str, of_all: bool) -> None:
    data = read_dataset(dataset(tmp_path / "cohort", ending, of_all))
    assert data.left_out == ()
    image, mask, grid = read_case(data.cases[0], data.mask_labels)
    assert image[0, 0, 1, 0] == 5000
    assert mask is not None
    assert mask.sum() == 20
    assert grid.differences(FLAT) == []


def test_pictures_without_a_voxel_size_are_no_scans_and_are_named(tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(picture)
    left = Inventory()
    assert image_files(tmp_path, left=left) == []
    assert len(left.found) == 1
    with pytest.raises(InputError, match="its header tells no voxel size"):
        read_image(picture)
    for sizes in ("[1, 2]", "[1, 0, 1]", "null"):
        (tmp_path / "curve.json").write_text(f'{{"spacing": {sizes}}}')
        with pytest.raises(InputError, match="does not tell three sizes"):
            read_grid(picture)


@pytest.mark.parametrize("told", [None, '{"spacing": [1.0, 1.0]}', '{"spacing": [0, 1, 1]}', "{spacing 5"])
def test_a_dataset_of_pictures_whose_voxel_size_nobody_tells(tmp_path: Path, told: str | None) -> None:
    folder = dataset(tmp_path / "p", ".png", of_all=True)
    (folder / "spacing.json").unlink()
    if told is not None:
        (folder / "spacing.json").write_text(told)
    words = (
        r"a_0000\.png: (no file tells its voxel size|its spacing file does not tell three sizes).*Write .\"spacing\""
    )
    with pytest.raises(InputError, match=words):
        read_dataset(folder)
    describe(folder, file_ending=".nrrd")
    with pytest.raises(InputError, match=r"there is no case: no file ends with \.nrrd"):
        read_dataset(folder)


def test_what_is_no_plain_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spacing.json").write_text('{"spacing": [3, 1, 1]}')
    Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(tmp_path / "colour.png")
    with pytest.raises(InputError, match="a voxel holds more than one number"):
        read_image(tmp_path / "colour.png")
    write_image(tmp_path / "a.tif", np.ones(GRID.shape, np.float32), GRID)
    whole = (tmp_path / "a.tif").read_bytes()
    for content in (whole[: len(whole) // 2], b"II*\0", b"nothing", whole[:8] + b"\xff" * 50):
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(InputError):
            read_image(tmp_path / "a.tif")
    with pytest.raises(Exception, match="one slice of whole numbers"):
        write_image(tmp_path / "b.png", np.ones(FLAT.shape, np.float32), FLAT)
