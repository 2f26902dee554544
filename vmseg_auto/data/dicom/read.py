"""DICOM series to arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from vmseg_auto.data.dicom.elements import AGAIN, Tag, parsed
from vmseg_auto.data.dicom.files import DicomFiles
from vmseg_auto.data.dicom.header import content
from vmseg_auto.data.dicom.pixels import BIG, IMPLICIT, LITTLE, stored_numbers
from vmseg_auto.data.dicom.series import Series, Slice
from vmseg_auto.data.dicom.stack import disagreements, stack
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry


def read_series(
    series: Series, case: str | None = None, notes: list[str] | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """Read the voxels of a series.

    Args:
        series: as `data.dicom.series_files.find_series` found it.
        case: for messages.
        notes: what is odd but legal is appended here, in words.

    Returns:
        float32 [Z, Y, X], rescaled as the header says, and its grid; Z grows along the normal of the slices. Voxels
        that the header calls padding are 0, or the lowest of the others where that is below 0.

    Raises:
        InputError: the slices form no volume (see `data.dicom.stack.stack`), or a file is damaged, cut short, changed
            since the series was found, or stored in a way that can't be read.
        VmsegError: there is no room for temporary files.
    """
    geometry = stack(series, case)
    if notes is not None:
        notes += [f"case {case or series.name}: {text}" for text in disagreements(series, geometry)]
    image = np.empty(geometry.shape, np.float32)
    padded = np.zeros(geometry.shape, np.bool_)
    at = series.path
    try:
        stored = stored_numbers(_images(series), geometry.shape[1:], series.slices[0].pixels)
        for place, one in enumerate(series.slices):
            at = one.file
            numbers = next(stored)
            if one.padding is not None:
                padded[place] = (numbers >= one.padding[0]) & (numbers <= one.padding[1])
            with np.errstate(over="ignore", invalid="ignore"):
                image[place] = numbers * one.slope + one.intercept if one.pixels.rescaled else numbers
            if not np.isfinite(image[place]).all():
                raise ValueError("its rescaled pixels are beyond all numbers")
    except VmsegError as error:
        error.case = error.case or case
        raise
    except ValueError as error:
        raise InputError(str(error), case=case, file=at, remedy=AGAIN) from error
    changed = _without_padding(image, padded)
    if changed and notes is not None:
        told = f"{changed} of its {image.size} voxels are padding by the header, and count as air"
        notes.append(f"case {case or series.name}: {told}")
    return image, geometry


def _without_padding(image: NDArray[np.float32], padded: NDArray[np.bool_]) -> int:
    """Give padded voxels the value of no signal, in place: 0, or the lowest of the others where that is below 0.

    So they are cropped or normalised as air is, whatever number a scanner fills in. Gives how many voxels that changes.
    """
    if not padded.any():
        return 0
    air = image.min(where=~padded, initial=0)
    changed = np.count_nonzero(image[padded] != air)
    image[padded] = air
    return int(changed)


def _images(series: Series) -> list[bytes]:
    """Return the bytes of each slice's image, compressed as they are.

    Raises:
        InputError: a file is damaged, or has changed since the series was found.
    """
    images: dict[Slice, bytes] = {}
    with DicomFiles() as files:
        for path in series.files:
            data = parsed(path, files, pixels=True)
            slices = content(data, path).slices
            wanted = [one for one in series.slices if one.file == path]
            if not set(wanted) <= set(slices):
                raise InputError("the file has changed since it was looked at", file=path, remedy="Run this again.")
            try:
                frames = _frames(data, slices[0], len(slices))
            except ValueError as error:
                raise InputError(str(error), file=path, remedy=AGAIN) from error
            images |= {one: frames[one.frame] for one in wanted}
    return [images[one] for one in series.slices]


def _frames(data: Dataset, one: Slice, count: int) -> list[bytes]:
    """Return the bytes of each image in a file.

    Raises:
        ValueError: there are none, or not as many as the header tells.
    """
    element = data.get_item(Tag.PIXELS)
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
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        raise ValueError("its compressed pixels are damaged") from None
    if len(frames) != count:
        raise ValueError(f"it holds {len(frames)} images instead of {count}")
    return frames
