"""A cohort on disk, small enough to be trained on in seconds: bright balls in noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from raw_dataset import describe

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((12, 32, 32), (2.0, 1.0, 1.0))


def ball(seed: int) -> NDArray[np.uint8]:
    """A ball of 5 mm radius somewhere in the scan."""
    z, y, x = np.indices(GRID.shape)
    dz, dy, dx = GRID.spacing_mm
    middle = np.random.default_rng(seed).uniform((4, 9, 9), (8, 23, 23))
    inside = ((z - middle[0]) * dz) ** 2 + ((y - middle[1]) * dy) ** 2 + ((x - middle[2]) * dx) ** 2 <= 25
    return inside.astype(np.uint8)


def small_cohort(folder: Path, cases: int) -> Path:
    """Cases a, b, c ... in nnU-Net's raw layout."""
    for number in range(cases):
        name, mask = chr(ord("a") + number), ball(number)
        noise = np.random.default_rng(100 + number).normal(100, 5, GRID.shape)
        write_image(folder / "imagesTr" / f"{name}_0000.nii.gz", (noise + 60 * mask).astype(np.float32), GRID)
        write_mask(folder / "labelsTr" / f"{name}.nii.gz", mask, GRID)
    describe(folder)
    return folder
