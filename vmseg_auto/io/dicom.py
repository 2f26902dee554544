"""DICOM series to arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.core.series import Series, Slice
from vmseg_auto.core.stack import disagreements, stack
from vmseg_auto.io.dicom_files import DicomFiles
from vmseg_auto.io.dicom_header import AGAIN, PIXELS, content, parsed
from vmseg_auto.io.dicom_pixels import BIG, IMPLICIT, LITTLE, stored_numbers


def read_series(
    series: Series, case: str | None = None, notes: list[str] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """Read the voxels of a series.

    Args:
        series: as `io.series.find_series` found it.
        case: for messages.
        notes: what is odd but legal is appended here, in words.

    Returns:
        float32 [Z, Y, X], rescaled as the header says, and its grid; Z grows along the normal of the slices.

    Raises:
        InputError: the slices form no volume (`core.stack.stack` says when), or a file is damaged, cut short, changed
            since the series was found, or stored in a way that can't be read.
    """
    geometry = stack(series, case)
    if notes is not None:
        notes += [f"case {case or series.name}: {text}" for text in disagreements(series, geometry)]
    image = np.empty(geometry.shape, np.float32)
    places = sorted(enumerate(series.slices), key=lambda placed: (placed[1].file, placed[1].frame))
    with DicomFiles() as files:
        for path, group in groupby(places, key=lambda placed: placed[1].file):
            try:
                _fill(image, list(group), parsed(path, files, pixels=True), path)
            except InputError as error:
                error.case = error.case or case
                raise
    return image, geometry


def _fill(image: NDArray[np.float32], placed: Sequence[tuple[int, Slice]], data: Dataset, path: Path) -> None:
    """Put the images of one file where they belong."""
    slices = content(data, path).slices
    if any(one.frame >= len(slices) or slices[one.frame] != one for _, one in placed):
        raise InputError("the file has changed since it was looked at", file=path, remedy="Run the command again.")
    try:
        frames = _frames(data, slices[0], len(slices))
        numbers = stored_numbers([frames[one.frame] for _, one in placed], slices[0].shape, slices[0].pixels)
    except ValueError as error:
        raise InputError(str(error), file=path, remedy=AGAIN) from error
    for (place, one), stored in zip(placed, numbers, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            image[place] = stored * one.slope + one.intercept if one.pixels.rescaled else stored
        if not np.isfinite(image[place]).all():
            raise InputError("its rescaled pixels are beyond all numbers", file=path, remedy=AGAIN)


def _frames(data: Dataset, one: Slice, count: int) -> list[bytes]:
    """The bytes of each image in a file.

    Raises:
        ValueError: there are none, or not as many as the header tells.
    """
    element = data.get_item(PIXELS)
    value = element.value if element is not None else None
    if not isinstance(value, bytes):
        raise ValueError("it holds no pixels")
    if one.pixels.transfer_syntax in (LITTLE, IMPLICIT, BIG):
        size = one.shape[0] * one.shape[1] * one.pixels.bits_allocated // 8
        if len(value) != size * count + size * count % 2:
            raise ValueError(f"it holds {len(value)} bytes of pixels instead of {size * count}")
        return [value[size * at : size * (at + 1)] for at in range(count)]
    try:
        frames = list(generate_frames(value, number_of_frames=count))
    except Exception as error:  # pydicom on hostile bytes: whatever it stumbles over
        raise ValueError("its compressed pixels are damaged") from error
    if len(frames) != count:
        raise ValueError(f"it holds {len(frames)} images instead of {count}")
    return frames
