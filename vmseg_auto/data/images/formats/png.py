"""PNG files: single slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.pictures import PictureFormat, in_json, slices_of
from vmseg_auto.utils.geometry import Geometry

if TYPE_CHECKING:
    from PIL.Image import Image

_TEXT = "spacing"


class Png(PictureFormat):
    """Tells the voxel size in a text of its own. It holds one slice, and whole numbers alone."""

    name = "PNG"
    endings = (".png",)
    pillow = "PNG"
    fractions = False

    def told_spacing(self, picture: Image) -> str:
        told = picture.info.get(_TEXT, "")
        return told if isinstance(told, str) else ""

    def write(self, path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
        from PIL.PngImagePlugin import PngInfo

        if len(voxels) != 1 or voxels.dtype != np.uint8:
            raise OSError("a PNG file holds one slice of whole numbers from 0 to 255")
        (picture,), told = slices_of(voxels), PngInfo()
        told.add_text(_TEXT, in_json(geometry))
        picture.save(path, self.pillow, pnginfo=told)
