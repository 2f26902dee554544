"""Image files to arrays and back, in any format: the rules on sizes, grids, intensities and labels that hold for all.

What a format's files look like is its own matter (format.py); registry.py finds the format by a name's ending.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.format import FURTHEST_MM, NO_IMAGE, Header, ImageFormat, sheared
from vmseg_auto.data.images.packed import damaged, unreadable
from vmseg_auto.data.images.registry import format_of, scan_endings
from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry, Spacing, spacing_in_words
from vmseg_auto.utils.label_masks import whole_labels
from vmseg_auto.utils.names import is_text

_SHEAR_TOLERANCE = 1e-3
_LEAST_MM, _MOST_MM = 1e-3, 1e3
"""Edges of a voxel."""
_LARGEST = 1e12
"""What an intensity can be: float32 holds its square, summed over all voxels."""
_MOST_VOXELS = 2**29
_NO_SIZE = "Mend the header; --spacing Z Y X of vmseg_predict and vmseg_followup takes the size in mm from you."
_MOST_PACKED = 1100
"""No packing of voxels is denser than 1:1032 (deflate)."""


def read_image(
    path: Path, case: str | None = None, spacing_mm: Spacing | None = None
) -> tuple[NDArray[np.float32], Geometry]:
    """Read a scan.

    Args:
        path: of an image file.
        case: for messages.
        spacing_mm: voxel size (Z, Y, X) where the file tells none.

    Returns:
        float32 [Z, Y, X] and its grid.

    Raises:
        InputError: no image, damaged or cut short, not 3-D, several values a voxel, a sheared grid, voxels that are
            NaN, infinite or beyond any intensity; no voxel size, or two (docs/formats.md).
    """
    voxels, geometry, _ = _read(path, case, spacing_mm)
    if voxels.dtype.kind == "f" or voxels.dtype.itemsize == 8:
        with _naming(case, path):
            _refuse_no_intensity(voxels)
    return voxels.astype(np.float32, copy=not voxels.flags.writeable), geometry


def read_mask(path: Path, case: str | None = None) -> tuple[NDArray[np.uint8], Geometry]:
    """Read a mask.

    Returns:
        uint8 [Z, Y, X] of label values and its grid.

    Raises:
        InputError: as `read_image`, and values that are no whole numbers from 0 to 255.
    """
    voxels, geometry, _ = _read(path, case)
    with _naming(case, path):
        return _as_labels(voxels), geometry


def is_whole(path: Path) -> bool:
    """Return whether all voxels of an image file can be decoded, whatever they and its header say."""
    try:
        image = _open(path)
        header = image.read_header(path)
        geometry = _geometry(header, layers=True)
    except InputError:
        return (known := format_of(path.name)) is not None and known.decodes(path)
    try:
        _voxels(image, path, header, geometry)
    except InputError:
        return False
    return True


def read_layers(path: Path, case: str | None = None) -> tuple[NDArray[np.uint8], Geometry, dict[str, str]]:
    """Read a mask of one or more layers, as 3D Slicer writes them, and the texts of its header.

    Returns:
        uint8 [L, Z, Y, X] of label values, the grid, and the header's fields by name.

    Raises:
        InputError: as `read_mask`, but for several values a voxel.
    """
    voxels, geometry, header = _read(path, case, layers=True)
    with _naming(case, path):
        layers = _as_labels(voxels, segments=any(key.startswith("Segment") for key in header.texts))
    return (layers[None] if layers.ndim == 3 else np.moveaxis(layers, -1, 0)), geometry, header.texts


def read_grid(path: Path, case: str | None = None, layers: bool = False) -> Geometry:
    """Return the grid of a scan or mask, from its header alone.

    Raises:
        InputError: no image, not 3-D, several values a voxel (unless they may be `layers`), or a sheared grid.
    """
    with _naming(case, path):
        return _geometry(_open(path).read_header(path), layers=layers)


def write_mask(path: Path, mask: NDArray[np.uint8], geometry: Geometry) -> None:
    """Write a mask, whole or not at all, in the format of its ending; compressed where the format can be.

    Args:
        path: ends with one of scan_endings().
        mask: uint8 [Z, Y, X].
        geometry: the grid, of the same shape.

    Raises:
        InputError: the ending is none of scan_endings().
        VmsegError: the file can't be written.
    """
    _write(path, np.asarray(mask, dtype=np.uint8), geometry)


def write_image(path: Path, image: NDArray[np.float32], geometry: Geometry) -> None:
    """Write intensities, float32 [Z, Y, X]; otherwise as `write_mask`."""
    _write(path, np.asarray(image, dtype=np.float32), geometry)


def from_sitk(image: object) -> tuple[NDArray[np.float32], Geometry]:
    """Return the voxels, float32 [Z, Y, X], and the grid of a SimpleITK image.

    Raises:
        InputError: it is no SimpleITK image; otherwise as `read_image`.
    """
    import SimpleITK as sitk  # files are read by their formats

    from vmseg_auto.data.images.itk import HeaderNotes, itk_header

    if not isinstance(image, sitk.Image):
        raise InputError(
            f"the scan is given as {type(image).__name__}, which is neither a numpy array nor a SimpleITK image",
            remedy="Pass an array [Z, Y, X] with its Geometry, or a SimpleITK image; `vmseg_auto.predict` takes files.",
        )
    geometry = _geometry(itk_header(image, HeaderNotes(spacing=True)))
    voxels = np.asarray(sitk.GetArrayFromImage(image), dtype=np.float32)
    _refuse_no_intensity(voxels)
    return voxels, geometry


def _read(
    path: Path, case: str | None, spacing_mm: Spacing | None = None, layers: bool = False
) -> tuple[NDArray[Any], Geometry, Header]:
    """Return voxels [Z, Y, X] in the file's own type (float64 where it scales them), the grid, and the header."""
    with _naming(case, path):
        image = _open(path)
        header = image.read_header(path)
        geometry = _geometry(header, spacing_mm, layers)
        return _voxels(image, path, header, geometry), geometry, header


