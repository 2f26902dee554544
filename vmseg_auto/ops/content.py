"""What in a case's voxels is legal, but hardly meant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HOT = 1000.0
"""How many times the range of nearly all voxels the brightest one may be from the darkest."""
_FAR = 1e4
"""How far from 0 a scan may lie, in ranges: float32 keeps 7 digits."""
_TINY = 1e-6


def content_notes(image: NDArray[np.float32], mask: NDArray[np.uint8] | None, case: str) -> list[str]:
    """In words, what is odd in a scan's intensities and in where its mask lies.

    Args:
        image: [C, Z, Y, X].
        mask: label values [Z, Y, X], where there is one.
        case: its id.
    """
    found = [text for channel in image for text in _odd_intensities(channel)]
    if mask is not None and (outlined := int(np.count_nonzero(mask))):
        unseen = int(np.count_nonzero((mask != 0) & (image == 0).all(axis=0)))
        if unseen:
            found.append(
                f"{unseen} of {outlined} outlined voxels lie where the scan is 0 (a removed face, or another scan's "
                "mask); look whether mask and scan belong together"
            )
    return [f"case {case}: {text}" for text in found]


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
