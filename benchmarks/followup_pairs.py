"""Pairs of scans of one patient with a known change of the lesions: the second is made from the first.

Lesions are shrunk or grown to a given volume, what is left is filled as the tissue around it, and the patient lies
otherwise in the second scan, with other noise and another intensity scale. Synthetic: no pair is a clinical follow-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from vmseg_auto.followup.rigid import RigidTransform, in_view, mapped, voxel_map
from vmseg_auto.utils.geometry import Geometry

SHIFT_MM, TURN_DEGREES = 10.0, 8.0
"""How far the patient lies otherwise at most."""
NOISE = 0.03
"""Standard deviation of what is added, as a share of the scan's range."""
TRIES = 100

Image = NDArray[np.float32]
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """The second scan, and where the first one's places lie in it."""

    image: Image
    mask: Mask
    geometry: Geometry
    transform: RigidTransform


def make_pair(image: Image, mask: Mask, geometry: Geometry, percent: float, rng: np.random.Generator) -> Pair | None:
    """The same patient later.

    Args:
        image, mask: the first scan (Z, Y, X) and its lesions (0 and 1).
        geometry: their grid.
        percent: by which the lesions' volume changes, not below -100.
        rng: all the randomness.

    Returns:
        None where no transform keeps the lesions in view.
    """
    wanted = round(np.count_nonzero(mask) * (1 + percent / 100))
    changed = resized(mask > 0, geometry, wanted)
    edited = _refilled(image, mask > 0, changed, geometry, rng)
    transform = draw_movement(mask.astype(bool) | changed, geometry, rng)
    if transform is None:
        return None
    turned = np.array(transform.rotation).reshape(3, 3)
    back = RigidTransform(tuple(turned.T.ravel().tolist()), tuple((-turned.T @ transform.shift_mm).tolist()))
    matrix, offset = voxel_map(geometry, geometry, back)
    moved = ndimage.affine_transform(edited, matrix, offset, order=3, mode="nearest").astype(np.float32)
    depth = ndimage.affine_transform(_depth(changed, geometry), matrix, offset, order=1, mode="nearest")
    low, high = np.percentile(image, (1, 99))
    noisy = np.maximum(moved, moved.min()) + rng.normal(0, NOISE * (high - low), moved.shape)
    scaled = (rng.uniform(0.7, 1.4) * noisy).astype(np.float32)
    return Pair(scaled, _deepest(depth, wanted).astype(np.uint8), geometry, transform)


def resized(mask: NDArray[np.bool_], geometry: Geometry, voxels: int) -> NDArray[np.bool_]:
    """The voxels that lie deepest in a mask (Z, Y, X), or nearest to it, so many as are wanted."""
    return _deepest(_depth(mask, geometry), voxels)


def _depth(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.float64]:
    """How deep in a mask each voxel lies, in mm; negative outside."""
    inside, outside = (ndimage.distance_transform_edt(side, sampling=geometry.spacing_mm) for side in (mask, ~mask))
    smooth: NDArray[np.float64] = ndimage.gaussian_filter(inside - outside, 0.5)  # so that ties follow the shape
    return smooth


def _deepest(depth: NDArray[np.float64], voxels: int) -> NDArray[np.bool_]:
    found = np.zeros(depth.size, dtype=bool)
    found[np.argsort(-depth, axis=None, kind="stable")[:voxels]] = True
    return found.reshape(depth.shape)


def _refilled(
    image: Image, before: NDArray[np.bool_], after: NDArray[np.bool_], geometry: Geometry, rng: np.random.Generator
) -> Image:
    """Tissue where the lesion was, lesion where it has grown: each as the nearest of its kind, roughened."""
    edited = image.copy()
    for gone, kept in ((before & ~after, ~(before | after)), (after & ~before, before)):
        if not gone.any() or not kept.any():
            continue
        nearest = ndimage.distance_transform_edt(
            ~kept, sampling=geometry.spacing_mm, return_distances=False, return_indices=True
        )
        filled = image[tuple(nearest)]
        smooth = ndimage.gaussian_filter(filled, (0.5, 1, 1))
        rough = (image - ndimage.gaussian_filter(image, (0.5, 1, 1)))[kept]
        edited[gone] = smooth[gone] + rng.choice(rough, int(gone.sum()))
    return edited


def draw_movement(lesions: NDArray[np.bool_], geometry: Geometry, rng: np.random.Generator) -> RigidTransform | None:
    """Draw a motion that keeps all lesions in view, the patient turned about the middle of the scan; None after
    TRIES that do not.
    """
    voxels = np.argwhere(lesions)
    middle = (geometry.affine @ (*(np.array(geometry.shape[::-1]) - 1) / 2, 1))[:3]
    for _ in range(TRIES):
        axis, away = (_direction(rng) for _ in range(2))
        rotation = Rotation.from_rotvec(axis * math.radians(rng.uniform(0, TURN_DEGREES))).as_matrix()
        shift = middle - rotation @ middle + away * rng.uniform(0, SHIFT_MM)
        transform = RigidTransform(tuple(rotation.ravel().tolist()), tuple(shift.tolist()))
        if in_view(mapped(voxels, geometry, geometry, transform), geometry).all():
            return transform
    return None


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = rng.standard_normal(3)
    return np.asarray(drawn / np.linalg.norm(drawn))
