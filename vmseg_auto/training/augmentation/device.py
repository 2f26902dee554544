"""nnU-Net's augmentation in torch, for batches that are on their device already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vmseg_auto.training.augmentation.config import Drawn, draw
from vmseg_auto.training.augmentation.cpu import BIAS_POWERS, PatchAugmentation, rotates_in_plane
from vmseg_auto.utils.geometry import Shape


@dataclass(frozen=True)
class BatchAugmentation:
    """The steps of `stands_for` with its probabilities, ranges, order and interpolation, on any device.

    Parameters are drawn on the CPU and reach the device as arguments of kernels: nothing is copied there, nothing is
    waited for. Samples are worked on one by one, so that a sample's bits don't depend on what stands beside it;
    a sample has voxels enough to fill a GPU.

    Args:
        stands_for: what it does in place of worker processes.
    """

    stands_for: PatchAugmentation

    def __call__(
        self, image: torch.Tensor, label: torch.Tensor, seeds: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image [B, C, Z, Y, X] float32 and label [B, Z, Y, X] of the patch's shape, in new memory.

        Args:
            image: [B, C, Z, Y, X] float32, of `read_shape(patch)`.
            label: [B, Z, Y, X], of the same shape; its type is kept.
            seeds: one a sample, which fixes its every random number.
        """
        patch, axes = self.stands_for.patch, self.stands_for.mirror_axes
        images, labels = image.new_empty((*image.shape[:2], *patch)), label.new_empty((len(label), *patch))
        generator = torch.Generator(image.device)
        for index, seed in enumerate(seeds):
            drawn = draw(seed, image.shape[1], patch, axes, self.stands_for.chances)
            images[index], labels[index] = spatial_transform(image[index], label[index], patch, drawn.matrix)
            change_intensities(images[index], drawn, rotates_in_plane(patch), generator)
            if drawn.mirrored:
                images[index] = images[index].flip([axis + 1 for axis in drawn.mirrored])
                labels[index] = labels[index].flip(drawn.mirrored)
        return images, labels


