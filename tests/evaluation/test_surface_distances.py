"""Distances between shapes whose distances are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.evaluation import surface_distances
from vmseg_auto.evaluation.metrics.distances import surface_scores
from vmseg_auto.evaluation.surfaces import surface_of
from vmseg_auto.utils.geometry import Spacing

Mask = NDArray[np.bool_]
Vector = tuple[float, float, float]
Inside = Callable[..., NDArray[np.bool_]]

GRIDS: tuple[tuple[Spacing, float], ...] = (
    ((1.0, 1.0, 1.0), 10.0), ((3.0, 0.7, 0.7), 9.0), ((5.0, 0.5, 0.5), 15.0), ((7.0, 0.4, 0.4), 18.0),
)  # fmt: skip
"""Voxel sizes (mm), and the radius of a ball of at least five slices."""


def drawn(inside: Inside, extent_mm: Vector, spacing_mm: Spacing, shift: Vector = (0.0, 0.0, 0.0)) -> Mask:
    """The voxels whose centres lie in a shape around the origin; `shift` moves the grid, in voxels."""
    axes = []
    for reach, mm, off in zip(extent_mm, spacing_mm, shift, strict=True):
        count = int(np.ceil(reach / mm)) + 2
        axes.append((np.arange(-count, count + 1) + off) * mm)
    return inside(*np.meshgrid(*axes, indexing="ij", sparse=True))


def ellipsoid(radii: Vector, centre: Vector = (0.0, 0.0, 0.0)) -> Inside:
    def inside(*at: NDArray[np.float64]) -> NDArray[np.bool_]:
        total = sum(((x - c) / r) ** 2 for x, c, r in zip(at, centre, radii, strict=True))
        return np.asarray(total <= 1)

    return inside


def slab(half: Vector, centre: Vector = (0.0, 0.0, 0.0)) -> Inside:
    def inside(z: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
        return (np.abs(z - centre[0]) < half[0]) & (np.abs(y - centre[1]) < half[1]) & (np.abs(x - centre[2]) < half[2])

    return inside


def found(one: Mask, other: Mask, spacing_mm: Spacing, tolerance_mm: float = 1.0) -> dict[str, float]:
    return surface_scores(surface_of(one, spacing_mm), surface_of(other, spacing_mm), tolerance_mm)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.3, 0.45, 0.1)])
@pytest.mark.parametrize("steps", [(0, 0, 1), (0, 2, 0), (1, 0, 0)])
@pytest.mark.parametrize(("spacing_mm", "radius"), GRIDS)
def test_a_moved_ball(spacing_mm: Spacing, radius: float, steps: tuple[int, int, int], shift: Vector) -> None:
    """Of a ball moved by d, a point at the angle t to the way lies d |cos t| off: uniform from 0 to d by area."""
    way: Vector = tuple(n * mm for n, mm in zip(steps, spacing_mm, strict=True))  # type: ignore[assignment]
    mm = float(np.linalg.norm(way))
    size = radius + mm
    one = drawn(ellipsoid((radius,) * 3), (size,) * 3, spacing_mm, shift)
    other = drawn(ellipsoid((radius,) * 3, way), (size,) * 3, spacing_mm, shift)
    scores = found(one, other, spacing_mm, 0.7 * mm)
    assert scores["assd_mm"] == pytest.approx(mm / 2, rel=0.05)
    assert scores["masd_mm"] == pytest.approx(mm / 2, rel=0.05)
    assert scores["hd95_mm"] == pytest.approx(0.95 * mm, rel=0.05)
    assert scores["hd_mm"] == pytest.approx(mm, rel=0.05)
    assert scores["nsd"] == pytest.approx(0.7, abs=0.09)


@pytest.mark.parametrize(("spacing_mm", "radius"), GRIDS)
def test_a_grown_ball(spacing_mm: Spacing, radius: float) -> None:
    """Grown by a slice. A mask does not tell its surface better than by a share of a voxel: percentiles hold that."""
    mm = spacing_mm[0]
    one, other = (
        drawn(ellipsoid((r,) * 3), (radius + mm,) * 3, spacing_mm, (0.2, 0.4, 0.1)) for r in (radius, radius + mm)
    )
    scores = found(one, other, spacing_mm)
    assert scores["assd_mm"] == pytest.approx(mm, rel=0.05)
    assert scores["masd_mm"] == pytest.approx(mm, rel=0.05)
    assert mm * 0.95 < scores["hd95_mm"] < mm * 1.3
    assert scores["hd95_mm"] < scores["hd_mm"] < mm * 1.6


@pytest.mark.parametrize(("spacing_mm", "radius"), GRIDS)
def test_a_scaled_ellipsoid(spacing_mm: Spacing, radius: float) -> None:
    """Two ellipsoids with the same centre, against distances from points on both."""
    radii = np.array([radius, 0.8 * radius, 0.6 * radius])
    scale = 1 + spacing_mm[0] / radius
    one, other = (drawn(ellipsoid(tuple(r)), tuple(scale * radii), spacing_mm) for r in (radii, scale * radii))
    scores = found(one, other, spacing_mm)
    (inner, inner_areas), (outer, outer_areas) = points_on(radii), points_on(scale * radii)
    out, back = nearest(inner, outer), nearest(outer, inner)
    total = (out * inner_areas).sum() + (back * outer_areas).sum()
    assert scores["assd_mm"] == pytest.approx(total / (inner_areas.sum() + outer_areas.sum()), rel=0.05)


def points_on(radii: NDArray[np.float64], count: int = 60_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on an ellipsoid and the areas that they stand for."""
    number = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * number / count), np.pi * (1 + 5**0.5) * number
    ball = np.stack([np.cos(polar), np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around)], axis=1)
    return ball * radii, np.linalg.norm(ball / radii, axis=1) * radii.prod() * 4 * np.pi / count


def nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import KDTree

    return np.asarray(KDTree(others).query(points)[0])


@pytest.mark.parametrize(
    ("spacing_mm", "half", "way"),
    [
        ((1.0, 1.0, 1.0), (0.5, 20.0, 20.0), (1.0, 0.0, 0.0)),  # one voxel thin: one face lies on the other's
        ((1.0, 1.0, 1.0), (1.0, 30.0, 30.0), (2.0, 0.0, 0.0)),
        ((5.0, 0.5, 0.5), (27.5, 1.25, 20.0), (0.0, 0.5, 0.0)),
        ((7.0, 0.4, 0.4), (24.5, 1.0, 16.0), (0.0, 1.2, 0.0)),
        ((5.0, 0.5, 0.5), (7.5, 25.25, 25.25), (5.0, 0.0, 0.0)),
    ],
)
def test_a_moved_sheet(spacing_mm: Spacing, half: Vector, way: Vector) -> None:
    """Both faces across the way lie as far off as the shift, or less where it is more than half as thick."""
    extent: Vector = tuple(h + w for h, w in zip(half, way, strict=True))  # type: ignore[assignment]
    offsets: Vector = tuple(0.0 if round(2 * h / mm) % 2 else 0.5 for h, mm in zip(half, spacing_mm, strict=True))  # type: ignore[assignment]
    one, other = (drawn(slab(half, centre), extent, spacing_mm, offsets) for centre in ((0.0, 0.0, 0.0), way))
    assert one.sum() * np.prod(spacing_mm) == pytest.approx(8 * np.prod(half))
    axis = int(np.argmax(way))
    mm, thick = way[axis], 2 * half[axis]
    across, along = (2 * half[n] for n in range(3) if n != axis)
    face, rim = across * along, 2 * (across + along) * thick
    inner = min(mm, abs(thick - mm))
    beyond = min(mm, thick)  # of the rim, what the other does not cover
    rim_mm = beyond**2 / 2 / thick if mm <= thick else mm - thick / 2
    truth = (face * (mm + inner) + rim * rim_mm) / (2 * face + rim)
    assert found(one, other, spacing_mm)["assd_mm"] == pytest.approx(truth, rel=0.05)


