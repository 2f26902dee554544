"""Grids are told apart in words, within tolerances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.data.images.itk import to_sitk
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.json_codec import decode, encode

GRID = Geometry((24, 192, 160), (4.0, 0.5, 0.75), (-10.0, 20.5, 3.0))
OBLIQUE = replace(GRID, direction=(0.0, 0.6, -0.8, 1.0, 0.0, 0.0, 0.0, -0.8, -0.6))


def test_voxel_volume() -> None:
    assert GRID.voxel_ml == pytest.approx(4.0 * 0.5 * 0.75 / 1000)
    assert isinstance(GRID.voxel_ml, float)


def test_the_affine_takes_an_index_to_its_place() -> None:
    """By hand: k runs along the world's -x, i along y, j along z."""
    turned = replace(GRID, direction=(0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    assert (turned.affine @ (1, 2, 3, 1)).tolist() == [-10 - 3 * 4, 20.5 + 0.75, 3 + 2 * 0.5, 1]
    assert turned.cosines.tolist() == [[-1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_the_affine_is_itks() -> None:
    image = to_sitk(np.zeros((2, 3, 4), np.uint8), replace(OBLIQUE, shape=(2, 3, 4)))
    assert image.TransformIndexToPhysicalPoint((3, 1, 1)) == pytest.approx((OBLIQUE.affine @ (3, 1, 1, 1))[:3])


def test_the_patients_axes_by_hand() -> None:
    """The array's axes, the slowest first; the world's x runs to the left, y to the back, z to the head."""
    assert GRID.patient_axes == (2, 1, 0)
    assert GRID.reversed_axes == ()
    coronal = replace(GRID, direction=(-1.0, 0.0, 0.0, 0.0, 0.1, 0.99, 0.0, -0.99, 0.1))
    assert coronal.patient_axes == (1, 2, 0)
    assert coronal.reversed_axes == (1, 2)
    sagittal = replace(GRID, direction=(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    assert sagittal.patient_axes == (0, 2, 1)
    assert sagittal.reversed_axes == (1,)


@given(st.permutations([0, 1, 2]), st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3), st.floats(-0.4, 0.4))
def test_the_patients_axes_of_a_tilted_scan(order: list[int], signs: list[float], tilt: float) -> None:
    """Below 45 degrees the nearest axes do not change."""
    columns = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        columns[axis, column] = sign
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    grid = replace(GRID, direction=tuple((about_x @ columns).ravel()))
    assert grid.patient_axes == tuple(order[::-1])
    assert grid.reversed_axes == tuple(axis for axis in range(3) if signs[2 - axis] < 0)


def test_the_same_grid_has_no_differences() -> None:
    assert GRID.differences(GRID) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(GRID, shape=(24, 192, 161)), "size 160 x 192 x 24 against 161 x 192 x 24"),
        (replace(GRID, spacing_mm=(4.0, 0.5, 0.8)), "spacing 0.75 x 0.5 x 4 mm against 0.8 x 0.5 x 4 mm"),
        (replace(GRID, origin_mm=(-10.0, 20.5, 4.0)), "origin -10, 20.5, 3 mm against -10, 20.5, 4 mm"),
    ],
)
def test_each_difference_is_said_x_first(other: Geometry, words: str) -> None:
    assert GRID.differences(other) == [words]


@pytest.mark.parametrize("degrees", [0.5, 5, 90, 180])
def test_a_turned_grid_differs(degrees: float) -> None:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = replace(GRID, direction=(c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))
    assert GRID.differences(turned) == [f"axes that point up to {degrees:g} degrees apart"]


def test_all_differences_are_told_at_once() -> None:
    assert len(GRID.differences(Geometry((1, 1, 1), (1.0, 1.0, 1.0)))) == 3


@given(
    spacing=st.floats(-0.9e-3, 0.9e-3),
    origin=st.floats(-0.049, 0.049),
    cosine=st.floats(-0.9e-3, 0.9e-3),
)
def test_rounding_of_headers_is_tolerated(spacing: float, origin: float, cosine: float) -> None:
    """Writers round: a thousandth of the spacing, a tenth of the smallest edge (0.5 mm), a thousandth of a cosine."""
    z, y, x = GRID.spacing_mm
    close = replace(
        GRID,
        spacing_mm=(z * (1 + spacing), y, x),
        origin_mm=(GRID.origin_mm[0] + origin, *GRID.origin_mm[1:]),
        direction=(1.0 + cosine, *GRID.direction[1:]),
    )
    assert GRID.differences(close) == []


def test_beyond_the_tolerances_is_a_difference() -> None:
    assert GRID.differences(replace(GRID, spacing_mm=(4.0, 0.5, 0.75 * 1.003)))
    assert GRID.differences(replace(GRID, origin_mm=(-10.0, 20.5, 3.06)))
    assert GRID.differences(replace(GRID, direction=(1.0, 0.002, *GRID.direction[2:])))


def test_json_round_trip() -> None:
    assert decode(Geometry, encode(GRID), "geometry") == GRID
