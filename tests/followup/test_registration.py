"""SimpleITK finds how a patient moved, the same way every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from vmseg_auto.demo.phantom.phantom import make_phantom
from vmseg_auto.followup.registration import find_transform
from vmseg_auto.followup.rigid import RigidTransform, placed, resample
from vmseg_auto.utils.geometry import Geometry

SCAN = make_phantom(0, 0)


def moved(angles: tuple[float, ...], shift: tuple[float, ...], grid: Geometry) -> tuple[RigidTransform, np.ndarray]:
    """The phantom turned about the middle of its scan, as another scan of a patient who lies otherwise."""
    middle = placed((np.array(SCAN.geometry.shape)[None] - 1) / 2, SCAN.geometry, RigidTransform())[0]
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    transform = RigidTransform(tuple(rotation.ravel().tolist()), tuple((middle - rotation @ middle + shift).tolist()))
    image = resample(SCAN.image, SCAN.geometry, grid, transform.inverse, 0.0)
    noise = np.random.default_rng(1).normal(0, 0.02 * image.max(), grid.shape)
    return transform, (1.7 * image + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("angles", "shift"), [((0, 0, 0), (0, 0, 0)), ((3, -4, 6), (6, -7, 4)), ((0, 0, -8), (-6, 6, 5))]
)
def test_the_movement_is_found(angles: tuple[float, ...], shift: tuple[float, ...]) -> None:
    transform, image = moved(angles, shift, SCAN.geometry)
    found = find_transform(SCAN.image, SCAN.geometry, image, SCAN.geometry)
    assert found is not None
    voxels = np.argwhere(SCAN.mask)
    apart = placed(voxels, SCAN.geometry, found) - placed(voxels, SCAN.geometry, transform)
    assert np.linalg.norm(apart, axis=1).max() < 1.5  # a quarter of a slice


def test_a_table_that_stood_elsewhere_does_not_matter() -> None:
    transform, image = moved((2, 0, 3), (2, 2, 2), SCAN.geometry)
    x, y, z = SCAN.geometry.origin_mm
    elsewhere = replace(SCAN.geometry, origin_mm=(x + 300, y - 80, z + 500))
    found = find_transform(SCAN.image, SCAN.geometry, image, elsewhere)
    assert found is not None
    voxels = np.argwhere(SCAN.mask)
    wanted = placed(voxels, SCAN.geometry, transform) + np.array([300, -80, 500])
    assert np.linalg.norm(placed(voxels, SCAN.geometry, found) - wanted, axis=1).max() < 1.5


def test_it_is_the_same_with_any_number_of_threads() -> None:
    _, image = moved((3, -4, 6), (6, -7, 4), SCAN.geometry)
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = set()
    try:
        for threads in (1, 3):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            found.add(find_transform(SCAN.image, SCAN.geometry, image, SCAN.geometry))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert len(found) == 1


def test_scans_too_thin_to_align() -> None:
    thin = replace(SCAN.geometry, shape=(1, *SCAN.geometry.shape[1:]), spacing_mm=(2.0, 3.2, 3.2))
    assert find_transform(SCAN.image[8:9], thin, SCAN.image[8:9], thin) is None
