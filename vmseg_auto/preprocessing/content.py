"""What in a case's voxels is legal, but hardly meant."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.preprocessing.normalise import SEEN_VOXELS
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Spacing
from vmseg_auto.utils.label_masks import foreground_of
from vmseg_auto.utils.text import by_axes, listed

_HOT = 1000.0
"""How many times the range of nearly all voxels the brightest one may be from the darkest."""
_FAR = 1e4
"""How far from 0 a scan may lie, in ranges: float32 keeps 7 digits."""
_TINY = 1e-6
_STEPS = 256
"""Between dark and bright, as in a scan of 8 bits."""
_SHARE, _VOXELS = 0.01, 10
"""Of the outlined voxels, and how many, that count. Where the scan is 0 either is enough, as so many may be a lesion of
their own; saturated must be both, as the brightest voxel of a small lesion has the scan's highest value anyway. In 212
scans of four cohorts (T1, T2, T2*, FLAIR; 8-bit ones too) a single voxel at most is the one or the other."""
_UNLIKE = 3.0
"""How many times larger or smaller than the cohort's median a voxel's edge may be: beyond that resampling makes up, or
throws away, more than two voxels of three. Of four real cohorts none goes beyond 2.5."""
_FEWEST_OTHERS = 3
"""Cases that a voxel size is compared with, at least."""


def require_contrast(image: NDArray[np.float32]) -> None:
    """Refuse a scan [C, Z, Y, X] whose intensities lie so far from 0 that float32 has lost their differences.

    Raises:
        InputError: there are fewer steps of float32 between dark and bright than an 8-bit scan has.
    """
    for channel in image:
        some = channel.reshape(-1)[:: max(1, channel.size // SEEN_VOXELS)]
        seen = some[some != 0].astype(np.float64)
        if not len(seen):
            continue
        low, dark, bright, high = np.percentile(seen, (0, 1, 99, 100)).tolist()
        step = float(np.spacing(np.float32(max(abs(dark), abs(bright)))))
        span = bright - dark or high - low
        if 0 < span < _STEPS * step:
            raise InputError(
                f"the intensities lie so far from 0 and so close together ({dark:.12g} to {bright:.12g}) that numbers "
                f"of 32 bits tell {span / step:.0f} steps of them apart, and {_STEPS} are wanted",
                remedy="Subtract the offset in the original (integers or 64 bits), and save the scan anew.",
            )


def content_notes(image: NDArray[np.float32], mask: NDArray[np.uint8] | None, case: str) -> list[str]:
    """Describe what is odd in a scan's intensities and in where its mask lies; empty where nothing is.

    Args:
        image: [C, Z, Y, X].
        mask: label values [Z, Y, X], where there is one.
        case: its id.
    """
    found = [text for channel in image for text in _odd_intensities(channel)]
    inside = None if mask is None else foreground_of(mask)
    if inside is not None and (outlined := int(np.count_nonzero(inside))):
        unseen = int(np.count_nonzero(inside & (image == 0).all(axis=0)))
        if unseen and unseen >= min(_VOXELS, _SHARE * outlined):
            found.append(
                f"{unseen} of {outlined} outlined voxels lie where the scan is 0 (a removed face, or another scan's "
                "mask); look whether mask and scan belong together"
            )
        found += [text for channel in image for text in _saturated(channel, inside)]
    return [f"case {case}: {text}" for text in found]


def unlike_voxel_sizes(cases: Mapping[str, Spacing]) -> list[str]:
    """Name in one sentence the cases whose voxels are unlike the median of the cohort's; empty where there are none.

    Args:
        cases: id -> voxel size (Z, Y, X) in mm, along the file's axes.

    >>> unlike_voxel_sizes({"a": (3, 1, 1), "b": (3, 1, 1), "c": (3, 1, 1), "d": (3, 1, 1.2)})
    []
    """
    if len(cases) <= _FEWEST_OTHERS:
        return []
    middle = np.median(list(cases.values()), axis=0)
    unlike = []
    for case, spacing in cases.items():
        ratio = np.asarray(spacing) / middle
        if max(ratio.max(), 1 / ratio.min()) > _UNLIKE:
            unlike.append(f"{case} ({by_axes(spacing)})")
    if not unlike:
        return []
    return [
        f"{len(unlike)} of {len(cases)} cases have voxels more than {_UNLIKE:g} times as large or as small along an "
        f"axis as the cohort's {by_axes(middle)} mm (z, y, x; median): {listed(unlike)}; compare with the scanner's "
        "protocol, and mend the header or remove the case where it is wrong; else the scan is resampled that far"
    ]


def _saturated(channel: NDArray[np.float32], outlined: NDArray[np.bool_]) -> list[str]:
    inside = channel[outlined]
    top = channel.max()
    clipped, whole = int(np.count_nonzero(inside == top)), len(inside)
    if clipped < max(_VOXELS, _SHARE * whole) or channel.min() == top:
        return []
    return [
        f"the scan is saturated in {clipped} of {whole} outlined voxels (all {top:g}, its highest value), so that the "
        "lesion shows no structure there; export the scan anew without a limit to its intensities"
    ]


def _odd_intensities(channel: NDArray[np.float32]) -> list[str]:
    seen = channel[channel != 0].astype(np.float64)
    if not len(seen):
        return []
    low, dark, bright, high = np.percentile(seen, (0, 1, 99, 100)).tolist()
    if low == high:
        return [f"the scan has no contrast (every voxel that is not 0 is {low:g}); replace it"]
    found = []
    if high - low > _HOT * (bright - dark):
        found.append(f"a few voxels lie far beyond all others (up to {high:g}); mend them, they hide the contrast")
    if max(abs(dark), abs(bright)) > _FAR * (bright - dark):
        found.append(f"the intensities lie far from 0 and close together ({dark:g} to {bright:g}); subtract the offset")
    if bright - dark < _TINY:
        found.append(f"the intensities are tiny ({dark:g} to {bright:g}); multiply them before use")
    return found
