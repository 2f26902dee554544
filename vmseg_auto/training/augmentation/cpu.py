"""nnU-Net's augmentation: which steps, how often and how far. Imports neither torch nor batchgenerators."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.geometry import Shape


class Chance(NamedTuple):
    """How often a step is drawn, for a sample and then for each channel of it, and the range of its parameter."""

    sample: float
    low: float
    high: float
    channel: float = 1.0

    @property
    def range(self) -> tuple[float, float]:
        return self.low, self.high


@dataclass(frozen=True)
class Chances:
    """How often and how far each step goes, in the steps' order.

    Args:
        rotation: probability of turning.
        zoom: as SpatialTransform counts it: below 1 enlarges the anatomy.
        noise_std: of Gaussian noise.
        blur_sigma: of a Gaussian filter, in voxels.
        bias: largest coefficient of a smooth field's exponent, as coils leave one (see `bias_field`).
        brightness: factor.
        contrast: factor about the mean.
        resolution: voxels an axis that are kept, as a share.
        inverted_gamma, gamma: exponents.
    """

    rotation: float
    zoom: Chance
    noise_std: Chance
    blur_sigma: Chance
    bias: Chance
    brightness: Chance
    contrast: Chance
    resolution: Chance
    inverted_gamma: Chance
    gamma: Chance


NNUNET = Chances(
    rotation=0.2,
    zoom=Chance(0.2, 0.7, 1.4),
    noise_std=Chance(0.1, 0.0, 0.1),
    blur_sigma=Chance(0.2, 0.5, 1.0, channel=0.5),
    bias=Chance(0.0, 0.0, 0.0),
    brightness=Chance(0.15, 0.75, 1.25),
    contrast=Chance(0.15, 0.75, 1.25),
    resolution=Chance(0.25, 0.5, 1.0, channel=0.5),
    inverted_gamma=Chance(0.1, 0.7, 1.5),
    gamma=Chance(0.3, 0.7, 1.5),
)
"""nnU-Net v2's."""
STRONG = Chances(
    rotation=0.4,
    zoom=Chance(0.4, 0.65, 1.5),
    noise_std=Chance(0.2, 0.0, 0.15),
    blur_sigma=Chance(0.2, 0.5, 1.5, channel=0.5),
    bias=Chance(0.3, 0.0, 0.4),
    brightness=Chance(0.25, 0.7, 1.3),
    contrast=Chance(0.25, 0.65, 1.5),
    resolution=Chance(0.3, 0.4, 1.0, channel=0.5),
    inverted_gamma=Chance(0.1, 0.6, 1.7),
    gamma=Chance(0.4, 0.6, 1.7),
)
"""More often and further, with a bias field: for scanners that the cohort did not come from."""


