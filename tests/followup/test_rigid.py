"""Where a voxel of one scan lies in another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from vmseg_auto.followup.rigid import RigidTransform, in_view, local_ncc, mapped, placed, resample
from vmseg_auto.utils.geometry import Geometry

TILTED = tuple(Rotation.from_euler("xyz", [5, -10, 20], degrees=True).as_matrix().ravel().tolist())
FIRST = Geometry((10, 20, 22), (3.0, 1.0, 1.2), (-5.0, 7.0, 2.0), TILTED)
SECOND = Geometry((20, 18, 24), (1.5, 1.3, 1.0), (3.0, 2.0, -4.0))
ANGLES = st.tuples(*[st.floats(-60, 60)] * 3)
SHIFTS = st.tuples(*[st.floats(-40, 40)] * 3)


def movement_of(angles: tuple[float, ...], shift: tuple[float, ...]) -> RigidTransform:
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return RigidTransform(tuple(rotation.ravel().tolist()), shift)


def blobs(seed: int, geometry: Geometry = FIRST) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=geometry.shape)
    return ndimage.gaussian_filter(noise, [2 / mm for mm in geometry.spacing_mm]).astype(np.float32)


@given(angles=ANGLES, shift=SHIFTS)
def test_there_and_back_again(angles: tuple[float, ...], shift: tuple[float, ...]) -> None:
    transform = movement_of(angles, shift)
    voxels = np.array([[0, 0, 0], [9, 19, 21], [4, 7, 1]])
    there = mapped(voxels, FIRST, SECOND, transform)
    assert mapped(there, SECOND, FIRST, transform.inverse) == pytest.approx(voxels, abs=1e-6)
    assert placed(voxels, FIRST, transform) == pytest.approx(placed(there, SECOND, RigidTransform()), abs=1e-6)


def test_places_are_those_of_the_header() -> None:
    (place,) = placed(np.array([[2, 3, 4]]), SECOND, RigidTransform(shift_mm=(1.0, 0.0, 0.0)))
    assert place == pytest.approx([3 + 4 * 1.0 + 1, 2 + 3 * 1.3, -4 + 2 * 1.5])


@pytest.mark.parametrize("degrees", [0.0, 8.0, 170.0])
def test_the_angle_turned(degrees: float) -> None:
    axis = np.array([1.0, 2.0, -1.0]) / np.sqrt(6)
    rotation = Rotation.from_rotvec(np.deg2rad(degrees) * axis).as_matrix()
    assert RigidTransform(tuple(rotation.ravel().tolist())).degrees == pytest.approx(degrees, abs=1e-4)


def test_a_grid_ends_half_a_voxel_beyond_its_last_centre() -> None:
    ends = np.array([[-0.5, 0, 0], [-0.6, 0, 0], [9.4, 19.4, 21.4], [9.6, 0, 0]])
    assert in_view(ends, FIRST).tolist() == [True, False, True, False]


def test_a_scan_moved_and_brought_back_is_the_same() -> None:
    transform = movement_of((4, -3, 5), (2.0, -1.0, 1.0))
    image = blobs(0)
    there = resample(image, FIRST, SECOND, transform.inverse, 0.0)
    back = resample(there, SECOND, FIRST, transform, np.nan)
    inner = (slice(3, -3), slice(6, -6), slice(6, -6))
    seen = np.isfinite(back[inner])
    assert seen.mean() > 0.2
    assert np.corrcoef(back[inner][seen], image[inner][seen])[0, 1] > 0.95


def test_local_ncc_tells_the_same_tissue_from_another() -> None:
    image = blobs(1)
    assert local_ncc(image, image, FIRST.spacing_mm) == pytest.approx(1, abs=1e-3)
    assert local_ncc(image, (5 - 3 * image).astype(np.float32), FIRST.spacing_mm) == pytest.approx(1, abs=1e-3)
    assert local_ncc(image, blobs(2), FIRST.spacing_mm) < 0.3
    half = image.copy()
    half[:, 10:] = np.nan
    assert local_ncc(image, half, FIRST.spacing_mm) == pytest.approx(1, abs=1e-3)
    assert local_ncc(image, np.full_like(image, np.nan), FIRST.spacing_mm) == 0
    assert local_ncc(image, np.zeros_like(image), FIRST.spacing_mm) == 0