def spatial_transform(
    image: torch.Tensor, label: torch.Tensor, patch: Shape, matrix: NDArray[np.float64] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the patch at the centre of what was read: its very voxels, or turned and zoomed in one interpolation.

    Images are interpolated linearly, labels take the nearest; beyond the centres of the outermost voxels
    everything is 0, as with scipy's map_coordinates in its mode "constant".

    Args:
        image: [C, Z, Y, X].
        label: [Z, Y, X].
        patch: shape (Z, Y, X) that is given back.
        matrix: as in `Drawn`; 2 x 2 turns every slice alike.
    """
    if matrix is None:
        z, y, x = (slice((n - p) // 2, (n - p) // 2 + p) for n, p in zip(label.shape, patch, strict=True))
        return image[:, z, y, x], label[z, y, x]
    # Slices that turn alike are channels of a plane.
    axes = len(matrix)
    read = label.shape[-axes:]
    grid, outside = _grid(matrix, patch[-axes:], read, image.device)
    sampled = []
    for voxels, mode in ((image, "bilinear"), (label.float(), "nearest")):
        channels = voxels.reshape(1, -1, *read)
        values = functional.grid_sample(channels, grid, mode=mode, padding_mode="border", align_corners=False)
        sampled.append(values.masked_fill(outside, 0.0))
    return sampled[0].reshape(len(image), *patch), sampled[1].reshape(patch).to(label.dtype)


def _grid(
    matrix: NDArray[np.float64], patch: Sequence[int], read: Sequence[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where to read for each voxel, as grid_sample counts it [1, *patch, x first], and what is outside."""
    lines = [torch.arange(n, device=device) - (n - 1) / 2 for n in patch]
    offsets = torch.meshgrid(*lines, indexing="ij")
    outside = torch.zeros(tuple(patch), dtype=torch.bool, device=device)
    shares = []
    for row, n in zip(matrix.tolist(), read, strict=True):
        position = torch.full(tuple(patch), (n - 1) / 2, device=device)
        for factor, offset in zip(row, offsets, strict=True):
            position = position + factor * offset
        outside |= (position < 0) | (position > n - 1)
        shares.append((2 * position + 1) / n - 1)
    return torch.stack(shares[::-1], dim=-1)[None], outside


def change_intensities(image: torch.Tensor, drawn: Drawn, in_plane: bool, generator: torch.Generator) -> None:
    """Apply every step between geometry and mirroring, in nnU-Net's order.

    Args:
        image: [C, Z, Y, X] float32; it is changed in place.
        drawn: the sample's parameters.
        in_plane: whether low resolution spares the slices' axis.
        generator: on the image's device; it is seeded anew.
    """
    if drawn.noise_std is not None:
        generator.manual_seed(drawn.noise_seed)
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        image.add_(noise, alpha=drawn.noise_std)
    for channel, sigma in drawn.blur_sigma:
        image[channel] = blur(image[channel], sigma)
    for channel, coefficients in enumerate(drawn.bias):
        image[channel] = apply_bias_field(image[channel], coefficients)
    for channel, factor in drawn.brightness:
        image[channel].mul_(factor)
    for channel, factor in drawn.contrast:
        image[channel] = contrast(image[channel], factor)
    for channel, share in drawn.resolution:
        image[channel] = simulate_low_resolution(image[channel], share, in_plane)
    for channel, exponent in drawn.inverted_gamma:
        image[channel] = -gamma(-image[channel], exponent)
    for channel, exponent in drawn.gamma:
        image[channel] = gamma(image[channel], exponent)


def blur(volume: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur [Z, Y, X] as scipy's gaussian_filter: 4 sigma wide, reflected at the borders; one matrix product an axis."""
    for axis, n in enumerate(volume.shape):
        lines = volume.movedim(axis, -2)
        volume = (_blur_matrix(n, sigma, volume.device) @ lines).movedim(-2, axis)
    return volume


def _blur_matrix(n: int, sigma: float, device: torch.device) -> torch.Tensor:
    """Return [n, n]: a voxel's weights sum over its mirror images, which repeat every 2 n voxels."""
    radius = int(4 * sigma + 0.5)
    reach = radius // (2 * n) + 1
    here = torch.arange(n, device=device)
    periods = 2 * n * torch.arange(-reach, reach + 1, device=device)[:, None, None]
    distance = torch.cat([periods + here, periods - 1 - here]) - here[:, None]
    weights = torch.exp(-0.5 * (distance / sigma) ** 2) * (distance.abs() <= radius)
    total = sum(math.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1))
    return weights.sum(0) / total


def apply_bias_field(volume: torch.Tensor, coefficients: Sequence[float]) -> torch.Tensor:
    """Apply the bias field of `cpu.bias_field` to [Z, Y, X]; the darkest voxel stays as it is."""
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, n, device=volume.device) for n in volume.shape], indexing="ij")
    exponent = torch.zeros_like(volume)
    for coefficient, (a, b, c) in zip(coefficients, BIAS_POWERS, strict=True):
        exponent.add_(z**a * y**b * x**c, alpha=coefficient)
    low = volume.amin()
    return (volume - low) * exponent.exp() + low


def contrast(volume: torch.Tensor, factor: float) -> torch.Tensor:
    """Change the contrast about the mean, within the range that was there.

    Example:
        >>> contrast(torch.tensor([[[0.0, 4.0, 5.0]]]), 0.5)
        tensor([[[1.5000, 3.5000, 4.0000]]])
    """
    mean = volume.mean()
    return torch.clamp((volume - mean) * factor + mean, volume.amin(), volume.amax())


def simulate_low_resolution(volume: torch.Tensor, share: float, in_plane: bool) -> torch.Tensor:
    """Return [Z, Y, X] as if scanned with `share` of its voxels an axis: the nearest ones, interpolated linearly."""
    size = [n if in_plane and axis == 0 else round(n * share) for axis, n in enumerate(volume.shape)]
    small = functional.interpolate(volume[None, None], size=size, mode="nearest-exact")
    return functional.interpolate(small, size=volume.shape, mode="trilinear", align_corners=False)[0, 0]


def gamma(volume: torch.Tensor, exponent: float) -> torch.Tensor:
    """Apply gamma between the volume's least and largest value; mean and standard deviation stay as they were."""
    deviation, mean = torch.std_mean(volume, correction=0)
    low = volume.amin()
    span = volume.amax() - low + 1e-7
    bent = ((volume - low) / span) ** exponent * span + low
    bent_deviation, bent_mean = torch.std_mean(bent, correction=0)
    return (bent - bent_mean) / (bent_deviation + 1e-8) * deviation + mean