@contextmanager
def _naming(case: str | None, path: Path | None) -> Iterator[None]:
    """Let errors name case and file."""
    try:
        yield
    except InputError as error:
        error.case, error.file = error.case or case, error.file or path
        raise


def _open(path: Path) -> ImageFormat:
    """Return the format of a file that is there."""
    if not path.is_file():
        raise InputError("the file does not exist", remedy="Check the name and the folder.")
    if not is_text(path):  # ITK takes no bytes that are no text
        raise InputError("its name, or that of its folder, is not UTF-8 and can't be used", remedy="Rename it.")
    if (known := format_of(path.name)) is None:
        raise InputError(NO_IMAGE, remedy=f"It must be a whole {', '.join(scan_endings())} file.")
    return known


def _voxels(image: ImageFormat, path: Path, header: Header, geometry: Geometry) -> NDArray[Any]:
    try:
        _refuse_impossible_size(geometry, path.stat().st_size)
        return image.read_voxels(path, header)
    except OSError as error:  # it was there a moment ago
        raise unreadable(error) from error
    except MemoryError as error:
        remedy = "Use fewer --jobs, or close other programs."
        raise InputError("the memory is not enough for it", remedy=remedy) from error


def _refuse_impossible_size(geometry: Geometry, size: int) -> None:
    """Refuse what a damaged header says before memory is taken for it; `size` is that of the file in bytes."""
    voxels = prod(geometry.shape)
    if min(geometry.shape) < 1 or voxels > _MOST_VOXELS:
        shown = " x ".join(str(n) for n in geometry.shape[::-1])
        problem = f"the header says {shown} voxels, and up to {_MOST_VOXELS:,} can be used"
        raise InputError(problem, remedy="Crop or resample the scan, or mend the file's header.")
    if voxels > _MOST_PACKED * size:
        raise damaged(f"{size} bytes can't hold {voxels:,} voxels")


