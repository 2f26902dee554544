"""Image files to arrays and back. Beside dicom_decoder.py, the only module that speaks to SimpleITK.

ITK fills what is missing at the end of a NIfTI file with whatever lies in memory, without a word. NIfTI voxels are
therefore read in nifti.py; ITK reads every header (its view of origin and direction is the one that counts) and the
voxels of the other formats.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from vmseg_auto.data.images.headers import FURTHEST_MM, Told, check_header
from vmseg_auto.data.images.nifti import DAMAGED, file_bytes, nifti_voxels, unpacked, unreadable, write_nifti
from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.errors import InputError, NoMaskError
from vmseg_auto.utils.geometry import Geometry, Spacing, spacing_in_words
from vmseg_auto.utils.labels import looks_like_intensities
from vmseg_auto.utils.names import is_text
from vmseg_auto.utils.process import shared

FILE_ENDINGS = (".nii.gz", ".nii", ".mha", ".nrrd")
SEGMENTS = ".seg.nrrd"
"""What 3D Slicer's segmentations end with: a NRRD file that names what is drawn in it (segmentations.py)."""
MASK_ENDINGS = (SEGMENTS, *FILE_ENDINGS)

_SHEAR_TOLERANCE = 1e-3
_LEAST_MM, _MOST_MM = 1e-3, 1e3
"""Edges of a voxel."""
_READERS = {
    ".nii.gz": "NiftiImageIO", ".nii": "NiftiImageIO", ".mha": "MetaImageIO", ".nrrd": "NrrdImageIO",
    SEGMENTS: "NrrdImageIO",
}  # fmt: skip
_ROUNDING = 1e-4
"""How far from a whole number a label may lie."""
_LARGEST = 1e12
"""What an intensity can be: float32 holds its square, summed over all voxels."""
_MOST_VOXELS = 2**29
_NO_SIZE = "Mend the header; --spacing Z Y X of vmseg_predict and vmseg_followup takes the size in mm from you."
_ONE_AT_A_TIME = threading.Lock()
"""ITK makes a reader of every format whenever it opens a file; now and then the process dies where two threads do so at
once (SimpleITK's issue 74). NIfTI voxels are read outside of it."""
_MOST_PACKED = 1100
"""No packing of voxels is denser than 1:1032 (deflate)."""


def ending_of(name: str) -> str | None:
    """The one of MASK_ENDINGS that a file's name has, such as ".nii.gz", also written .NII.GZ; None for others."""
    small = name.lower()
    return next((ending for ending in MASK_ENDINGS if small.endswith(ending)), None)


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
    voxels, geometry = _read(path, case, spacing_mm)
    if voxels.dtype.kind == "f" or voxels.dtype.itemsize == 8:
        _refuse_no_intensity(voxels, case, path)
    return voxels.astype(np.float32, copy=not voxels.flags.writeable), geometry


def read_mask(path: Path, case: str | None = None) -> tuple[NDArray[np.uint8], Geometry]:
    """Read a mask.

    Returns:
        uint8 [Z, Y, X] of label values and its grid.

    Raises:
        InputError: as `read_image`, and values that are no whole numbers from 0 to 255.
    """
    voxels, geometry = _read(path, case)
    return _as_labels(voxels, case, path), geometry


def is_whole(path: Path) -> bool:
    """Whether all voxels of an image file can be decoded, whatever they and its header say."""
    with quiet():
        try:
            reader, geometry = _header(path, None, layers=True)
        except InputError:
            return _decodes(path)
        try:
            _voxels(reader, geometry, None, path)
        except InputError:
            return False
    return True


def _decodes(path: Path) -> bool:
    try:
        sitk.ReadImage(str(path))
    except RuntimeError:
        return False
    return True


def read_layers(path: Path, case: str | None = None) -> tuple[NDArray[np.uint8], Geometry, dict[str, str]]:
    """Read a mask of one or more layers, as 3D Slicer writes them, and the texts of its header.

    Returns:
        uint8 [L, Z, Y, X] of label values, the grid, and the header's fields by name.

    Raises:
        InputError: as `read_mask`, but for several values a voxel.
    """
    with quiet():
        reader, geometry = _header(path, case, layers=True)
        texts = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.isprintable()}
        voxels = _voxels(reader, geometry, case, path)
    layers = _as_labels(voxels, case, path, segments=any(key.startswith("Segment") for key in texts))
    return (layers[None] if layers.ndim == 3 else np.moveaxis(layers, -1, 0)), geometry, texts


