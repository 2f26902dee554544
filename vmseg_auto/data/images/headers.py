"""Headers read by parsers of our own before ITK reads them: what they may hold, what they tell, what they leave open.

ITK takes 1 mm where a header tells no voxel size, one of two where it tells two, and follows names of other files. What
is taken here, refused and asked for stands in docs/formats.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.nifti import HEADER_BYTES, NiftiHeader, form_matrices, parse_header, unpacked, unreadable
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import NiftiForms

_MOST_BYTES = 2**20
_MOST_LINE = 1000
_SELF_CONTAINED = "Save header and voxels as one file."
_REMEDY = "Copy or export the file again."
_MEND = "Mend the header, or export the scan again."
FURTHEST_MM = 1e6
"""Where a voxel may lie."""
_ODD = "the file is no image that can be read: its header holds what no such header does"
_SAME_SIZE = 1e-3
"""Voxel sizes that differ by less, as a share, are one."""
_NO_SIDES = "the file does not tell the patient's right from left"
_META_LINE = re.compile(rb"[^\s=:]+[ \t]*=[^\x00-\x08\x0a-\x1f]*")
_META_NUMBERS = {
    "dimsize": 1, "elementspacing": 1, "elementsize": 1, "offset": 1, "position": 1, "origin": 1,
    "centerofrotation": 1, "transformmatrix": 2, "rotation": 2, "orientation": 2,
}  # fmt: skip
"""Fields that hold a number for each dimension, or for each pair of them."""
_NRRD_FIELDS = frozenset(
    [
        "type",
        "dimension",
        "sizes",
        "endian",
        "encoding",
        "spacings",
        "spacedirections",
        "space",
        "spacedimension",
        "spaceorigin",
        "spaceunits",
        "kinds",
        "units",
        "labels",
        "thicknesses",
        "centers",
        "centerings",
        "axismins",
        "axismaxs",
        "min",
        "max",
        "oldmin",
        "oldmax",
        "content",
        "number",
        "sampleunits",
        "measurementframe",
        "blocksize",
        "byteskip",
        "lineskip",
    ]
)
_NRRD_ENCODINGS = ("raw", "gzip", "gz", "txt", "text", "ascii", "hex")
_PATIENT_SPACES = re.compile(r"(right|left)-(anterior|posterior)-superior|ras|lps|las|rps")


@dataclass(frozen=True)
class Told:
    """What a header tells beside what ITK makes of it.

    Args:
        spacing: whether it tells a voxel size.
        forms: of a NIfTI file.
        doubts: what it leaves open or says twice, in words.
    """

    spacing: bool
    forms: NiftiForms | None = None
    doubts: tuple[str, ...] = ()


def check_header(path: Path, case: str | None) -> Told:
    """Read a header, and refuse one that contradicts itself or leads to other files.

    Args:
        path: a NIfTI, MetaImage or NRRD file.
        case: for messages.

    Raises:
        InputError: text that has no end, lines or fields that such a header has not, more dimensions than any image;
            voxels that lie in another file; numbers that are not finite or beyond any place; two voxel sizes; an
            unknown unit; a damaged file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_BYTES)
    except OSError as error:
        raise unreadable(error, case, path) from error
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            header = parse_header(unpacked(head, path, case, HEADER_BYTES, whole=False))
            return _nifti(header) if header is not None else Told(spacing=True)  # ITK says that it is none
        return _meta(head, path.stat().st_size) if path.name.lower().endswith(".mha") else _nrrd(head)
    except _UnfitError as error:
        raise InputError(str(error), case=case, file=path, remedy=error.remedy) from None


class _UnfitError(Exception):
    """A header that can't be used; says why."""

    def __init__(self, problem: str, remedy: str = _MEND) -> None:
        super().__init__(problem)
        self.remedy = remedy


