"""Intensity normalisation, before resampling, and what a scan's intensities are like whatever their scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.planning.fingerprint import PROFILE_PERCENTILES, Profile
from vmseg_auto.planning.plan import Normalization

SMALLEST_STD = 1e-8
SEEN_VOXELS = 200_000
"""Of a channel, to take its profile from."""


def normalize(
    image: NDArray[np.float32], schemes: Sequence[Normalization], inside: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Normalise each channel by its own scheme; one that is missing, and so 0 everywhere, stays so.

    Args:
        image: [C, Z, Y, X], cropped, at its native spacing; left as it is.
        schemes: one for each channel.
        inside: [Z, Y, X], the scan's non-zero region; needed by "zscore_in_mask" alone.

    Raises:
        ValueError: the number of schemes is not that of channels, or `inside` is missing.
    """
    if len(schemes) != len(image):
        raise ValueError(f"{len(schemes)} normalisation schemes for {len(image)} channels")
    return np.stack([_normalize(channel, scheme, inside) for channel, scheme in zip(image, schemes, strict=True)])


def channels_there(image: NDArray[np.float32]) -> list[bool]:
    """Return of each channel of an image [C, Z, Y, X] whether it is there; one that is missing is 0 everywhere."""
    return [bool(channel.any()) for channel in image]


def intensity_profiles(image: NDArray[np.float32]) -> tuple[Profile, ...]:
    """Compute where the PROFILE_PERCENTILES of each channel lie between its 1st percentile (0) and its 99th (1).

    Neither the scale nor the offset of the intensities changes it. A channel that is missing has an empty profile.

    Args:
        image: [C, Z, Y, X], cropped to what is not 0.
    """
    return tuple(_profile(channel.reshape(-1)) if channel.any() else () for channel in image)


def _profile(values: NDArray[np.float32]) -> Profile:
    seen = values[:: max(1, len(values) // SEEN_VOXELS)].astype(np.float64)
    dark, *between, bright = np.percentile(seen, (1, *PROFILE_PERCENTILES, 99)).tolist()
    return tuple(round((value - dark) / (bright - dark), 4) if bright > dark else 0.0 for value in between)


def _normalize(
    channel: NDArray[np.float32], scheme: Normalization, inside: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    if scheme.scheme == "none" or not channel.any():
        return channel
    if scheme.scheme == "ct":
        return _shift(np.clip(channel, scheme.lower, scheme.upper), scheme.mean, scheme.std)
    if scheme.scheme == "zscore":
        return _zscore(channel)
    if inside is None:
        raise ValueError("zscore_in_mask needs the non-zero region")
    result = channel.copy()
    result[inside] = _zscore(channel[inside])
    return result


def _zscore(values: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = float(values.mean(dtype=np.float64))
    std = float(values.std(dtype=np.float64))
    return _shift(values, mean, std)


def _shift(values: NDArray[np.float32], mean: float, std: float) -> NDArray[np.float32]:
    """Return z-scores, subtracted in float64: a mean far from 0 would be rounded by more than the contrast."""
    shifted = np.empty(values.shape, dtype=np.float32)
    np.subtract(values, mean, out=shifted, dtype=np.float64, casting="same_kind")
    shifted /= np.float32(max(std, SMALLEST_STD))
    return shifted