def read_grid(path: Path, case: str | None = None, layers: bool = False) -> Geometry:
    """The grid of a scan or mask, from its header alone.

    Raises:
        InputError: no image, not 3-D, several values a voxel (unless they may be `layers`), or a sheared grid.
    """
    with quiet():
        return _header(path, case, layers)[1]


def write_mask(path: Path, mask: NDArray[np.uint8], geometry: Geometry) -> None:
    """Write a mask, whole or not at all, in the format of its ending; compressed where the format can be.

    Args:
        path: ends with one of FILE_ENDINGS.
        mask: uint8 [Z, Y, X].
        geometry: the grid, of the same shape.

    Raises:
        InputError: the ending is none of FILE_ENDINGS.
        VmsegError: the file can't be written.
    """
    _write(path, np.asarray(mask, dtype=np.uint8), geometry)


def write_image(path: Path, image: NDArray[np.float32], geometry: Geometry) -> None:
    """Write intensities, float32 [Z, Y, X]; otherwise as `write_mask`."""
    _write(path, np.asarray(image, dtype=np.float32), geometry)


def from_sitk(image: object) -> tuple[NDArray[np.float32], Geometry]:
    """The voxels, float32 [Z, Y, X], and the grid of a SimpleITK image.

    Raises:
        InputError: it is no SimpleITK image; otherwise as `read_image`.
    """
    if not isinstance(image, sitk.Image):
        raise InputError(
            f"the scan is given as {type(image).__name__}, which is neither a numpy array nor a SimpleITK image",
            remedy="Pass an array [Z, Y, X] with its Geometry, or a SimpleITK image; `vmseg_auto.predict` takes files.",
        )
    geometry = _geometry(image, None, None)
    voxels = np.asarray(sitk.GetArrayFromImage(image), dtype=np.float32)
    _refuse_no_intensity(voxels, None, None)
    return voxels, geometry


def to_sitk(voxels: NDArray[Any], geometry: Geometry) -> sitk.Image:
    """A SimpleITK image of voxels [Z, Y, X] and their grid.

    Raises:
        ValueError: the array does not have the grid's shape.
    """
    if voxels.shape != geometry.shape:
        raise ValueError(f"an array of {voxels.shape} for a grid of {geometry.shape}")
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    return image


def _read(path: Path, case: str | None, spacing_mm: Spacing | None = None) -> tuple[NDArray[Any], Geometry]:
    """Voxels [Z, Y, X] in the file's own type (float64 where it scales them), and the grid."""
    with quiet():
        reader, geometry = _header(path, case, spacing_mm=spacing_mm)
        return _voxels(reader, geometry, case, path), geometry


def _voxels(reader: sitk.ImageFileReader, geometry: Geometry, case: str | None, path: Path) -> NDArray[Any]:
    try:
        _refuse_impossible_size(geometry, case, path)
        if path.name.lower().endswith((".nii", ".nii.gz")):
            return nifti_voxels(path, geometry, case)
        with _ONE_AT_A_TIME:
            image = reader.Execute()
        voxels: NDArray[Any] = sitk.GetArrayFromImage(image)
        return voxels
    except RuntimeError as error:
        raise InputError("the file is damaged or cut short", case=case, file=path, remedy=DAMAGED) from error
    except OSError as error:  # it was there a moment ago
        raise unreadable(error, case, path) from error
    except MemoryError as error:
        remedy = "Use fewer --jobs, or close other programs."
        raise InputError("the memory is not enough for it", case=case, file=path, remedy=remedy) from error


