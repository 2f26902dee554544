"""NRRD files of one piece: images (.nrrd), and segmentations of 3D Slicer (.seg.nrrd)."""

from __future__ import annotations

import math
import re

from vmseg_auto.data.images.format import EXPORT_AGAIN, NO_IMAGE, NO_SIDES
from vmseg_auto.data.images.itk import HeaderNotes, ItkFormat
from vmseg_auto.data.images.registry import SEGMENTS
from vmseg_auto.data.images.text_header import (
    ODD,
    SELF_CONTAINED,
    add_field,
    are_sizes,
    dimensions_of,
    lines_until,
    require_one_size,
    require_whole_number,
    to_number,
    to_numbers,
    unfit,
)

_FIELDS = frozenset((
    "type", "dimension", "sizes", "endian", "encoding", "spacings", "spacedirections", "space", "spacedimension",
    "spaceorigin", "spaceunits", "kinds", "units", "labels", "thicknesses", "centers", "centerings", "axismins",
    "axismaxs", "min", "max", "oldmin", "oldmax", "content", "number", "sampleunits", "measurementframe",
    "blocksize", "byteskip", "lineskip",
))  # fmt: skip
_ENCODINGS = ("raw", "gzip", "gz", "txt", "text", "ascii", "hex")
_PATIENT_SPACES = re.compile(r"(right|left)-(anterior|posterior)-superior|ras|lps|las|rps")


class Nrrd(ItkFormat):
    """Keeps voxel size, origin and direction to the last digit; may tell no voxel size (then it is asked for), and no
    space (then that is a doubt).
    """

    name = "NRRD"
    endings = (".nrrd",)
    reader = "NrrdImageIO"

    def check(self, head: bytes, size: int) -> HeaderNotes:
        fields = _fields(head)
        dimensions = dimensions_of(fields.get("dimension", ""))
        if fields.get("encoding", "").lower() not in _ENCODINGS:
            raise unfit(f"its encoding is {fields.get('encoding', '')[:40]!r}", "Save it raw or packed with gzip.")
        for name in ("byteskip", "lineskip"):
            require_whole_number(fields, name, 0)
        for name in ("units", "spaceunits"):
            if odd := set(re.findall(r'"([^"]*)"', fields.get(name, ""))) - {"", "mm", "???"}:
                raise unfit(f"its unit of length is {min(odd)[:20]}, not mm")
        for name in ("sizes", "spacings"):
            if name in fields and len(fields[name].split()) != dimensions:
                raise unfit(f"its header has {len(fields[name].split())} numbers for {name}")
        axes = re.findall(r"\([^)]*\)", fields.get("spacedirections", ""))
        edges = [math.hypot(*map(to_number, axis.strip("()").split(","))) for axis in axes]
        spacings = to_numbers(fields.get("spacings", ""))
        if dimensions != 3:  # of layers, which have none
            spacings = [edge for edge in spacings if math.isfinite(edge)]
        if edges and spacings:
            require_one_size(spacings, edges, ("spacings", "space directions"))
        sides = bool(edges) and _PATIENT_SPACES.fullmatch(fields.get("space", "").lower())
        doubts = () if sides else (f"{NO_SIDES} (no space, or no space directions)",)
        return HeaderNotes(are_sizes(edges or spacings), doubts=doubts)


class SlicerSegmentation(Nrrd):
    """A NRRD file whose header names segments, in one or more layers; on a part of the scan's grid, as Slicer saves it.

    segmentations.py reads the segments, and writes them.
    """

    name = "3D Slicer's segmentation"
    endings = (SEGMENTS,)
    scans = False


def _fields(head: bytes) -> dict[str, str]:
    """Return fields by their names in lower case and without blanks; comments and key:=value are passed over."""
    fields: dict[str, str] = {}
    magic, *lines = lines_until(head, lambda line: not line)
    if not re.fullmatch(rb"NRRD000[1-5]", magic):
        raise unfit(f"{NO_IMAGE}: it does not begin with NRRD", EXPORT_AGAIN)
    for line in lines[:-1]:
        if b"\r" in line:  # ITK takes it for the end of a line
            raise unfit(ODD, EXPORT_AGAIN)
        if line.startswith(b"#") or re.match(rb"[^:]*:=", line):
            continue
        name = add_field(fields, line, ":")
        if name == "datafile":
            raise unfit(f"its voxels lie in another file ({fields[name][:80]})", SELF_CONTAINED)
        if name not in _FIELDS:
            raise unfit(f"its header has a field that no NRRD file has ({name[:40]!r})", EXPORT_AGAIN)
    return fields
