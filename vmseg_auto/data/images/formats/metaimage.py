"""MetaImage files of one piece (.mha)."""

from __future__ import annotations

import re

from vmseg_auto.data.images.format import EXPORT_AGAIN, NO_SIDES
from vmseg_auto.data.images.itk import HeaderNotes, ItkFormat
from vmseg_auto.data.images.text_header import (
    ODD,
    add_field,
    are_sizes,
    dimensions_of,
    lines_until,
    require_here,
    require_one_size,
    require_whole_number,
    to_number,
    to_numbers,
    unfit,
)

_LINE = re.compile(rb"[^\s=:]+[ \t]*=[^\x00-\x08\x0a-\x1f]*")
_NUMBERS = {
    "dimsize": 1, "elementspacing": 1, "elementsize": 1, "offset": 1, "position": 1, "origin": 1,
    "centerofrotation": 1, "transformmatrix": 2, "rotation": 2, "orientation": 2,
}  # fmt: skip
"""Fields that hold a number for each dimension, or for each pair of them."""


class MetaImage(ItkFormat):
    """Keeps voxel size, origin and direction to the last digit; may leave the direction out, which is then a doubt."""

    name = "MetaImage"
    endings = (".mha",)
    reader = "MetaImageIO"

    def check(self, head: bytes, size: int) -> HeaderNotes:
        fields: dict[str, str] = {}
        for line in lines_until(head, lambda line: line.split(b"=")[0].strip().lower() == b"elementdatafile"):
            if not _LINE.fullmatch(line):
                raise unfit(ODD, EXPORT_AGAIN)
            add_field(fields, line, "=")
        dimensions = dimensions_of(fields.get("ndims", ""))
        for name, power in _NUMBERS.items():
            if name in fields and len(fields[name].split()) != dimensions**power:
                raise unfit(f"its header has {len(fields[name].split())} numbers for {name}")
        require_here(fields["elementdatafile"], "LOCAL")
        require_whole_number(fields, "headersize", 0)
        if to_number(fields.get("compresseddatasize", "0")) > size:
            raise unfit("the file is damaged or cut short", EXPORT_AGAIN)
        stated = [to_numbers(fields[name]) for name in ("elementspacing", "elementsize") if name in fields]
        if len(stated) == 2:
            require_one_size(stated[0], stated[1], ("ElementSpacing", "ElementSize"))
        sides = any(name in fields for name in ("transformmatrix", "rotation", "orientation"))
        doubts = () if sides else (f"{NO_SIDES} (no TransformMatrix)",)
        return HeaderNotes(bool(stated) and are_sizes(stated[0]), doubts=doubts)
