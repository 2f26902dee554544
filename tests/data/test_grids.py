"""A mask lands on the voxels that it was drawn on, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vmseg_auto.data.grids import place, placement
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

SHAPE = (4, 6, 5)
SPACING = (3.0, 0.8, 0.7)


def grid(angles: tuple[float, float, float] = (0.0, 0.0, 0.0), shape: tuple[int, int, int] = SHAPE) -> Geometry:
    cosines = Rotation.from_euler("xyz", angles, degrees=True).as_matrix().ravel().tolist()
    return Geometry(shape, SPACING, (11.0, -22.0, 33.0), tuple(cosines))


def world(geometry: Geometry, index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Positions (x, y, z) in mm of voxels [N, (Z, Y, X)]."""
    columns = np.array(geometry.direction).reshape(3, 3) * np.array(geometry.spacing_mm[::-1])
    positions: NDArray[np.float64] = np.array(geometry.origin_mm) + index[:, ::-1] @ columns.T
    return positions


def rearranged(
    geometry: Geometry, mask: NDArray[np.uint8], axes: tuple[int, ...], flips: tuple[bool, ...], box: tuple[slice, ...]
) -> tuple[Geometry, NDArray[np.uint8]]:
    """A part of the grid with its axes in another order and direction, voxels at the same places in the world."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"))

    def turned(array: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.flip(array[box].transpose(axes), [axis for axis in range(3) if flips[axis]])

    places = np.stack([turned(part) for part in index], axis=-1)
    first = world(geometry, places[0, 0, 0][None])[0]
    steps = [world(geometry, places[tuple(np.eye(3, dtype=int)[axis])][None])[0] - first for axis in range(3)]
    lengths = [float(np.linalg.norm(step)) for step in steps]
    cosines = np.stack([step / length for step, length in zip(steps, lengths, strict=True)][::-1], axis=1)
    new = Geometry(places.shape[:3], tuple(lengths), tuple(first.tolist()), tuple(cosines.ravel().tolist()))
    return new, turned(mask)


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    axes=st.permutations((0, 1, 2)).map(tuple),
    flips=st.tuples(*[st.booleans()] * 3),
    starts=st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)),
    seed=st.integers(0, 99),
)
def test_a_part_of_the_grid_in_any_order_goes_back_voxel_by_voxel(
    angles: tuple[float, float, float],
    axes: tuple[int, ...],
    flips: tuple[bool, ...],
    starts: tuple[int, ...],
    seed: int,
) -> None:
    target = grid(angles)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    box = tuple(slice(start, None) for start in starts)
    mask[box] = np.random.default_rng(seed).integers(0, 3, size=mask[box].shape)
    source, drawn = rearranged(target, mask, axes, flips, box)
    np.testing.assert_array_equal(place(drawn, placement(source, target)), mask)


def test_words_say_how_a_mask_fits() -> None:
    target, mask = grid(), np.zeros(SHAPE, dtype=np.uint8)
    everything = (slice(None),) * 3
    same = ((0, 1, 2), (False, False, False), everything)
    turned = ((0, 1, 2), (True, False, False), everything)
    part = ((0, 2, 1), (False, False, False), (slice(1, 3), slice(None), slice(2, 4)))
    words = [placement(rearranged(target, mask, *how)[0], target).words() for how in (same, turned, part)]
    assert words == ["same grid", "axes turned", "part of the grid, axes turned"]


def test_a_larger_mask_is_cut_where_it_is_empty_and_refused_where_it_is_not() -> None:
    target = grid(shape=(2, 3, 3))
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1, 2, 2] = 7
    where = placement(grid(), target)
    np.testing.assert_array_equal(place(mask, where), mask[:2, :3, :3])
    mask[3, 5, 4] = mask[0, 0, 3] = 1
    with pytest.raises(InputError, match="2 of its voxels lie outside the image"):
        place(mask, where)


@pytest.mark.parametrize(
    ("start", "meets"), [((-3.0, 0.0, 0.0), True), ((-12.0, 0.0, 0.0), False), ((12.0, 0.0, 0.0), False)]
)
def test_a_grid_beside_the_image_does_not_meet_it(start: tuple[float, float, float], meets: bool) -> None:
    z, y, x = start
    beside = Geometry(SHAPE, SPACING, (11.0 + x, -22.0 + y, 33.0 + z))
    where = placement(beside, grid())
    assert where.meets is meets
    assert not place(np.zeros(SHAPE, dtype=np.uint8), where).any()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            Geometry(SHAPE, (3.0, 0.8, 0.8), (11.0, -22.0, 33.0)),
            r"its voxels are 0\.8 x 0\.8 x 3 mm, but the image's are 0\.7 x 0\.8 x 3 mm",
        ),
        (
            Geometry(SHAPE, (3.0, 0.8, 0.7), (11.35, -22.0, 33.0)),
            r"shifted by parts of a voxel \(0\.5, 0, 0 along x, y, z\)",
        ),
        (Geometry((4, 6, 500), (3.0, 0.8, 0.7003), (11.0, -22.0, 33.0)), r"shifted by parts of a voxel \(0\.21, 0, 0"),
        (grid((0, 0, 5)), "its axes are tilted by 5 degrees"),
        (grid((3, 45, 0)), "its axes are tilted by"),
    ],
)
def test_what_would_have_to_be_resampled_is_refused(source: Geometry, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        placement(source, grid())
    assert "Draw or export it on the grid" in str(caught.value)


def test_rounding_in_a_header_is_no_difference() -> None:
    target = grid((10, 20, 30))
    rounded = Geometry(
        SHAPE, SPACING, tuple(round(v, 2) for v in target.origin_mm), tuple(round(v, 5) for v in target.direction)
    )
    assert placement(rounded, target).words() == "same grid"