def test_weights_are_areas_on_thick_slices() -> None:
    """Slices of 7 mm: the ends have many voxels and little area, the sides few and much; the ends taper off."""
    one = np.zeros((16, 40, 40), bool)
    one[2:14, 10:30, 10:30] = True
    areas = surface_of(one, (7.0, 0.4, 0.4)).areas.sum()
    assert areas == pytest.approx(2 * 8 * 8 + 4 * 8 * 84, rel=0.1)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (7.0, 0.4, 0.4)])
def test_volume_within_a_surface(spacing_mm: Spacing) -> None:
    """The surface encloses what the voxels fill."""
    mask = drawn(ellipsoid((18.0,) * 3), (18.0,) * 3, spacing_mm)
    a, b, c = np.moveaxis(surface_of(mask, spacing_mm).corners, 1, 0)
    volume = abs(float(np.einsum("ij,ij->", a, np.cross(b, c)))) / 6
    assert volume == pytest.approx(mask.sum() * np.prod(spacing_mm), rel=0.06)


def test_the_smallest_lesions() -> None:
    """One voxel, and one slice at the edge of the image, have a surface."""
    voxel = np.zeros((3, 3, 3), bool)
    voxel[1, 1, 1] = True
    edge = np.zeros((3, 3, 3), bool)
    edge[0] = True
    for mask in (voxel, edge):
        assert found(mask, mask, (5.0, 0.5, 0.5))["hd_mm"] == 0
    moved = np.roll(voxel, 1, axis=2)
    assert 0 < found(voxel, moved, (1.0, 1.0, 1.0))["assd_mm"] <= found(voxel, moved, (1.0, 1.0, 1.0))["hd_mm"] <= 1


@pytest.mark.parametrize("mm", [0.6, 1.1, 1.2, 2.0, 3.3, 4.4])
def test_a_distance_equal_to_the_tolerance_is_within_it(mm: float) -> None:
    one, other = np.zeros((8, 16, 16), bool), np.zeros((8, 16, 16), bool)
    one[3], other[4] = True, True
    for spacing in (mm, float(np.float32(mm))):
        assert found(one, other, (spacing, 1, 1), mm)["nsd"] == 1


def test_a_sample_stands_for_all_triangles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means and percentiles of a sample are near; the largest distance is the same, though one spur alone has it."""
    one = drawn(ellipsoid((12.0,) * 3), (14.0,) * 3, (1.0, 1.0, 1.0))
    other = np.roll(one, 1, axis=1)
    other[14:, 14, 14] = True
    whole = found(one, other, (1.0, 1.0, 1.0))
    monkeypatch.setattr(surface_distances, "SAMPLES", 500)
    sampled = found(one, other, (1.0, 1.0, 1.0))
    assert sampled["hd_mm"] == whole["hd_mm"]
    for name in ("assd_mm", "masd_mm", "hd95_mm", "nsd"):
        assert sampled[name] == pytest.approx(whole[name], rel=0.05)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(0.3, 6)] * 3))
def test_percentiles_and_means_keep_their_order(seed: int, spacing_mm: Spacing) -> None:
    rng = np.random.default_rng(seed)
    one, other = (rng.random((4, 5, 6)) < 0.4 for _ in range(2))
    if not (one.any() and other.any()):
        return
    scores = found(one, other, spacing_mm)
    assert 0 <= scores["assd_mm"] <= scores["hd_mm"]
    assert 0 <= scores["hd95_mm"] <= scores["hd_mm"]
    corner = np.linalg.norm(np.array(one.shape) * spacing_mm)
    assert scores["hd_mm"] <= corner
