"""Slices as pictures: the way round that radiologists expect, to scale, with outlines where the masks end."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from skimage.color import rgb2lab

from vmseg_auto.figures.slices import (
    LABEL_COLOURS,
    SKY_BLUE,
    VERMILLION,
    View,
    draw_slice,
    frame_around,
    grey_window,
    slices_through,
)
from vmseg_auto.utils.geometry import Geometry

AXES = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
"""All ways in which a file's axes can run along the patient's."""
NORMAL = np.eye(3)
BLIND = (
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
)
"""How eyes without red, and without green cones see linear RGB (Machado et al., IEEE TVCG 2009, 15:1291)."""


def world(geometry: Geometry) -> NDArray[np.float64]:
    """Each voxel's place [3, Z, Y, X]: how far left, posterior and superior it lies."""
    voxels = np.indices(geometry.shape)[::-1] * np.array(geometry.spacing_mm[::-1]).reshape(3, 1, 1, 1)
    return np.tensordot(np.array(geometry.direction).reshape(3, 3), voxels, axes=1)


@given(
    axes=st.sampled_from(AXES),
    tilt=st.tuples(*[st.floats(-20, 20)] * 3),
    plane=st.sampled_from(["axial", "coronal", "sagittal"]),
)
def test_every_scan_is_shown_the_same_way_round(
    axes: NDArray[np.float64], tilt: tuple[float, float, float], plane: str
) -> None:
    turned = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix() @ axes
    geometry = Geometry((3, 4, 5), (1.0, 1.0, 1.0), direction=tuple(turned.ravel()))
    view = View.of(geometry, plane)  # type: ignore[arg-type]
    left, posterior, superior = (view(along) for along in world(geometry))
    slices, rows, columns = {
        "axial": (superior, posterior, left),
        "coronal": (posterior, -superior, left),
        "sagittal": (left, -superior, posterior),
    }[plane]
    assert (np.diff(slices, axis=0) > 0).all()
    assert (np.diff(rows, axis=1) > 0).all()
    assert (np.diff(columns, axis=2) > 0).all()
    assert view.sides == (("A", "P") if plane == "sagittal" else ("R", "L"))


@pytest.mark.parametrize(
    ("spacing", "plane"),
    [
        ((3.0, 0.5, 0.5), "axial"),
        ((1.0, 1.05, 1.0), "axial"),
        ((0.5, 3.0, 0.5), "coronal"),
        ((0.5, 0.5, 3.0), "sagittal"),
    ],
)
def test_slices_are_shown_as_they_were_acquired(spacing: tuple[float, float, float], plane: str) -> None:
    view = View.of(Geometry((4, 5, 6), spacing))
    assert view.plane == plane
    assert view.spacing_mm[0] == max(spacing) or plane == "axial"


def test_numbers_of_slices_are_those_of_the_file() -> None:
    downwards = Geometry((5, 4, 4), (3.0, 1.0, 1.0), direction=(1, 0, 0, 0, -1, 0, 0, 0, -1))
    view = View.of(downwards)
    array = np.arange(5)[:, None, None] * np.ones((5, 4, 4))
    shown = view(array)
    assert [view.number(index) for index in range(5)] == [int(shown[index, 0, 0]) + 1 for index in range(5)]
    assert view.number(0) == 5


def test_pixels_are_square_whatever_the_voxels() -> None:
    picture = draw_slice(np.zeros((10, 40)), (4.0, 0.5), (0, 1), pixels=200)
    assert picture.shape == (200, 100, 3)


def test_an_outline_lies_where_the_mask_ends() -> None:
    y, x = np.indices((40, 40)) - 19.5
    disc = np.hypot(y, x) < 12
    picture = draw_slice(np.zeros((40, 40)), (1.0, 1.0), (0, 1), [(disc, VERMILLION)], pixels=400)
    rows, columns = np.nonzero(picture.any(axis=2))
    radius = np.hypot(rows - 199.5, columns - 199.5) / 10
    assert 10.8 < radius.min() < radius.max() < 13
    assert tuple(picture[picture[..., 0] == picture[..., 0].max()][0]) == (0xD5, 0x5E, 0x00)
    angles = np.unique(np.round(np.degrees(np.arctan2(rows - 199.5, columns - 199.5))))
    assert len(angles) == 361  # closed


@given(at=st.tuples(st.integers(0, 29), st.integers(0, 29)), pixels=st.integers(10, 200))
def test_no_voxel_is_too_small_for_an_outline(at: tuple[int, int], pixels: int) -> None:
    mask = np.zeros((30, 30), dtype=bool)
    mask[at] = True
    picture = draw_slice(np.zeros((30, 30)), (1.0, 1.0), (0, 1), [(mask, SKY_BLUE)], pixels=pixels)
    assert picture.any()


def test_a_mask_that_is_empty_or_fills_the_picture_has_no_outline() -> None:
    for mask in (np.zeros((4, 4), dtype=bool), np.ones((4, 4), dtype=bool)):
        assert not draw_slice(np.zeros((4, 4)), (1.0, 1.0), (0, 1), [(mask, VERMILLION)]).any()


def test_grey_follows_the_window() -> None:
    image = np.array([[-5.0, 0.0], [10.0, 99.0]])
    picture = draw_slice(image, (1.0, 1.0), (0, 10), pixels=2)
    assert picture[..., 0].tolist() == [[0, 0], [255, 255]]
    assert (np.ptp(picture, axis=2) == 0).all()
    low, high = grey_window(np.full((3, 3), 7.0))
    assert low < high


@given(areas=st.lists(st.integers(0, 6), min_size=1, max_size=12), count=st.integers(1, 5))
def test_slices_through_a_mask(areas: list[int], count: int) -> None:
    mask = np.zeros((len(areas), 1, 6), dtype=bool)
    for index, area in enumerate(areas):
        mask[index, 0, :area] = True
    chosen = slices_through(mask, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= count
    assert all(areas[index] for index in chosen)
    assert (int(np.argmax(areas)) in chosen) == any(areas)


def test_a_frame_leaves_the_margin_and_stays_in_the_slice() -> None:
    mask = np.zeros((3, 20, 30), dtype=bool)
    mask[1, 2, 10:14] = True
    mask[2, 5, 12] = True
    rows, columns = frame_around(mask, (2.0, 1.0), 6.0)
    assert (rows.start, rows.stop) == (0, 9)
    assert (columns.start, columns.stop) == (4, 20)
    with pytest.raises(ValueError, match="empty"):
        frame_around(0 * mask > 0, (2.0, 1.0), 6.0)


@pytest.mark.parametrize("seen", [NORMAL, *BLIND])
def test_colours_of_labels_are_told_apart(seen: NDArray[np.float64]) -> None:
    rgb = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in LABEL_COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    shown = np.clip(linear @ seen.T, 0, 1)
    srgb = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    lab = rgb2lab(srgb[None])[0]
    distances = [np.linalg.norm(a - b) for at, a in enumerate(lab) for b in lab[:at]]
    assert min(distances) > 12