def _refuse_impossible_size(geometry: Geometry, case: str | None, path: Path) -> None:
    """Before memory is taken for what a damaged header says."""
    voxels, size = prod(geometry.shape), path.stat().st_size
    if not 0 < voxels <= _MOST_VOXELS:
        shown = " x ".join(str(n) for n in geometry.shape[::-1])
        problem = f"the header says {shown} voxels, and up to {_MOST_VOXELS:,} can be used"
        raise InputError(problem, case=case, file=path, remedy="Crop or resample the scan, or mend the file's header.")
    if voxels > _MOST_PACKED * size:
        problem = f"the file is damaged or cut short ({size} bytes can't hold {voxels:,} voxels)"
        raise InputError(problem, case=case, file=path, remedy=DAMAGED)


def _as_labels(voxels: NDArray[Any], case: str | None, path: Path, segments: bool = False) -> NDArray[np.uint8]:
    """Whole numbers; what is one but for rounding (as by a slope of 1/255) is taken for it.

    What names its `segments` is a mask, however many they are.
    """
    if voxels.dtype.kind == "f":
        _refuse_no_intensity(voxels, case, path)
        mask: NDArray[np.uint8] = np.clip(np.rint(voxels), 0, 255).astype(np.uint8)
        odd_ones = np.abs(voxels - mask) > _ROUNDING
    else:
        mask = voxels.astype(np.uint8)
        odd_ones = mask != voxels
    odd = odd_ones.any()
    if not segments and looks_like_intensities(voxels if odd else mask):
        raise NoMaskError(
            f"it looks like a scan or a map, not like a mask: it holds {len(np.unique(voxels))} different values",
            case=case,
            file=path,
            remedy="Name the mask drawn on the scan; resample masks with nearest-neighbour interpolation only.",
        )
    if odd:
        values = np.unique(voxels[odd_ones])
        shown = ", ".join(f"{value:.6g}" for value in values[:5]) + (", ..." if len(values) > 5 else "")
        raise InputError(
            f"the mask holds {shown}, but labels are whole numbers from 0 to 255",
            case=case,
            file=path,
            remedy="Save it as whole numbers; resample masks with nearest-neighbour interpolation only.",
        )
    return mask


def _header(
    path: Path, case: str | None, layers: bool = False, spacing_mm: Spacing | None = None
) -> tuple[sitk.ImageFileReader, Geometry]:
    if not path.is_file():
        raise InputError("the file does not exist", case=case, file=path, remedy="Check the name and the folder.")
    ending = ending_of(path.name)
    _refuse_unreadable_name(path, ending, case)
    told = check_header(path, case) if ending else Told(spacing=True)
    if not told.spacing and spacing_mm is None:
        raise InputError("its header tells no voxel size", case=case, file=path, remedy=_NO_SIZE)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[ending] if ending else "")
    try:
        with _ONE_AT_A_TIME:
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(str(error), case, path) from error
    geometry, doubts = _geometry(reader, case, path, layers), told.doubts
    if not told.spacing and spacing_mm is not None:
        geometry = replace(geometry, spacing_mm=spacing_mm, spacing_given=True)
        doubts += (f"its header tells no voxel size; {spacing_in_words(spacing_mm)} was given by hand",)
    forms = told.forms and replace(told.forms, placement=geometry.placement)
    return reader, replace(geometry, forms=forms, doubts=doubts)


def _refuse_unreadable_name(path: Path, ending: str | None, case: str | None) -> None:
    """ITK takes no bytes that are no text, and of NIfTI no mixed letters, such as .Nii."""
    if not is_text(path):
        problem, remedy = "its name, or that of its folder, is not UTF-8 and can't be used", "Rename it."
        raise InputError(problem, case=case, file=path, remedy=remedy)
    own = path.name[-len(ending or "") :]
    if ending in (".nii", ".nii.gz") and own not in (ending, ending.upper()):
        problem, remedy = f"its name ends with {own}, which can't be read", f"Rename it, so that it ends with {ending}."
        raise InputError(problem, case=case, file=path, remedy=remedy)


def _unreadable(reason: str, case: str | None, path: Path) -> InputError:
    """Why ITK can't make out a header; raises at once where the file is not even whole."""
    if "orthonormal" in reason:
        return _sheared(case, path)
    unpacked(file_bytes(path, case), path, case, _MOST_VOXELS)
    return InputError(
        "the file is no image that can be read",
        case=case,
        file=path,
        remedy=f"It must be a whole {', '.join(FILE_ENDINGS)} file; copy or export it again.",
    )


