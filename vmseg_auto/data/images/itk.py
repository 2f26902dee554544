"""Formats that ITK reads and writes, after a header has passed a parser of our own.

ITK takes 1 mm where a header tells no voxel size, one of two where it tells two, and follows names of other files. What
is taken here, refused and asked for stands in docs/formats.md.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import SimpleITK as sitk
from numpy.typing import NDArray

from vmseg_auto.data.images.format import NO_IMAGE, Header, ImageFormat, sheared
from vmseg_auto.data.images.packed import damaged, file_bytes, unpacked
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry, NiftiForms
from vmseg_auto.utils.process import shared

_HEADER_BYTES = 2**20
_MOST_BYTES = 2**29
"""Of a file whose header ITK does not understand, to see whether it is whole."""
_ONE_AT_A_TIME = threading.Lock()
"""ITK makes a reader of every format whenever it opens a file; now and then the process dies where two threads do so at
once (SimpleITK's issue 74). NIfTI voxels are read outside of it."""


@dataclass(frozen=True)
class HeaderNotes:
    """What a header tells beside what ITK makes of it.

    Args:
        spacing: whether it tells a voxel size.
        forms: of a NIfTI file.
        doubts: what it leaves open or says twice, in words.
    """

    spacing: bool
    forms: NiftiForms | None = None
    doubts: tuple[str, ...] = ()


class ItkFormat(ImageFormat):
    """A format that one of ITK's readers knows.

    Args:
        reader: ITK's name of it.
    """

    reader: ClassVar[str]

    @abstractmethod
    def check(self, head: bytes, size: int) -> HeaderNotes:
        """Read a header by a parser of our own, and refuse one that contradicts itself or leads to other files.

        Args:
            head: the first bytes of the file.
            size: bytes of the file.

        Raises:
            InputError: text that has no end, lines or fields that such a header has not, more dimensions than any
                image; voxels that lie in another file; numbers that are not finite or beyond any place; two voxel
                sizes; an unknown unit; a damaged file.
        """

    def read_header(self, path: Path) -> Header:
        told = self.check(file_bytes(path, _HEADER_BYTES), path.stat().st_size)
        source = self._source(path)
        try:
            with quiet(), _ONE_AT_A_TIME:
                source.ReadImageInformation()
        except RuntimeError as error:
            if "orthonormal" in str(error):
                raise sheared() from error
            unpacked(file_bytes(path), _MOST_BYTES)  # raises where the file is not even whole
            remedy = f"It must be a whole {' or '.join(self.endings)} file; copy or export it again."
            raise InputError(NO_IMAGE, remedy=remedy) from error
        return itk_header(source, told)

    def read_voxels(self, path: Path, header: Header) -> NDArray[Any]:
        try:
            with quiet(), _ONE_AT_A_TIME:
                image = self._source(path).Execute()
        except RuntimeError as error:
            raise damaged() from error
        voxels: NDArray[Any] = sitk.GetArrayFromImage(image)
        return voxels

    def write(self, path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
        try:
            with quiet(), _ONE_AT_A_TIME:
                sitk.WriteImage(to_sitk(voxels, geometry), str(path), useCompression=True)
        except RuntimeError as error:
            raise OSError(str(error).strip().splitlines()[-1]) from error

    def decodes(self, path: Path) -> bool:
        try:
            with quiet(), _ONE_AT_A_TIME:
                sitk.ReadImage(str(path))
        except RuntimeError:
            return False
        return True

    def _source(self, path: Path) -> sitk.ImageFileReader:
        source = sitk.ImageFileReader()
        source.SetFileName(str(path))
        source.SetImageIO(self.reader)
        return source


def itk_header(source: sitk.Image | sitk.ImageFileReader, told: HeaderNotes) -> Header:
    """Return the header of an ITK image, or of a file whose header has been read.

    Raises:
        InputError: its voxels are complex numbers.
    """
    pixel = sitk.GetPixelIDValueAsString(source.GetPixelIDValue())
    return Header(
        shape=source.GetSize()[::-1],
        spacing_mm=source.GetSpacing()[::-1] if told.spacing else None,
        origin_mm=source.GetOrigin(),
        direction=source.GetDirection(),
        pixel=pixel if "vector" in pixel or "complex" in pixel else "",
        forms=told.forms,
        doubts=told.doubts,
        texts={key: source.GetMetaData(key) for key in source.GetMetaDataKeys() if key.isprintable()},
    )


def to_sitk(voxels: NDArray[Any], geometry: Geometry) -> sitk.Image:
    """Return a SimpleITK image of voxels (Z, Y, X) and their grid.

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
