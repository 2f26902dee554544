"""What of a scan is air: the one rule, whatever a scanner fills air with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SURELY_AIR = 0.1
"""Below this share of a scan's range nothing is tissue: a stack of slices as large as a window that stays below it
holds no skin, fat, fluid or vessel, and no network need predict it."""
NO_TISSUE = 0.15
"""Above this share a voxel is tissue that a lesion can lie in."""


def air_level(intensities: NDArray[Any], share: float) -> NDArray[Any]:
    """Return the intensity at a share of the way from the 1st to the 99th percentile, of each row.

    >>> print(air_level(np.linspace(0, 100, 101), SURELY_AIR).round(1))
    10.8

    Args:
        intensities: [..., N], of all voxels or of some.
        share: SURELY_AIR or NO_TISSUE.
    """
    low, high = np.percentile(intensities, (1, 99), axis=-1)
    level: NDArray[Any] = low + share * (high - low)
    return level