def _sheared(case: str | None, path: Path | None) -> InputError:
    return InputError(
        "the grid is sheared: its axes are not at right angles (a tilted gantry, or an affine registration)",
        case=case,
        file=path,
        remedy="Resample the scan onto a grid with right angles, and its mask with it.",
    )


def _geometry(source: Any, case: str | None, path: Path | None, layers: bool = False) -> Geometry:
    """The grid that an ITK image or the reader of a file tells of; several values a voxel only as `layers`."""
    dimensions = source.GetDimension()
    if dimensions != 3:
        hint = "Give each channel a file of its own." if dimensions == 4 else "Join the slices of a scan into one file."
        size = " x ".join(str(n) for n in source.GetSize())
        raise InputError(f"the image is {dimensions}-D ({size}), not 3-D", case=case, file=path, remedy=hint)
    kind = sitk.GetPixelIDValueAsString(source.GetPixelIDValue())
    if ("vector" in kind and not layers) or "complex" in kind:
        raise InputError(
            f"a voxel holds more than one number (the pixel type is {kind})",
            case=case,
            file=path,
            remedy="Colour and complex images can't be used; save one plain number a voxel.",
        )
    direction = np.array(source.GetDirection()).reshape(3, 3)
    if not (np.abs(direction) <= 2).all() or np.abs(direction.T @ direction - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise _sheared(case, path)
    x, y, z = source.GetSize()
    dx, dy, dz = source.GetSpacing()
    if not all(_LEAST_MM <= edge <= _MOST_MM for edge in (dx, dy, dz)):
        raise InputError(
            f"the voxel size is {dx:g} x {dy:g} x {dz:g} mm", case=case, file=path, remedy="Mend the file's header."
        )
    if not all(abs(position) <= FURTHEST_MM for position in source.GetOrigin()):
        shown = ", ".join(f"{position:g}" for position in source.GetOrigin())
        problem, remedy = f"its first voxel lies at ({shown}) mm", "Mend the file's header."
        raise InputError(problem, case=case, file=path, remedy=remedy)
    return Geometry((z, y, x), (dz, dy, dx), source.GetOrigin(), source.GetDirection())


def _refuse_no_intensity(voxels: NDArray[Any], case: str | None, path: Path | None) -> None:
    if voxels.min() >= -_LARGEST and voxels.max() <= _LARGEST:
        return
    bad = voxels.size - int(np.count_nonzero(np.abs(voxels) <= _LARGEST))
    raise InputError(
        f"{bad} voxels are NaN, infinite or beyond {_LARGEST:g}",
        case=case,
        file=path,
        remedy="Replace them (by 0 outside the body), or export the scan again.",
    )


def _write(path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
    if ending_of(path.name) not in FILE_ENDINGS:
        raise InputError(
            "images can't be written with this ending", file=path, remedy=f"Use one of: {', '.join(FILE_ENDINGS)}."
        )
    if voxels.shape != geometry.shape:
        raise ValueError(f"an array of {voxels.shape} for a grid of {geometry.shape}")
    with replacing(path) as temporary, quiet():
        if path.name.lower().endswith((".nii", ".nii.gz")):
            write_nifti(temporary, voxels, geometry)
        else:
            _write_by_itk(temporary, voxels, geometry)
        _require_whole(temporary, voxels)


def _write_by_itk(path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
    try:
        with _ONE_AT_A_TIME:
            sitk.WriteImage(to_sitk(voxels, geometry), str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _require_whole(path: Path, voxels: NDArray[Any]) -> None:
    """Read back what was written: where the disk is full, ITK only warns, and some file systems do not even that."""
    try:
        found, _ = _read(path, None)
    except InputError as error:
        raise OSError(f"what was written can't be read back: {error.problem}") from error
    if not np.array_equal(found, voxels, equal_nan=voxels.dtype.kind == "f"):
        raise OSError("what was written is not what can be read back")


@shared
@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's remarks on odd but harmless headers off the error stream, in this and every other thread."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
