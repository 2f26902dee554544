"""What a format of image files is: a class that reads headers and voxels, and writes them.

images.py puts the rules that hold for every format on top: sizes, grids, intensities, labels, files written whole.
registry.py finds the formats. docs/extending/image_format.md adds one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Direction, Geometry, NiftiForms, Point, Spacing

MEND = "Mend the header, or export the scan again."
EXPORT_AGAIN = "Copy or export the file again."
NO_IMAGE = "the file is no image that can be read"
NO_SIDES = "the file does not tell the patient's right from left"
FURTHEST_MM = 1e6
"""Where a voxel may lie."""


@dataclass(frozen=True)
class Header:
    """What the header of an image file tells.

    Args:
        shape: voxels along (Z, Y, X); of an image that is not 3-D, and will be refused, as many as it has dimensions.
        spacing_mm: voxel size (Z, Y, X) in mm; None where the file tells none.
        origin_mm, direction: as in Geometry: world axes to the patient's left, back and head (LPS), as ITK has them.
        pixel: a voxel's type in words, where it holds several numbers; masks may, as layers.
        forms: how a NIfTI file states its grid.
        doubts: in words, what the header leaves open or says twice, and is yet no reason to refuse the file.
        texts: fields by name, where masks need them (segments of 3D Slicer).
    """

    shape: tuple[int, ...]
    spacing_mm: Spacing | None
    origin_mm: Point = (0.0, 0.0, 0.0)
    direction: Direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    pixel: str = ""
    forms: NiftiForms | None = None
    doubts: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)


class ImageFormat(ABC):
    """A format of image files. Its errors are InputErrors, to which images.py adds case and file.

    Args:
        name: as people call it.
        endings: of its files' names, in lower case, the usual one first.
        scans: whether a scan may be of this format; else masks alone are.
        uncompressed: those of the endings whose files are as large as their voxels.
        fractions: whether it can hold float32; maps of such scans are NIfTI where it can't.
    """

    name: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    scans: ClassVar[bool] = True
    uncompressed: ClassVar[tuple[str, ...]] = ()
    fractions: ClassVar[bool] = True

    def why_not_taken(self, path: Path) -> str:
        """Describe why a file of these endings in a folder is no scan or mask; empty where it is one."""
        return ""

    @abstractmethod
    def read_header(self, path: Path) -> Header:
        """Return what the header tells, read without taking memory for what it promises.

        Raises:
            InputError: it contradicts itself, leads to other files, tells lengths in another unit than mm, or is none.
        """

    @abstractmethod
    def read_voxels(self, path: Path, header: Header) -> NDArray[Any]:
        """Return the voxels (Z, Y, X) in the file's own type, or float64 where it scales them; (Z, Y, X, L) of layers.

        The size that the header tells has been compared with the file's.

        Raises:
            InputError: the file is damaged or cut short.
        """

    @abstractmethod
    def write(self, path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
        """Write uint8 or float32 (Z, Y, X) on a grid of the same shape; the same voxels give the same bytes.

        Raises:
            OSError: it can't be written.
        """

    def decodes(self, path: Path) -> bool:
        """Return whether all voxels can be decoded, also where the header is one that is refused."""
        try:
            self.read_voxels(path, self.read_header(path))
        except InputError:
            return False
        return True


def sheared() -> InputError:
    """Return what is told of a grid that no Geometry can hold."""
    return InputError(
        "the grid is sheared: its axes are not at right angles (a tilted gantry, or an affine registration)",
        remedy="Resample the scan onto a grid with right angles, and its mask with it.",
    )
