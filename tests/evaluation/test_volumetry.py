"""Known shapes have their known sizes, however the grid lies; margins are as wide as they were blurred."""

from __future__ import annotations

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.evaluation.volumetry import Size, margin_width_mm, measure
from vmseg_auto.utils.geometry import Geometry, Shape, Spacing

IDENTITY = np.eye(3)


def grid(shape: Shape, spacing_mm: Spacing = (1.0, 1.0, 1.0), direction: NDArray[np.float64] = IDENTITY) -> Geometry:
    return Geometry(shape, spacing_mm, direction=tuple(direction.ravel().tolist()))  # type: ignore[arg-type]


def ellipsoid(semi_axes_mm: Spacing, spacing_mm: Spacing) -> NDArray[np.bool_]:
    """Its centre lies on a voxel's; semi-axes along (Z, Y, X)."""
    halves = [math.ceil(r / mm) + 1 for r, mm in zip(semi_axes_mm, spacing_mm, strict=True)]
    lines = [np.arange(-n, n + 1) * mm / r for n, mm, r in zip(halves, spacing_mm, semi_axes_mm, strict=True)]
    z, y, x = np.meshgrid(*lines, indexing="ij", sparse=True)
    inside: NDArray[np.bool_] = z**2 + y**2 + x**2 <= 1
    return inside


def lengths(size: Size) -> list[float]:
    """All but voxels: volume, diameters, extents."""
    return [float(value) for value in astuple(size)[1:]]


spacings = st.tuples(*[st.floats(0.5, 3.0)] * 3)
masks = st.integers(0, 2**32 - 1).map(
    lambda seed: ndimage.binary_dilation(np.random.default_rng(seed).random((5, 6, 7)) < 0.03)
)


def test_one_voxel_is_as_large_as_it_is() -> None:
    mask = np.zeros((3, 4, 5), dtype=bool)
    mask[1, 2, 3] = True
    whole, (piece,) = measure(mask, grid(mask.shape, (4.0, 0.5, 2.0)))
    assert piece.size == whole
    assert whole.voxels == 1
    assert lengths(whole) == pytest.approx([0.004, 4.0, 2.0, 2.0, 0.5, 4.0])
    assert whole.goyal_size == "<=5 cm"


def test_nothing_has_no_diameter() -> None:
    assert measure(np.zeros((3, 4, 5), dtype=bool), grid((3, 4, 5))) == (Size(0, 0.0), [])
    assert Size(0, 0.0).goyal_size is None


@given(spacings, st.tuples(*[st.floats(6.0, 20.0)] * 3))
@settings(max_examples=25, deadline=None)
def test_ellipsoids_come_out_within_a_voxel(spacing_mm: Spacing, semi_axes_mm: Spacing) -> None:
    mask = ellipsoid(semi_axes_mm, spacing_mm)
    whole, _ = measure(mask, grid(mask.shape, spacing_mm))
    z, y, x = (2 * r for r in semi_axes_mm)
    coarse = max(spacing_mm)
    assert whole.volume_ml == pytest.approx(math.pi / 6 * z * y * x / 1000, rel=0.15)
    assert whole.longest_diameter_mm == pytest.approx(max(z, y, x), abs=1.5 * coarse)
    assert whole.axial_diameter_mm == pytest.approx(max(y, x), abs=1.5 * coarse)
    assert (whole.extent_si_mm, whole.extent_ap_mm, whole.extent_rl_mm) == pytest.approx((z, y, x), abs=1.01 * coarse)


