"""Pictures as scans: Pillow decodes them, and a file beside them tells the voxel size, as nnU-Net has it.

The file is CASE.json, without a channel's number, or spacing.json for all pictures of a folder, or of a dataset:
{"spacing": [thickness, height, width]} in mm. What is written here tells its voxel size itself.
"""

from __future__ import annotations

import json
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as StructError
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.format import EXPORT_AGAIN, NO_IMAGE, NO_SIDES, Header, ImageFormat
from vmseg_auto.data.images.packed import damaged
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.names import split_channel

if TYPE_CHECKING:
    from PIL.Image import Image

SPACING_FILE = "spacing.json"
_KEY = "spacing"
_GREY = {"1": "u1", "L": "u1", "I;16": "u2", "I;16B": "u2", "I;16L": "u2", "I": "i4", "F": "f4"}
"""Pillow's modes of one number a voxel."""
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, Warning, StructError,
)  # fmt: skip
"""What reading a damaged picture raises."""


class PictureFormat(ImageFormat):
    """Keeps voxels and voxel size; a picture does not tell where it lies in the patient.

    A file is taken for a scan or mask only where its voxel size is told: most pictures are none.
    """

    pillow: ClassVar[str]
    """What Pillow calls the format."""

    def why_not_taken(self, path: Path) -> str:
        try:
            spacing = self.read_header(path).spacing_mm
        except InputError as error:
            return error.problem
        return "" if spacing else f"no file tells its voxel size ({SPACING_FILE}, or CASE.json beside it)"

    def read_header(self, path: Path) -> Header:
        with self._opened(path) as picture:
            shape = (self.count_slices(path), picture.height, picture.width)
            pixel = "" if picture.mode in _GREY else f"colour, {picture.mode}"
            own = self.told_spacing(picture)
        spacing = _spacing_of(own) if own else spacing_beside(path)
        return Header(shape, spacing, pixel=pixel, doubts=(NO_SIDES,))

    def read_voxels(self, path: Path, header: Header) -> NDArray[Any]:
        slices = []
        with self._opened(path) as picture:
            for number in range(header.shape[0]):
                picture.seek(number)
                if picture.mode not in _GREY or (picture.height, picture.width) != header.shape[1:]:
                    raise damaged(f"slice {number + 1} has another size or kind than the first")
                slices.append(np.asarray(picture).astype(_GREY[picture.mode]))
        return np.stack(slices)

    def count_slices(self, path: Path) -> int:
        """Return how many slices the file holds; it may raise what reading files raises."""
        return 1

    @abstractmethod
    def told_spacing(self, picture: Image) -> str:
        """Return what the file itself tells of the voxel size, as JSON; empty where it tells nothing."""

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Image]:
        """Open a picture; what Pillow finds wrong with it, then or later, is an InputError."""
        from PIL import Image, UnidentifiedImageError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.filterwarnings("error", message="Truncated|Corrupt")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(path, formats=[self.pillow]) as picture:
                    yield picture
        except UnidentifiedImageError:
            raise InputError(NO_IMAGE, remedy=EXPORT_AGAIN) from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(f"a slice is too large ({error})", remedy="Crop the picture.") from None
        except _BROKEN as error:
            raise damaged(str(error)) from error


def in_json(geometry: Geometry) -> str:
    """Return the voxel size of a grid as a spacing file has it."""
    return json.dumps({_KEY: list(geometry.spacing_mm)})


def slices_of(voxels: NDArray[Any]) -> list[Image]:
    """Return each slice of voxels [Z, Y, X] as a picture."""
    from PIL import Image

    return [Image.fromarray(np.ascontiguousarray(one)) for one in voxels]


def spacing_beside(path: Path) -> Spacing | None:
    """Return the voxel size (Z, Y, X) in mm that a file beside a picture tells; None where there is none.

    Raises:
        InputError: the file is no JSON, or tells no three sizes.
    """
    name = path.name[: -len(path.suffix)]
    names = dict.fromkeys((f"{name}.json", f"{split_channel(name)[0]}.json", SPACING_FILE))
    for file in (*(path.with_name(one) for one in names), path.parent.parent / SPACING_FILE):
        if is_spacing_file(file):
            return _spacing_of(file.read_text(encoding="utf-8"))
    return None


def is_spacing_file(path: Path) -> bool:
    """Return whether a file tells voxel sizes; a record beside a predicted mask does not."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        told = read_json(path)
    except InputError:
        return False
    return isinstance(told, dict) and _KEY in told


def _spacing_of(text: str) -> Spacing | None:
    try:
        numbers = [float(number) for number in json.loads(text)[_KEY]]
    except (ValueError, TypeError, LookupError):
        numbers = []
    if len(numbers) != 3 or not all(0 < number < math.inf for number in numbers):
        problem = "its spacing file does not tell three sizes in mm"
        raise InputError(problem, remedy='Write {"spacing": [thickness, height, width]}, such as [3.0, 0.5, 0.5].')
    return numbers[0], numbers[1], numbers[2]