def _nifti(header: NiftiHeader) -> Told:
    if not header.in_one_file:
        raise _UnfitError("its voxels lie in another file (a header of two files, or of ANALYZE)", _SELF_CONTAINED)
    for name, code, numbers in zip(("qform", "sform"), header.codes, (header.qform[:3], header.sform), strict=True):
        if code > 0 and not all(abs(number) <= FURTHEST_MM for number in numbers):
            raise _UnfitError(f"the matrix of its voxels' places ({name}) holds {_shown(numbers)}", _REMEDY)
    if header.units & 7 not in (0, 2):
        unit = {1: "m", 3: "micrometres"}.get(header.units & 7, f"unknown (code {header.units & 7})")
        raise _UnfitError(f"its unit of length is {unit}, not mm")
    if header.codes[0] > 0 and sum(part * part for part in header.qform[:3]) > 1 + _SAME_SIZE:
        raise _UnfitError(f"its qform holds no rotation ({_shown(header.qform[:3])})")
    stated = header.pixdim[1:4]
    told = all(math.isfinite(edge) and edge != 0 for edge in stated)
    qform, sform = form_matrices(header)
    if sform is not None:
        _require_one_size(stated, np.linalg.norm(sform[:, :3], axis=0).tolist(), ("pixdim", "sform"))
    doubts = []
    if qform is None and sform is None:
        doubts.append(f"{_NO_SIDES} (qform and sform have code 0), nor does the mask")
    if told and qform is not None and sform is not None and _apart(qform, sform, min(stated)):
        doubts.append("qform and sform place the scan differently; the mask holds both as the scan does")
    return Told(told, header.forms, tuple(doubts))


def _apart(one: NDArray[np.float64], other: NDArray[np.float64], edge: float) -> bool:
    return not np.allclose(one, other, rtol=0, atol=0.1 * edge)


def _meta(head: bytes, file_bytes: int) -> Told:
    fields: dict[str, str] = {}
    for line in _until(head, lambda line: line.split(b"=")[0].strip().lower() == b"elementdatafile"):
        if not _META_LINE.fullmatch(line):
            raise _UnfitError(
                "the file is no image that can be read: its header holds what no such header does", _REMEDY
            )
        _add(fields, line, "=")
    dimensions = _dimensions(fields.get("ndims", ""))
    for name, power in _META_NUMBERS.items():
        if name in fields and len(fields[name].split()) != dimensions**power:
            raise _UnfitError(f"its header has {len(fields[name].split())} numbers for {name}")
    _require_here(fields["elementdatafile"], "LOCAL")
    _require_whole_number(fields, "headersize", 0)
    if _number(fields.get("compresseddatasize", "0")) > file_bytes:
        raise _UnfitError("the file is damaged or cut short", _REMEDY)
    stated = [_numbers(fields[name]) for name in ("elementspacing", "elementsize") if name in fields]
    if len(stated) == 2:
        _require_one_size(stated[0], stated[1], ("ElementSpacing", "ElementSize"))
    sides = any(name in fields for name in ("transformmatrix", "rotation", "orientation"))
    return Told(bool(stated) and _sizes(stated[0]), doubts=() if sides else (f"{_NO_SIDES} (no TransformMatrix)",))


def _nrrd(head: bytes) -> Told:
    fields = _nrrd_fields(head)
    dimensions = _dimensions(fields.get("dimension", ""))
    if fields.get("encoding", "").lower() not in _NRRD_ENCODINGS:
        raise _UnfitError(f"its encoding is {fields.get('encoding', '')[:40]!r}", "Save it raw or packed with gzip.")
    for name in ("byteskip", "lineskip"):
        _require_whole_number(fields, name, 0)
    for name in ("units", "spaceunits"):
        if odd := set(re.findall(r'"([^"]*)"', fields.get(name, ""))) - {"", "mm", "???"}:
            raise _UnfitError(f"its unit of length is {min(odd)[:20]}, not mm")
    for name in ("sizes", "spacings"):
        if name in fields and len(fields[name].split()) != dimensions:
            raise _UnfitError(f"its header has {len(fields[name].split())} numbers for {name}")
    axes = re.findall(r"\([^)]*\)", fields.get("spacedirections", ""))
    edges = [math.hypot(*map(_number, axis.strip("()").split(","))) for axis in axes]
    spacings = _numbers(fields.get("spacings", ""))
    if dimensions != 3:  # of layers, which have none
        spacings = [edge for edge in spacings if math.isfinite(edge)]
    if edges and spacings:
        _require_one_size(spacings, edges, ("spacings", "space directions"))
    sides = bool(edges) and _PATIENT_SPACES.fullmatch(fields.get("space", "").lower())
    doubts = () if sides else (f"{_NO_SIDES} (no space, or no space directions)",)
    return Told(_sizes(edges or spacings), doubts=doubts)


