"""What nnU-Net's augmentation draws for a sample, apart from applying it. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.training.augmentation.cpu import (
    BIAS_POWERS,
    NNUNET,
    Chance,
    Chances,
    largest_angle,
    rotates_in_plane,
    rotation,
)
from vmseg_auto.utils.geometry import Shape

ByChannel = tuple[tuple[int, float], ...]
"""(channel, value) pairs."""


@dataclass(frozen=True)
class Drawn:
    """The random parameters of one sample. None, or an empty tuple, is a step that was not drawn.

    Args:
        matrix: takes a voxel's offset from the patch's centre to the offset that is read for it, in voxels;
            3 x 3 over (Z, Y, X), or 2 x 2 over (Y, X) for patches that turn in-plane only.
        noise_std: of Gaussian noise on every channel.
        blur_sigma: of a Gaussian filter, in voxels.
        bias: coefficients of `cpu.bias_field` for each channel.
        brightness: factor.
        contrast: factor about the mean.
        resolution: voxels an axis that are kept, as a share.
        inverted_gamma: exponent for the negative image.
        gamma: exponent.
        mirrored: patch axes.
        noise_seed: fixes the noise's voxels.
    """

    matrix: NDArray[np.float64] | None
    noise_std: float | None
    blur_sigma: ByChannel
    bias: tuple[tuple[float, ...], ...]
    brightness: ByChannel
    contrast: ByChannel
    resolution: ByChannel
    inverted_gamma: ByChannel
    gamma: ByChannel
    mirrored: tuple[int, ...]
    noise_seed: int


def draw(seed: int, channels: int, patch: Shape, mirror_axes: tuple[int, ...], chances: Chances = NNUNET) -> Drawn:
    """Draw the parameters of a sample, a pure function of the arguments.

    They are distributed as those that batchgenerators draws for `cpu.PatchAugmentation`.

    Args:
        seed: fixes every random number.
        channels: of the image.
        patch: shape (Z, Y, X) that is given back.
        mirror_axes: patch axes that may be mirrored.
        chances: how often and how far.

    Example:
        >>> draw(7, 1, (8, 32, 32), (2,)) == draw(7, 1, (8, 32, 32), (2,))
        True
    """
    rng = np.random.default_rng(seed)
    return Drawn(
        matrix=_matrix(rng, patch, chances),
        noise_std=_uniform(rng, chances.noise_std) if rng.random() < chances.noise_std.sample else None,
        blur_sigma=_by_channel(rng, channels, chances.blur_sigma, _uniform),
        bias=_bias(rng, channels, chances.bias),
        brightness=_by_channel(rng, channels, chances.brightness, _uniform),
        contrast=_by_channel(rng, channels, chances.contrast, _about_one),
        resolution=_by_channel(rng, channels, chances.resolution, _uniform),
        inverted_gamma=_by_channel(rng, channels, chances.inverted_gamma, _about_one),
        gamma=_by_channel(rng, channels, chances.gamma, _about_one),
        mirrored=tuple(axis for axis in mirror_axes if rng.random() < 0.5),
        noise_seed=int(rng.integers(2**63)),
    )


def affine(angles: tuple[float, ...], zoom: float) -> NDArray[np.float64]:
    """Return the matrix of `Drawn` for angles about (Z, Y, X), or one in-plane angle, in radians, and a zoom.

    The zoom is counted as SpatialTransform's. The turns are batchgenerators', so that both versions turn the same way.
    """
    return rotation(angles).T * zoom


def _matrix(rng: np.random.Generator, patch: Shape, chances: Chances) -> NDArray[np.float64] | None:
    angle, axes = largest_angle(patch), 1 if rotates_in_plane(patch) else 3
    turned, angles, zoom = False, (0.0,) * axes, 1.0
    if rng.random() < chances.rotation:
        turned, angles = True, tuple(float(a) for a in rng.uniform(-angle, angle, axes))
    if rng.random() < chances.zoom.sample:
        turned, zoom = True, _about_one(rng, chances.zoom)
    return affine(angles, zoom) if turned else None


def _bias(rng: np.random.Generator, channels: int, chance: Chance) -> tuple[tuple[float, ...], ...]:
    if rng.random() >= chance.sample:
        return ()
    reaches = [_uniform(rng, chance) for _ in range(channels)]
    return tuple(tuple(rng.uniform(-reach, reach, len(BIAS_POWERS)).tolist()) for reach in reaches)


def _by_channel(
    rng: np.random.Generator, channels: int, chance: Chance, value: Callable[[np.random.Generator, Chance], float]
) -> ByChannel:
    if rng.random() >= chance.sample:
        return ()
    return tuple((channel, value(rng, chance)) for channel in range(channels) if rng.random() < chance.channel)


def _uniform(rng: np.random.Generator, chance: Chance) -> float:
    return float(rng.uniform(chance.low, chance.high))


def _about_one(rng: np.random.Generator, chance: Chance) -> float:
    """Draw below 1 as often as above, however far the range reaches on either side (batchgenerators)."""
    return float(rng.uniform(chance.low, 1) if rng.random() < 0.5 else rng.uniform(1, chance.high))
