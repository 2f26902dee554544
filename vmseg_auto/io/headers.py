"""Headers looked at before ITK looks at them: some end its process, or keep it busy for ever."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NoReturn

from vmseg_auto.core.errors import InputError
from vmseg_auto.io.nifti import unpacked, unreadable

_MOST_BYTES = 2**20
_MOST_LINE = 1000
_SELF_CONTAINED = "Save header and voxels as one file."
_REMEDY = "Copy or export the file again."
FURTHEST_MM = 1e6
"""Where a voxel may lie."""
_NIFTI_1 = (348, "h", 254, "12f", 280)
_NIFTI_2 = (540, "i", 348, "12d", 400)
"""Bytes of a header, and format and offset of the code and the numbers of its matrix (sform)."""


def check_header(path: Path, case: str | None) -> None:
    """Refuse a header that no writer of images makes, or that leads to other files.

    Args:
        path: a NIfTI, MetaImage or NRRD file.
        case: for messages.

    Raises:
        InputError: text that has no end, lines without end or more dimensions than any image; voxels that lie in
            another file; a NIfTI matrix with numbers that are not finite or beyond any place; a damaged file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_BYTES)
    except OSError as error:
        raise unreadable(error, case, path) from error
    if path.name.lower().endswith((".nii", ".nii.gz")):
        _check_matrix(unpacked(head, path, case, _NIFTI_2[0], whole=False), case, path)
    else:
        _check_text(head, case, path)


def _check_matrix(header: bytes, case: str | None, path: Path) -> None:
    for size, code_form, code_at, form, at in (_NIFTI_1, _NIFTI_2):
        for order in "<>":
            if len(header) < size or struct.unpack_from(f"{order}i", header) != (size,):
                continue
            numbers = struct.unpack_from(order + form, header, at)
            used = struct.unpack_from(order + code_form, header, code_at)[0] > 0
            if used and not all(abs(number) <= FURTHEST_MM for number in numbers):
                shown = ", ".join(f"{number:g}" for number in numbers)
                _refuse(f"the matrix of its voxels' places (sform) holds {shown}", case, path, _REMEDY)


def _check_text(head: bytes, case: str | None, path: Path) -> None:
    meta = path.name.lower().endswith(".mha")
    lines = _meta_lines(head) if meta else _nrrd_lines(head)
    # 3D Slicer keeps long texts as key:=value
    if lines is None or any(len(line) > _MOST_LINE and b":=" not in line for line in lines):
        _refuse("the file is no image that can be read: its header has no end", case, path, _REMEDY)
    fields = dict(_field(line, "=" if meta else ":") for line in lines)
    dimensions = fields.get("ndims" if meta else "dimension", "")
    if not re.fullmatch(r"\d{1,2}", dimensions) or not 1 <= int(dimensions) <= 10:
        _refuse(f"the file is no image that can be read: it has {dimensions[:20]!r} dimensions", case, path, _REMEDY)
    elsewhere = fields.get("elementdatafile", "LOCAL") if meta else fields.get("data file") or fields.get("datafile")
    if elsewhere not in (None, "LOCAL"):
        _refuse(f"its voxels lie in another file ({elsewhere[:80]})", case, path, _SELF_CONTAINED)


def _refuse(problem: str, case: str | None, path: Path, remedy: str) -> NoReturn:
    raise InputError(problem, case=case, file=path, remedy=remedy)


def _meta_lines(head: bytes) -> list[bytes] | None:
    """All lines up to the one that says where the voxels are; None without it."""
    lines: list[bytes] = []
    for line in head.split(b"\n"):
        lines.append(line)
        if _field(line, "=")[0] == "elementdatafile":
            return lines
    return None


def _nrrd_lines(head: bytes) -> list[bytes] | None:
    """All lines up to the empty one; None without it."""
    lines = [line.rstrip(b"\r") for line in head.split(b"\n")]
    return lines[: lines.index(b"")] if b"" in lines else None


def _field(line: bytes, sign: str) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(sign)
    return name.strip().lower(), value.strip()
