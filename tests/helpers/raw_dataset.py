"""Small datasets in nnU-Net's raw layout, to be used whole or spoiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.images.registry import scan_endings
from vmseg_auto.utils.geometry import Geometry, Shape

GRID = Geometry((6, 9, 10), (3.0, 0.8, 0.7), (1.0, -2.0, 3.0))
VOLUMES = tuple(ending for ending in scan_endings() if ending not in (".png", ".tif", ".tiff"))
"""Endings of files that tell where their voxels lie, as pictures do not."""
LABELS = {"background": 0, "lesion": 1}


def tiny_image(seed: int = 0, shape: Shape = GRID.shape) -> NDArray[np.float32]:
    """Noise around 100 within a rim of zeros one voxel wide, so that cropping has something to do."""
    image = np.zeros(shape, dtype=np.float32)
    inner = tuple(slice(1, n - 1) for n in shape)
    image[inner] = np.random.default_rng(seed).normal(100, 10, size=image[inner].shape)
    return image


def tiny_mask(value: int = 1, shape: Shape = GRID.shape) -> NDArray[np.uint8]:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[2:4, 3:6, 4:7] = value
    return mask


def describe(folder: Path, **changes: Any) -> Path:
    """Write dataset.json; a change to None leaves the field out."""
    data: dict[str, Any] = {"channel_names": {"0": "T2"}, "labels": LABELS, "file_ending": ".nii.gz"} | changes
    path = folder / "dataset.json"
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    return path


def raw_dataset(
    folder: Path,
    cases: int = 3,
    ending: str = ".nii.gz",
    channels: int = 1,
    test_cases: int = 0,
    grid: Geometry = GRID,
) -> Path:
    """Cases a, b, c ... with channels 0000 ... and masks, and dataset.json."""
    for images, labels, first, count in (
        ("imagesTr", "labelsTr", "a", cases), ("imagesTs", "labelsTs", "t", test_cases),
    ):  # fmt: skip
        for number in range(count):
            case = chr(ord(first) + number)
            for channel in range(channels):
                path = folder / images / f"{case}_{channel:04d}{ending}"
                write_image(path, tiny_image(10 * number + channel, grid.shape), grid)
            write_mask(folder / labels / f"{case}{ending}", tiny_mask(shape=grid.shape), grid)
    describe(folder, channel_names={str(n): f"T{n + 1}" for n in range(channels)}, file_ending=ending)
    return folder