@dataclass(frozen=True)
class NoAugmentation:
    """The patch as it was read."""

    def __call__(
        self, patch: tuple[NDArray[np.float32], NDArray[np.uint8]], seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return patch


@dataclass(frozen=True)
class PatchAugmentation:
    """nnU-Net v2's steps: rotation, zoom, noise, blur, brightness, contrast, low resolution, gamma and mirroring.

    A bias field comes between blur and brightness where `chances` has one.

    Rotations are in-plane where the patch is more than 3 x anisotropic, else about each axis (`largest_angle`).
    There is no elastic deformation; images are interpolated linearly, labels take the nearest.

    Args:
        patch: shape (Z, Y, X) that is given back; what comes in is at least `read_shape(patch)`.
        mirror_axes: patch axes that may be mirrored.
        chances: how often and how far.
        masks: how many of the image's channels, the last ones, are masks of a cascade's first stage: they move with the
            label, and are then changed as `mask_channels.changed_masks` does.
    """

    patch: Shape
    mirror_axes: tuple[int, ...]
    chances: Chances = NNUNET
    masks: int = 0

    def __call__(
        self, patch: tuple[NDArray[np.float32], NDArray[np.uint8]], seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return image [C, Z, Y, X] and label [Z, Y, X], augmented; `seed` fixes every random number."""
        from vmseg_auto.training.augmentation.sample import augmented  # batchgenerators takes long to load

        return augmented(patch, seed, self.patch, self.mirror_axes, self.chances, self.masks)


def rotates_in_plane(patch: Shape) -> bool:
    """Return whether the patch is so flat (> 3 x) that only in-plane rotation makes sense.

    Example:
        >>> rotates_in_plane((16, 64, 64)), rotates_in_plane((32, 64, 64))
        (True, False)
    """
    return max(patch) / patch[0] > 3


def largest_angle(patch: Shape) -> float:
    """Return the angle, in radians, from minus which to which rotations are drawn.

    It is 180 degrees in-plane, but 15 where the patch is a single slice more than 1.5 x as long as wide; 30 about each
    axis of a patch that turns in space (nnU-Net).

    >>> [round(np.degrees(largest_angle(patch))) for patch in ((16, 64, 64), (32, 64, 64), (1, 64, 48), (1, 64, 40))]
    [180, 30, 180, 15]
    """
    if patch[0] == 1 and max(patch[1:]) / min(patch[1:]) > 1.5:
        return np.pi / 12
    return np.pi if rotates_in_plane(patch) else np.pi / 6


def rotation(angles: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the matrix that turns rows of (Z, Y, X) offsets about each axis in turn, or of (Y, X) offsets in-plane.

    Args:
        angles: about (Z, Y, X), or one in-plane angle, in radians; signs as batchgenerators has them.

    Example:
        >>> (np.array([0.0, 1.0]) @ rotation((np.pi / 2,))).round(3)  # (Y, X)
        array([1., 0.])
    """
    if len(angles) == 1:
        return np.array(_turn(angles[0]))
    matrix = np.identity(3)
    for axis, angle in enumerate(angles):
        (a, b), (c, d) = _turn(-angle if axis == 1 else angle)
        one = np.identity(3)
        first, second = (other for other in range(3) if other != axis)
        one[[first, first, second, second], [first, second, first, second]] = a, b, c, d
        matrix = matrix @ one
    return matrix


def _turn(angle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))


def read_shape(patch: Shape) -> Shape:
    """Return the shape (Z, Y, X) to read so that rotation and zoom find image in the patch's corners (nnU-Net).

    Example:
        >>> read_shape((16, 64, 64)), read_shape((32, 32, 32))
        ((16, 75, 75), (51, 51, 51))
    """
    angle = min(largest_angle(patch), np.pi / 2)
    corners = np.array(patch, dtype=float)
    turns = (
        [(angle, 0.0, 0.0)] if rotates_in_plane(patch) else [(angle, 0.0, 0.0), (0.0, angle, 0.0), (0.0, 0.0, angle)]
    )
    reach = corners.copy()
    for turn in turns:
        reach = np.maximum(reach, np.abs(corners @ rotation(turn)))
    reach /= 0.85  # the zoom that nnU-Net makes room for
    if rotates_in_plane(patch):
        reach[0] = patch[0]
    return int(reach[0]), int(reach[1]), int(reach[2])


BIAS_POWERS = tuple(p for p in itertools.product(range(3), repeat=3) if 1 <= sum(p) <= 2)
"""Powers of (z, y, x) in a bias field's exponent: all the linear and quadratic ones."""


def bias_field(coefficients: Sequence[float] | NDArray[np.float64], shape: Shape) -> NDArray[np.float32]:
    """Return exp of a polynomial over the patch, -1 to 1 along each axis: what a receive coil does to a scan's voxels.

    Args:
        coefficients: one for each of BIAS_POWERS.
        shape: (Z, Y, X).
    """
    lines = [
        np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if a == i else 1 for a in range(3)])
        for i, n in enumerate(shape)
    ]
    exponent = np.zeros(shape, dtype=np.float32)
    for coefficient, powers in zip(coefficients, BIAS_POWERS, strict=True):
        exponent += np.float32(coefficient) * lines[0] ** powers[0] * lines[1] ** powers[1] * lines[2] ** powers[2]
    return np.exp(exponent)
