"""nnU-Net's augmentation, by batchgenerators. Imports no torch: it runs in worker processes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from batchgenerators.augmentations.utils import rotate_coords_3d
from batchgenerators.transforms.abstract_transforms import AbstractTransform, Compose
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
)
from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, GaussianNoiseTransform
from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform, SpatialTransform
from numpy.typing import NDArray

from vmseg_auto.core.geometry import Shape


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

    Rotations are in-plane and of any angle where the patch is more than 3 x anisotropic, else up to 30 degrees
    about each axis. There is no elastic deformation; images are interpolated linearly, labels take the nearest.

    Args:
        patch: shape (Z, Y, X) that is given back; what comes in is at least `read_shape(patch)`.
        mirror_axes: patch axes that may be mirrored.
        chances: how often and how far.
    """

    patch: Shape
    mirror_axes: tuple[int, ...]
    chances: Chances = NNUNET

    def __call__(
        self, patch: tuple[NDArray[np.float32], NDArray[np.uint8]], seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Args: image [C, Z, Y, X] and label [Z, Y, X]; `seed` fixes every random number."""
        # batchgenerators draws from both global streams.
        random.seed(seed)
        np.random.seed(seed % 2**32)
        image, label = patch
        out = _transforms(self.patch, self.mirror_axes, self.chances)(
            data=image[None].copy(), seg=label[None, None].astype(np.float32)
        )
        return np.ascontiguousarray(out["data"][0], np.float32), np.ascontiguousarray(
            np.rint(out["seg"][0, 0]), np.uint8
        )


def rotates_in_plane(patch: Shape) -> bool:
    """Whether the patch is so flat (> 3 x) that only in-plane rotation makes sense."""
    return max(patch) / patch[0] > 3


def largest_angle(patch: Shape) -> float:
    """Rotations are drawn from minus this angle to this angle, in radians."""
    return np.pi if rotates_in_plane(patch) else np.pi / 6


def read_shape(patch: Shape) -> Shape:
    """The shape (Z, Y, X) to read so that rotation and zoom find image in the patch's corners (nnU-Net)."""
    angle = np.pi / 2 if rotates_in_plane(patch) else np.pi / 6
    corners = np.array(patch, dtype=float)
    turns = (
        [(angle, 0.0, 0.0)] if rotates_in_plane(patch) else [(angle, 0.0, 0.0), (0.0, angle, 0.0), (0.0, 0.0, angle)]
    )
    reach = corners.copy()
    for turn in turns:
        reach = np.maximum(reach, np.abs(rotate_coords_3d(corners[:, None], *turn))[:, 0])
    reach /= 0.85  # the zoom that nnU-Net makes room for
    if rotates_in_plane(patch):
        reach[0] = patch[0]
    return int(reach[0]), int(reach[1]), int(reach[2])


class _InPlane(AbstractTransform):  # type: ignore[misc]
    """Applies a 2-D transform alike to every slice, as nnU-Net does for flat patches."""

    def __init__(self, transform: AbstractTransform) -> None:
        self.transform = transform

    def __call__(self, data: NDArray[np.float32], seg: NDArray[np.float32], **rest: object) -> dict[str, object]:
        (b, c, z, *_), s = data.shape, seg.shape[1]
        out = self.transform(data=data.reshape(b, c * z, *data.shape[3:]), seg=seg.reshape(b, s * z, *seg.shape[3:]))
        plane = out["data"].shape[2:]
        return {**rest, "data": out["data"].reshape(b, c, z, *plane), "seg": out["seg"].reshape(b, s, z, *plane)}


class _Bias(AbstractTransform):  # type: ignore[misc]
    """A bias field on each channel, with coefficients from numpy's global stream as batchgenerators' own steps."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance

    def __call__(self, data: NDArray[np.float32], **rest: object) -> dict[str, object]:
        for sample in data:
            if np.random.uniform() < self.chance.sample:
                for channel in sample:
                    reach = np.random.uniform(*self.chance.range)
                    field = bias_field(np.random.uniform(-reach, reach, len(BIAS_POWERS)), channel.shape)
                    low = channel.min()
                    channel[...] = (channel - low) * field + low
        return {**rest, "data": data}


BIAS_POWERS = tuple(p for p in itertools.product(range(3), repeat=3) if 1 <= sum(p) <= 2)
"""Powers of (z, y, x) in a bias field's exponent: all the linear and quadratic ones."""


def bias_field(coefficients: Sequence[float] | NDArray[np.float64], shape: Shape) -> NDArray[np.float32]:
    """exp of a polynomial over the patch, -1 to 1 along each axis: what a receive coil does to a scan's voxels.

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


@lru_cache(maxsize=4)
def _transforms(patch: Shape, mirror_axes: tuple[int, ...], chances: Chances) -> Compose:
    flat, angle = rotates_in_plane(patch), largest_angle(patch)
    turn, still = (-angle, angle), (0, 0)
    spatial = SpatialTransform(
        patch[1:] if flat else patch,
        patch_center_dist_from_border=None,
        do_elastic_deform=False,
        angle_x=turn,
        angle_y=still if flat else turn,
        angle_z=still if flat else turn,
        scale=chances.zoom.range,
        border_mode_data="constant",
        order_data=1,
        border_mode_seg="constant",
        border_cval_seg=0,
        order_seg=0,
        random_crop=False,
        p_el_per_sample=0,
        p_rot_per_sample=chances.rotation,
        p_scale_per_sample=chances.zoom.sample,
    )
    steps = [
        _InPlane(spatial) if flat else spatial,
        GaussianNoiseTransform(chances.noise_std.range, p_per_sample=chances.noise_std.sample),
        GaussianBlurTransform(
            chances.blur_sigma.range,
            different_sigma_per_channel=True,
            p_per_sample=chances.blur_sigma.sample,
            p_per_channel=chances.blur_sigma.channel,
        ),
        *([_Bias(chances.bias)] if chances.bias.sample else []),
        BrightnessMultiplicativeTransform(chances.brightness.range, p_per_sample=chances.brightness.sample),
        ContrastAugmentationTransform(chances.contrast.range, p_per_sample=chances.contrast.sample),
        SimulateLowResolutionTransform(
            zoom_range=chances.resolution.range,
            per_channel=True,
            p_per_channel=chances.resolution.channel,
            order_downsample=0,
            order_upsample=1,
            p_per_sample=chances.resolution.sample,
            ignore_axes=(0,) if flat else None,
        ),
        _gamma(chances.inverted_gamma, invert=True),
        _gamma(chances.gamma, invert=False),
    ]
    return Compose(steps + ([MirrorTransform(mirror_axes)] if mirror_axes else []))


def _gamma(chance: Chance, invert: bool) -> GammaTransform:
    return GammaTransform(
        chance.range, invert_image=invert, per_channel=True, retain_stats=True, p_per_sample=chance.sample
    )
