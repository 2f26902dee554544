"""Sliding-window prediction of whole prepared cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn import functional

from vmseg_auto.core.geometry import Shape
from vmseg_auto.ops.devices import autocast


def window_starts(size: int, patch: int, step: float) -> list[int]:
    """First voxels of evenly spread windows along one axis, at most `step` x patch apart (nnU-Net's rule), none twice.

    Args:
        size: voxels along the axis, at least `patch`.
        patch: voxels of a window.
        step: as a share of the patch, above 0 and at most 1.
    """
    count = min(math.ceil((size - patch) / (patch * step)), size - patch) + 1
    if count == 1:
        return [0]
    return [round((size - patch) / (count - 1) * i) for i in range(count)]


def windows(shape: Shape, patch: Shape, step: float) -> list[Shape]:
    """First voxels (Z, Y, X) of all windows over a volume that is at least as large as the patch."""
    axes = (window_starts(n, p, step) for n, p in zip(shape, patch, strict=True))
    return list(itertools.product(*axes))  # type: ignore[arg-type]


def gaussian_weight(patch: Shape) -> torch.Tensor:
    """Weight of each voxel of a window, float32 [Z, Y, X]: a Gaussian of sigma patch / 8, never 0 (nnU-Net)."""
    weight = np.zeros(patch, dtype=np.float64)
    weight[tuple(n // 2 for n in patch)] = 1
    weight = gaussian_filter(weight, [n / 8 for n in patch], mode="constant")
    weight /= weight.max()
    smallest = weight[weight > 0].min()
    return torch.from_numpy(np.maximum(weight, smallest).astype(np.float32))


@torch.inference_mode()
def predict_logits(
    networks: Sequence[nn.Module],
    image: torch.Tensor,
    patch: Shape,
    *,
    step: float = 0.5,
    mirror_axes: tuple[int, ...] = (),
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """Mean logits of all networks over all mirrorings, Gaussian-weighted where windows overlap.

    Args:
        networks: in eval mode, on `device`; each maps [B, C, Z, Y, X] to [B, K, Z, Y, X].
        image: float32 [C, Z, Y, X].
        patch: window (Z, Y, X).
        step: distance of windows as a share of the patch.
        mirror_axes: axes of (Z, Y, X) that are mirrored, in every combination; none for no mirroring.
        device: where the networks are; the CPU unless given.
        dtype: 16-bit type for the networks; sums stay in float32.
        progress: called with (windows done, windows in all).

    Returns:
        float32 [K, Z, Y, X] on `device`, of the image's shape.
    """
    device = device or torch.device("cpu")
    padded, inner = _pad(image, patch)
    padded = padded.to(device)
    weight = gaussian_weight(patch).to(device)
    starts = windows(_shape(padded), patch, step)
    flips = [f for n in range(len(mirror_axes) + 1) for f in itertools.combinations(mirror_axes, n)]
    total: torch.Tensor | None = None
    weights = torch.zeros(padded.shape[1:], device=device)
    for done, start in enumerate(starts, 1):
        box = tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))
        with autocast(device, dtype):
            logits = _mean_over_flips(networks, padded[(slice(None), *box)][None], flips)
        if total is None:
            total = torch.zeros((logits.shape[0], *padded.shape[1:]), device=device)
        total[(slice(None), *box)] += logits * weight
        weights[box] += weight
        if progress:
            progress(done, len(starts))
    assert total is not None
    return (total / weights)[(slice(None), *inner)]


def _mean_over_flips(networks: Sequence[nn.Module], image: torch.Tensor, flips: list[tuple[int, ...]]) -> torch.Tensor:
    """[1, C, Z, Y, X] -> float32 [K, Z, Y, X]."""
    total: torch.Tensor | None = None
    for flip in flips:
        axes = tuple(axis + 2 for axis in flip)
        turned = image.flip(axes) if axes else image
        for network in networks:
            logits = network(turned).float()
            logits = logits.flip(axes) if axes else logits
            # cloned, as the sums must not be written into what the network gave or was given
            total = logits.clone() if total is None else total.add_(logits)
    assert total is not None
    return total[0] / (len(flips) * len(networks))


def _pad(image: torch.Tensor, patch: Shape) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """Zero-pad [C, Z, Y, X] evenly to at least the patch; also where the image lies in it."""
    missing = [max(0, p - n) for p, n in zip(patch, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    pads = _interleave((b, m - b) for b, m in zip(reversed(before), reversed(missing), strict=True))
    inner = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    return functional.pad(image, pads), inner


def _interleave(pairs: Iterator[tuple[int, int]]) -> list[int]:
    return [value for pair in pairs for value in pair]


def _shape(image: torch.Tensor) -> Shape:
    z, y, x = image.shape[1:]
    return z, y, x
