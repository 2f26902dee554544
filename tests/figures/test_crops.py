"""What is shown of a scan: turned, cut, blackened and made coarser, with every voxel where it was in the world."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.data.images.images import read_image
from vmseg_auto.data.images.nifti_bytes import nifti_gz
from vmseg_auto.figures.crops import Volume, around_lesions, coarser, cut, grey_levels, turned
from vmseg_auto.figures.slices import View
from vmseg_auto.utils.geometry import Geometry

SHAPE = (3, 4, 5)
FRAMES = [
    tuple(np.array([np.eye(3)[axis] * sign for axis, sign in zip(axes, signs, strict=True)]).T.ravel().tolist())
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
"""All directions along the world's axes."""


def volume(direction: tuple[float, ...], spacing: tuple[float, float, float] = (4.0, 1.0, 0.5)) -> Volume:
    image = np.arange(60, dtype=np.uint8).reshape(SHAPE)
    return Volume(image, (image % 7 == 0).astype(np.uint8), Geometry(SHAPE, spacing, (3.0, -2.0, 7.0), direction))  # type: ignore[arg-type]


def places(scan: Volume) -> dict[int, tuple[float, ...]]:
    """Value of each voxel -> where it lies in the world."""
    grid = scan.geometry
    step = np.array(grid.direction).reshape(3, 3)[:, ::-1] * grid.spacing_mm
    indices = np.indices(grid.shape).reshape(3, -1)
    where = np.array(grid.origin_mm) + (step @ indices).T
    return {int(v): tuple(np.round(w, 6).tolist()) for v, w in zip(scan.image.ravel(), where, strict=True)}


@pytest.mark.parametrize("direction", FRAMES)
def test_turning_moves_no_voxel_and_puts_right_and_front_where_they_belong(direction: tuple[float, ...]) -> None:
    scan = volume(direction)
    view = View.of(scan.geometry)
    shown = turned(scan, view)
    assert np.array_equal(shown.image, view(scan.image))
    assert np.array_equal(shown.mask, (shown.image % 7 == 0).astype(np.uint8))
    assert places(shown) == places(scan)
    along = np.array(shown.geometry.direction).reshape(3, 3)[:, ::-1]
    down, right = along[:, 1], along[:, 2]
    if view.plane == "axial":
        assert (down[1], right[0]) == (1, 1)
    elif view.plane == "coronal":
        assert (down[2], right[0]) == (-1, 1)
    else:
        assert (down[2], right[1]) == (-1, 1)


def test_cutting_moves_no_voxel() -> None:
    scan = volume(FRAMES[7])
    part = cut(scan, ((1, 3), (0, 2), (2, 5)))
    assert part.start == 1
    assert places(part).items() <= places(scan).items()


def test_nothing_beyond_the_margin_is_shown() -> None:
    grid = Geometry((20, 60, 60), (2.0, 1.0, 1.0))
    lesion = np.zeros(grid.shape, dtype=bool)
    lesion[10, 30, 30] = True
    scan = Volume(np.full(grid.shape, 200, dtype=np.uint8), np.ones(grid.shape, dtype=np.uint8), grid)
    part = around_lesions(scan, lesion, margin_mm=8.0)
    assert part.image.shape == (9, 17, 17)
    z, y, x = np.indices(part.image.shape)
    far = (2.0 * (z - 4)) ** 2 + (y - 8.0) ** 2 + (x - 8.0) ** 2 > 64
    assert not part.image[far].any()
    assert not part.mask[far].any()
    assert (part.image[~far] == 200).all()
    assert part.start == 6


@given(st.integers(1, 9))
def test_coarser_voxels_lie_over_the_same_place(factor: int) -> None:
    scan = Volume(np.full((2, 9, 7), 50, np.uint8), np.ones((2, 9, 7), np.uint8), Geometry((2, 9, 7), (3.0, 1.0, 0.5)))
    coarse = coarser(scan, factor)
    tall, wide = min(factor, 9), min(factor, 7)
    assert coarse.image.shape == coarse.mask.shape == coarse.geometry.shape == (2, 9 // tall, 7 // wide)
    assert (coarse.image == 50).all()
    assert coarse.geometry.spacing_mm == (3.0, tall, wide * 0.5)
    assert coarse.geometry.origin_mm == ((wide - 1) / 4, (tall - 1) / 2, 0.0)


def test_grey_levels_hold_to_the_window() -> None:
    assert grey_levels(np.array([-5.0, 0.0, 1.0, 2.0, 9.0]), (0.0, 2.0)).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("direction", FRAMES[::5])
def test_a_nifti_file_in_memory_reads_as_it_should(direction: tuple[float, ...], tmp_path: Path) -> None:
    scan = volume(direction)
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(nifti_gz(scan.image, scan.geometry))
    image, geometry = read_image(path)
    assert np.array_equal(image, scan.image)
    assert geometry.differences(scan.geometry) == []
    assert nifti_gz(scan.image, scan.geometry) == path.read_bytes()
