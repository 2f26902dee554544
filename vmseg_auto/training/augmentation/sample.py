"""nnU-Net's augmentation of a sample by batchgenerators. Imports no torch: it runs in worker processes."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
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

from vmseg_auto.training.augmentation.cpu import (
    BIAS_POWERS,
    Chance,
    Chances,
    bias_field,
    largest_angle,
    rotates_in_plane,
)
from vmseg_auto.training.augmentation.mask_channels import changed_masks
from vmseg_auto.utils.geometry import Shape


def augmented(
    patch: tuple[NDArray[np.float32], NDArray[np.uint8]],
    seed: int,
    shape: Shape,
    mirror_axes: tuple[int, ...],
    chances: Chances,
    masks: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the patch as `cpu.PatchAugmentation` augments it.

    Args:
        patch: image [C, Z, Y, X] and label [Z, Y, X], of at least `read_shape(shape)`.
        seed: fixes every random number.
        shape: (Z, Y, X) that is given back.
        mirror_axes: patch axes that may be mirrored.
        chances: how often and how far.
        masks: how many of the image's channels, the last ones, are masks.
    """
    # batchgenerators draws from both global streams.
    random.seed(seed)
    np.random.seed(seed % 2**32)
    image, label = patch
    channels = len(image) - masks
    moving = np.concatenate([label[None], image[channels:]], dtype=np.float32)
    out = _transforms(shape, mirror_axes, chances)(data=image[None, :channels].copy(), seg=moving[None])
    augmented_image, (label_there, *masks_there) = out["data"][0], np.rint(out["seg"][0])
    if masks:
        changed = changed_masks(np.stack(masks_there) > 0, np.random.default_rng(seed))
        augmented_image = np.concatenate([augmented_image, changed.astype(np.float32)])
    return np.ascontiguousarray(augmented_image, np.float32), np.ascontiguousarray(label_there, np.uint8)


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