def _nrrd_fields(head: bytes) -> dict[str, str]:
    """Fields by their names in lower case and without blanks; comments and key:=value are passed over."""
    fields: dict[str, str] = {}
    magic, *lines = _until(head, lambda line: not line)
    if not re.fullmatch(rb"NRRD000[1-5]", magic):
        raise _UnfitError("the file is no image that can be read: it does not begin with NRRD", _REMEDY)
    for line in lines[:-1]:
        if b"\r" in line:  # ITK takes it for the end of a line
            raise _UnfitError(_ODD, _REMEDY)
        if line.startswith(b"#") or re.match(rb"[^:]*:=", line):
            continue
        name = _add(fields, line, ":")
        if name == "datafile":
            raise _UnfitError(f"its voxels lie in another file ({fields[name][:80]})", _SELF_CONTAINED)
        if name not in _NRRD_FIELDS:
            raise _UnfitError(f"its header has a field that no NRRD file has ({name[:40]!r})", _REMEDY)
    return fields


def _until(head: bytes, ends: Callable[[bytes], bool]) -> list[bytes]:
    """All lines up to the one that ends the header, that one included; a CR before the end of a line is none of it."""
    lines: list[bytes] = []
    for line in head.split(b"\n"):
        lines.append(line.removesuffix(b"\r"))
        if len(line) > _MOST_LINE and b":=" not in line:  # 3D Slicer keeps long texts as key:=value
            break
        if ends(lines[-1]):
            return lines
    raise _UnfitError("the file is no image that can be read: its header has no end", _REMEDY)


def _add(fields: dict[str, str], line: bytes, sign: str) -> str:
    """Take a line's field in; gives its name, in lower case."""
    name, _, value = line.decode("latin-1").partition(sign)
    name = name.strip().lower()
    if sign == ":":
        name = name.replace(" ", "")
    if name in fields:
        raise _UnfitError(f"its header has the field {name[:40]!r} twice")
    fields[name] = value.strip()
    return name


def _dimensions(text: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text) or not 1 <= int(text) <= 10:
        raise _UnfitError(f"the file is no image that can be read: it has {text[:20]!r} dimensions", _REMEDY)
    return int(text)


def _require_here(place: str, here: str) -> None:
    if place != here:
        raise _UnfitError(f"its voxels lie in another file ({place[:80]})", _SELF_CONTAINED)


def _require_whole_number(fields: Mapping[str, str], name: str, most: int) -> None:
    text = fields.get(name, "0")
    if not re.fullmatch(r"\d{1,15}", text) or int(text) > most:
        raise _UnfitError(f"its header says {text[:20]!r} for {name}", _REMEDY)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _numbers(text: str) -> list[float]:
    return [_number(part) for part in text.split()]


def _sizes(edges: Sequence[float]) -> bool:
    """Whether these are the sizes of a voxel."""
    return len(edges) > 0 and all(math.isfinite(edge) and edge != 0 for edge in edges)


def _require_one_size(one: Sequence[float], other: Sequence[float], names: tuple[str, str]) -> None:
    if len(one) == len(other) and np.allclose(np.abs(one), other, rtol=_SAME_SIZE, atol=0):
        return
    first, second = (" x ".join(f"{edge:g}" for edge in edges) for edges in (one, other))
    raise _UnfitError(f"its header tells two voxel sizes: {first} mm ({names[0]}) and {second} mm ({names[1]})")


def _shown(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