def _as_labels(voxels: NDArray[Any], segments: bool = False) -> NDArray[np.uint8]:
    if voxels.dtype.kind == "f":
        _refuse_no_intensity(voxels)
    return whole_labels(voxels, segments)


def _geometry(header: Header, spacing_mm: Spacing | None = None, layers: bool = False) -> Geometry:
    """Return the grid that a header tells of.

    Args:
        header: of a file.
        spacing_mm: voxel size (Z, Y, X) where it tells none.
        layers: whether a voxel may hold several numbers.

    Raises:
        InputError: it is no grid that can be used.
    """
    _refuse_unusable(header, layers)
    spacing, doubts = header.spacing_mm, header.doubts
    given = spacing is None and spacing_mm is not None
    if spacing is None and spacing_mm is not None:
        spacing = spacing_mm
        doubts += (f"its header tells no voxel size; {spacing_in_words(spacing_mm)} was given by hand",)
    if spacing is None:
        raise InputError("its header tells no voxel size", remedy=_NO_SIZE)
    z, y, x = header.shape
    geometry = Geometry((z, y, x), spacing, header.origin_mm, header.direction, doubts=doubts, spacing_given=given)
    return replace(geometry, forms=header.forms and replace(header.forms, placement=geometry.placement))


def _refuse_unusable(header: Header, layers: bool) -> None:
    dimensions = len(header.shape)
    if dimensions != 3:
        remedy = (
            "Give each channel a file of its own." if dimensions == 4 else "Join the slices of a scan into one file."
        )
        size = " x ".join(str(n) for n in header.shape[::-1])
        raise InputError(f"the image is {dimensions}-D ({size}), not 3-D", remedy=remedy)
    if header.pixel and not (layers and "complex" not in header.pixel):
        raise InputError(
            f"a voxel holds more than one number (the pixel type is {header.pixel})",
            remedy="Colour and complex images can't be used; save one plain number a voxel.",
        )
    direction = np.array(header.direction).reshape(3, 3)
    if not (np.abs(direction) <= 2).all() or np.abs(direction.T @ direction - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise sheared()
    edges = header.spacing_mm
    if edges is not None and not all(_LEAST_MM <= edge <= _MOST_MM for edge in edges):
        shown = " x ".join(f"{edge:g}" for edge in edges[::-1])
        raise InputError(f"the voxel size is {shown} mm", remedy="Mend the file's header.")
    if not all(abs(position) <= FURTHEST_MM for position in header.origin_mm):
        shown = ", ".join(f"{position:g}" for position in header.origin_mm)
        raise InputError(f"its first voxel lies at ({shown}) mm", remedy="Mend the file's header.")


def _refuse_no_intensity(voxels: NDArray[Any]) -> None:
    if voxels.min() >= -_LARGEST and voxels.max() <= _LARGEST:
        return
    bad = voxels.size - int(np.count_nonzero(np.abs(voxels) <= _LARGEST))
    raise InputError(
        f"{bad} voxels are NaN, infinite or beyond {_LARGEST:g}",
        remedy="Replace them (by 0 outside the body), or export the scan again.",
    )


def _write(path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
    image = format_of(path.name)
    if image is None or not image.scans:
        remedy = f"Use one of: {', '.join(scan_endings())}."
        raise InputError("images can't be written with this ending", file=path, remedy=remedy)
    if voxels.shape != geometry.shape:
        raise ValueError(f"an array of {voxels.shape} for a grid of {geometry.shape}")
    with replacing(path) as temporary:
        image.write(temporary, voxels, geometry)
        _require_whole(temporary, voxels)


def _require_whole(path: Path, voxels: NDArray[Any]) -> None:
    """Read back what was written: where the disk is full, ITK only warns, and some file systems do not even that."""
    try:
        found = _read(path, None)[0]
    except InputError as error:
        raise OSError(f"what was written can't be read back: {error.problem}") from error
    if not np.array_equal(found, voxels, equal_nan=voxels.dtype.kind == "f"):
        raise OSError("what was written is not what can be read back")
