"""TIFF files: stacks of slices, and single ones."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from vmseg_auto.data.images.packed import damaged
from vmseg_auto.data.images.pictures import PictureFormat, in_json, slices_of
from vmseg_auto.utils.geometry import Geometry

if TYPE_CHECKING:
    from PIL.Image import Image

_BIG = 43
"""The version of files that may be larger than 4 GB."""
_MOST_SLICES = 2**14
_DESCRIPTION = 270
"""The tag ImageDescription."""


class Tiff(PictureFormat):
    """Tells the voxel size in its description, as JSON."""

    name = "TIFF"
    endings = (".tif", ".tiff")
    pillow = "TIFF"

    def count_slices(self, path: Path) -> int:
        """Follow the chain of directories, one for each slice: Pillow takes a broken one for the end.

        Raises:
            InputError: the chain leads out of the file, or in a circle.
        """
        with path.open("rb") as file:
            order = {b"II": "<", b"MM": ">"}.get(file.read(2), "<")
            large = struct.unpack(f"{order}H", file.read(2))[0] == _BIG
            entries, entry, link = (f"{order}Q", 20, f"{order}Q") if large else (f"{order}H", 12, f"{order}I")
            file.seek(8 if large else 4)
            seen: list[int] = []
            while place := struct.unpack(link, file.read(struct.calcsize(link)))[0]:
                if place in seen or len(seen) >= _MOST_SLICES:
                    raise damaged("its slices lead in a circle")
                seen.append(place)
                file.seek(place)
                file.seek(struct.unpack(entries, file.read(struct.calcsize(entries)))[0] * entry, 1)
        return len(seen)

    def told_spacing(self, picture: Image) -> str:
        told = getattr(picture, "tag_v2", {}).get(_DESCRIPTION, "")
        return told if isinstance(told, str) and told.startswith('{"spacing"') else ""

    def write(self, path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
        first, *others = slices_of(voxels)
        told, packed = {_DESCRIPTION: in_json(geometry)}, "tiff_adobe_deflate"
        first.save(path, self.pillow, save_all=True, append_images=others, tiffinfo=told, compression=packed)
