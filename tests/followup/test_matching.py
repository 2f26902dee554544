"""Which lesion is which: on other grids, after transforms, and where one scan saw less."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vmseg_auto.followup.matching import REACH_MM, Match, match_lesions
from vmseg_auto.followup.rigid import RigidTransform
from vmseg_auto.utils.components import Components
from vmseg_auto.utils.geometry import Geometry

FIRST = Geometry((20, 40, 40), (2.0, 1.0, 1.0))
FINE = Geometry((40, 80, 80), (1.0, 0.5, 0.5), (-0.25, -0.25, -0.5))
"""The same field of view."""
STILL = RigidTransform()
MOVED = RigidTransform(shift_mm=(3.0, -2.0, 4.0))
Ball = tuple[float, float, float, float]
"""Centre (x, y, z) and radius, in mm."""


def side(geometry: Geometry, *balls: Ball, moved: RigidTransform = STILL) -> Components:
    indices = np.indices(geometry.shape)[::-1]
    place = [n * mm + at for n, mm, at in zip(indices, geometry.spacing_mm[::-1], geometry.origin_mm, strict=True)]
    mask: NDArray[np.bool_] = np.zeros(geometry.shape, dtype=bool)
    for *center, radius in balls:
        apart = [p - c - s for p, c, s in zip(place, center, moved.shift_mm, strict=True)]
        mask |= sum(d**2 for d in apart) <= radius**2
    return Components.of(mask, geometry)


A, B, C = (10.0, 10.0, 14.0, 5.0), (28.0, 12.0, 14.0, 4.0), (20.0, 28.0, 20.0, 3.0)


@pytest.mark.parametrize("grid", [FIRST, FINE])
@pytest.mark.parametrize("transform", [STILL, MOVED])
def test_lesions_are_found_again(grid: Geometry, transform: RigidTransform) -> None:
    smaller = [(*at, 0.7 * radius) for *at, radius in (A, B, C)]
    found = match_lesions(side(FIRST, A, B, C), side(grid, *smaller, moved=transform), transform)
    assert found == [Match("same", (1,), (1,)), Match("same", (2,), (2,)), Match("same", (3,), (3,))]


def test_numbers_are_by_size_and_volumes_in_ml() -> None:
    one = side(FIRST, C, A)
    assert one.count == 2
    assert one.voxels[0] > one.voxels[1]
    assert one.volume_ml((1,)) == pytest.approx(4 / 3 * np.pi * 125 / 1000, rel=0.1)
    assert one.volume_ml((1, 2)) == pytest.approx(one.voxels.sum() * 2 / 1000)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([A], [], [Match("gone", (1,), ())]),
        ([], [A], [Match("new", (), (1,))]),
        ([], [], []),
        ([A, B], [A, C], [Match("same", (1,), (1,)), Match("gone", (2,), ()), Match("new", (), (2,))]),
        ([(20, 20, 20, 8)], [(15, 20, 20, 3), (25, 20, 20, 2)], [Match("split", (1,), (1, 2))]),
        ([(15, 20, 20, 3), (25, 20, 20, 2)], [(20, 20, 20, 8)], [Match("merged", (1, 2), (1,))]),
        (
            [(11, 20, 20, 4), (23, 20, 20, 4)],
            [(7.5, 20, 20, 2), (17, 20, 20, 5), (27, 20, 20, 2)],
            [Match("regrouped", (1, 2), (1, 2, 3))],
        ),
    ],
)
def test_fates(before: list[Ball], after: list[Ball], expected: list[Match]) -> None:
    assert match_lesions(side(FIRST, *before), side(FIRST, *after), STILL) == expected


@pytest.mark.parametrize(("gap", "fate"), [(REACH_MM - 1.5, "same"), (REACH_MM + 1.5, "gone")])
def test_what_hardly_moved_is_the_same(gap: float, fate: str) -> None:
    first, second = side(FIRST, (10, 20, 20, 3)), side(FIRST, (10 + 6 + gap, 20, 20, 3))
    assert match_lesions(first, second, STILL)[0].fate == fate


def test_a_lonely_one_joins_the_nearest() -> None:
    before = side(FIRST, (10, 20, 20, 4))
    after = side(FIRST, (10, 20, 20, 3.5), (16, 20, 20, 1.5))
    assert match_lesions(before, after, STILL) == [Match("split", (1,), (1, 2))]
    assert match_lesions(after, before, STILL) == [Match("merged", (1, 2), (1,))]


def test_what_the_other_scan_did_not_see_is_neither_gone_nor_new() -> None:
    narrow = Geometry((20, 40, 20), FIRST.spacing_mm)
    assert match_lesions(side(FIRST, A, B), side(narrow, A), STILL) == [
        Match("same", (1,), (1,)),
        Match("out of view", (2,), ()),
    ]
    assert match_lesions(side(narrow, A), side(FIRST, A, B), STILL) == [
        Match("same", (1,), (1,)),
        Match("out of view", (), (2,)),
    ]


def test_touching_at_a_corner_is_not_the_same() -> None:
    first, second = np.zeros((2, *FIRST.shape), dtype=bool)
    first[4:14, 5:20, 5:20] = True
    second[13:19, 19:34, 19:34] = True
    first[4:6, 30:32, 30:32] = True
    second[4:6, 30:32, 30:32] = True
    found = match_lesions(Components.of(first, FIRST), Components.of(second, FIRST), STILL)
    assert Match("same", (2,), (2,)) in found
