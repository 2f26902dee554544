"""Contours along the edges of voxels enclose the voxels of a mask and no others, by whatever rule they are filled."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_made import filled
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.data.dicom.contours import slice_contours


def drawn(*rows: str) -> NDArray[np.bool_]:
    return np.array([[letter == "#" for letter in row] for row in rows])


RING_CLOSED_BY_A_CORNER = drawn("####", "#..#", "#.#.", "###.")
MASKS = [
    drawn("#"),
    drawn("...", "...", "..."),
    drawn("#.", ".#"),
    drawn(".#", "#."),
    drawn("###", "#.#", "###"),
    drawn("####", "#.##", "##.#", "####"),
    drawn("####", "##.#", "#.##", "####"),
    drawn("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"),
    drawn("#########", "#.#.#.#.#", "#########", "##.###.##", "#########"),
    RING_CLOSED_BY_A_CORNER,
    ~RING_CLOSED_BY_A_CORNER,
]


def area(contour: NDArray[np.float64]) -> float:
    (x, y), (right, below) = contour.T, np.roll(contour, -1, axis=0).T
    return float(x @ below - y @ right) / 2


def check(mask: NDArray[np.bool_]) -> None:
    contours = slice_contours(mask)
    for winding in (False, True):
        np.testing.assert_array_equal(filled(contours, mask.shape, winding=winding), mask)
    np.testing.assert_array_equal(np.any([filled([one], mask.shape, winding=False) for one in contours], 0), mask)
    assert len(contours) == ndimage.label(mask)[1]  # parts whose voxels share edges
    assert sum(area(contour) for contour in contours) == np.count_nonzero(mask)
    for contour in contours:
        steps = np.roll(contour, -1, axis=0) - contour
        assert ((steps != 0).sum(axis=1) == 1).all()  # along rows or columns, none of length 0
        assert (np.sign(steps) != np.sign(np.roll(steps, 1, axis=0))).any(axis=1).all()  # each corner is one


@pytest.mark.parametrize("mask", MASKS)
def test_they_enclose_the_voxels_and_no_others(mask: NDArray[np.bool_]) -> None:
    if not mask.any():
        assert slice_contours(mask) == []
    else:
        check(mask)


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_of_any_mask(mask: NDArray[np.bool_]) -> None:
    if mask.any():
        check(mask)


def test_a_hole_is_joined_by_a_channel_of_no_width() -> None:
    (contour,) = slice_contours(drawn("####", "##.#", "####"))
    corners = [tuple(corner) for corner in contour.tolist()]
    assert corners[4:] == [(-0.5, 0.5), (1.5, 0.5), (1.5, 1.5), (2.5, 1.5), (2.5, 0.5), (-0.5, 0.5)]
