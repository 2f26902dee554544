"""A case as the network sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.geometry import Box, Geometry


@dataclass(frozen=True)
class PreprocessedCase:
    """A case cropped, normalised and resampled.

    Args:
        id: the case's id.
        image: float32 [C, Z, Y, X], in the plan's axes and spacing; may be memory-mapped.
        label: uint8 [Z, Y, X] of class indices 0 to K - 1 (not file values), on the image's grid; None without a mask.
        geometry: grid of the source files, in their own axes.
        crop_box: the part of that grid that was kept, in the files' axes.
        foreground: class index -> voxel positions int32 [n, 3] in `label`, at most 10,000 drawn at random.
        content: hash of the source files.
    """

    id: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8] | None
    geometry: Geometry
    crop_box: Box
    foreground: dict[int, NDArray[np.int32]]
    content: str