@given(masks, spacings, st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_axes_in_the_file_changes_nothing(
    mask: NDArray[np.bool_], spacing_mm: Spacing, order: list[int], flipped: tuple[bool, ...]
) -> None:
    """The same lesion in a file whose axes are stored in another order and counted from the other end."""
    axes = [axis for axis in range(3) if flipped[axis]]
    turned = np.flip(mask, axes).transpose(order)
    signs = [-1.0 if flip else 1.0 for flip in flipped]
    columns = [signs[axis] * IDENTITY[:, 2 - axis] for axis in order]  # where (Z, Y, X) of the new file point
    direction = np.stack(columns[::-1], axis=1)
    z, y, x = (spacing_mm[axis] for axis in order)
    before, pieces = measure(mask, grid(mask.shape, spacing_mm))
    after, again = measure(turned, grid(turned.shape, (z, y, x), direction))
    assert after.voxels == before.voxels
    if before.voxels:
        assert lengths(after) == pytest.approx(lengths(before))
    assert sorted(lengths(piece.size) for piece in pieces) == [
        pytest.approx(row) for row in sorted(lengths(piece.size) for piece in again)
    ]


@given(masks, spacings)
@settings(max_examples=40, deadline=None)
def test_diameters_and_extents_bound_each_other(mask: NDArray[np.bool_], spacing_mm: Spacing) -> None:
    whole, pieces = measure(mask, grid(mask.shape, spacing_mm))
    assert sum(piece.size.voxels for piece in pieces) == whole.voxels == np.count_nonzero(mask)
    assert [piece.size.voxels for piece in pieces] == sorted((p.size.voxels for p in pieces), reverse=True)
    for _, _, longest, axial, *extents in (astuple(piece.size) for piece in pieces):
        assert 0 < axial <= longest * (1 + 1e-9)
        assert max(extents) <= longest * (1 + 1e-9) <= math.hypot(*extents) * (1 + 2e-9)


def test_the_longest_diameter_is_that_of_all_pairs_of_faces() -> None:
    rng = np.random.default_rng(3)
    mask = ndimage.binary_dilation(rng.random((6, 7, 8)) < 0.01, iterations=2)
    spacing_mm = (2.5, 0.8, 1.1)
    _, pieces = measure(mask, grid(mask.shape, spacing_mm))
    for piece in pieces:
        voxels, halves = np.argwhere(piece.lesion.mask), np.array([*np.eye(3), *-np.eye(3)]) / 2
        faces = (voxels[:, None] + halves).reshape(-1, 3) * spacing_mm
        longest = max(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(faces, 2))
        assert piece.size.longest_diameter_mm == pytest.approx(longest)


def test_an_oblique_scan_keeps_diameters_and_tells_extents_along_the_patient() -> None:
    """A rod 40 mm long along the file's X, in a scan turned by 30 degrees about the patient's long axis."""
    mask = np.zeros((5, 7, 44), dtype=bool)
    mask[1:4, 2:5, 2:42] = True
    turn = math.radians(30)
    direction = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    straight, _ = measure(mask, grid(mask.shape))
    oblique, _ = measure(mask, grid(mask.shape, direction=direction))
    assert oblique.longest_diameter_mm == pytest.approx(straight.longest_diameter_mm)
    assert oblique.axial_diameter_mm == pytest.approx(straight.axial_diameter_mm)
    assert oblique.extent_rl_mm == pytest.approx(40 * math.cos(turn), abs=2)
    assert oblique.extent_ap_mm == pytest.approx(40 * math.sin(turn), abs=3)
    assert oblique.extent_si_mm == pytest.approx(3)


def test_of_several_lesions_the_diameter_is_one_lesions_and_the_extent_is_that_of_all() -> None:
    mask = np.zeros((3, 3, 40), dtype=bool)
    mask[1, 1, 2:8] = mask[1, 1, 30:34] = True
    whole, pieces = measure(mask, grid(mask.shape))
    assert [piece.size.extent_rl_mm for piece in pieces] == [6, 4]
    assert whole.longest_diameter_mm == pieces[0].size.longest_diameter_mm
    assert whole.extent_rl_mm == 32


@pytest.mark.parametrize(("voxels", "grade"), [(50, "<=5 cm"), (51, ">5 cm")])
def test_five_centimetres_part_goyals_grades(voxels: int, grade: str) -> None:
    mask = np.zeros((3, 3, 60), dtype=bool)
    mask[1, 1, :voxels] = True
    assert measure(mask, grid(mask.shape))[0].goyal_size == grade


def margin(mask: NDArray[np.bool_], sigma_mm: float, spacing_mm: Spacing, brighter: float = 100.0) -> float | None:
    """Width of the margin of a mask's first piece in an image blurred by that much."""
    image = brighter * mask.astype(np.float32)
    if sigma_mm:
        image = ndimage.gaussian_filter(image, [sigma_mm / mm for mm in spacing_mm])
    noise = np.random.default_rng(0).normal(0, 0.5, mask.shape).astype(np.float32)
    _, pieces = measure(mask, grid(mask.shape, spacing_mm))
    return margin_width_mm(image + noise, pieces[0].lesion, mask, spacing_mm)


BALL = np.pad(ellipsoid((12.0, 12.0, 12.0), (3.0, 0.75, 0.75)), ((2, 2), (8, 8), (8, 8)))


@pytest.mark.parametrize("sigma_mm", [1.0, 1.5, 2.0])
def test_a_margin_is_as_wide_as_its_blur(sigma_mm: float) -> None:
    assert margin(BALL, sigma_mm, (3.0, 0.75, 0.75)) == pytest.approx(sigma_mm * math.sqrt(2 * math.pi), rel=0.2)


def test_the_more_blurred_the_wider() -> None:
    widths = [margin(BALL, sigma_mm, (3.0, 0.75, 0.75)) or 0.0 for sigma_mm in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert widths == sorted(set(widths))


def test_a_step_is_no_wider_than_a_pixel_whatever_the_scale_and_sign() -> None:
    widths = [margin(BALL, 0, (3.0, 0.75, 0.75), brighter) for brighter in (100.0, 40.0, -100.0)]
    assert widths == [pytest.approx(0.75, rel=0.25)] * 3


def test_a_mask_that_misses_the_edge_has_a_wider_margin() -> None:
    image = ndimage.gaussian_filter(100 * BALL.astype(np.float32), (0.5, 2.0, 2.0))
    found = []
    for mask in (BALL, np.roll(BALL, 4, axis=2)):
        _, pieces = measure(mask, grid(mask.shape, (3.0, 0.75, 0.75)))
        found.append(margin_width_mm(image, pieces[0].lesion, mask, (3.0, 0.75, 0.75)))
    assert found[0] is not None
    assert found[1] is None or found[1] > 1.2 * found[0]


def test_what_does_not_stand_out_has_no_margin() -> None:
    assert margin(BALL, 0, (3.0, 0.75, 0.75), brighter=0.1) is None


def test_where_the_intensity_hardly_falls_at_the_outline_there_is_no_margin() -> None:
    """A voxel, in a slope that is as bright as it on one side, a centimetre above its surroundings' median."""
    mask = np.zeros((5, 21, 21), dtype=bool)
    mask[2, 10, 10] = True
    image = np.full(mask.shape, 50, np.float32)
    image[2, 9:12, 9:12] = 100
    image[2, 10, 10] = 101
    _, pieces = measure(mask, grid(mask.shape))
    assert margin_width_mm(image, pieces[0].lesion, mask, (1.0, 1.0, 1.0)) is None


def test_a_lesion_that_fills_the_scan_has_no_surroundings() -> None:
    whole = np.ones((3, 4, 5), dtype=bool)
    _, pieces = measure(whole, grid(whole.shape))
    assert margin_width_mm(np.ones(whole.shape, np.float32), pieces[0].lesion, whole, (1.0, 1.0, 1.0)) is None


def test_other_lesions_are_no_surroundings() -> None:
    one = np.zeros((5, 40, 40), dtype=bool)
    one[1:4, 10:20, 10:20] = True
    other = np.zeros_like(one)
    other[1:4, 10:20, 22:30] = True
    alone = margin(one, 0.0, (1.0, 1.0, 1.0))
    _, pieces = measure(one, grid(one.shape))
    image = 100 * (one | other).astype(np.float32) + np.random.default_rng(0).normal(0, 0.5, one.shape)
    beside = margin_width_mm(image.astype(np.float32), pieces[0].lesion, one | other, (1.0, 1.0, 1.0))
    assert beside == pytest.approx(alone, rel=0.05)
