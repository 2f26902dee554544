"""Text headers of MetaImage and NRRD files, looked at before ITK is: some of them end its process."""

from __future__ import annotations

import re
from pathlib import Path

from vmseg_auto.core.errors import InputError
from vmseg_auto.io.nifti import unreadable

_MOST_BYTES = 2**20
_MOST_LINE = 1000
_SELF_CONTAINED = "Save header and voxels as one file."
_REMEDY = "Copy or export the file again."


def check_header(path: Path, case: str | None) -> None:
    """Refuse a text header that no writer of images makes, or that leads to other files.

    Raises:
        InputError: it has no end, lines without end or more dimensions than any image, or its voxels lie elsewhere.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_BYTES)
    except OSError as error:
        raise unreadable(error, case, path) from error
    meta = path.name.endswith(".mha")
    lines = _meta_lines(head) if meta else _nrrd_lines(head)
    # 3D Slicer keeps long texts as key:=value
    if lines is None or any(len(line) > _MOST_LINE and b":=" not in line for line in lines):
        _refuse("the file is no image that can be read: its header has no end", case, path, _REMEDY)
        return
    fields = dict(_field(line, "=" if meta else ":") for line in lines)
    dimensions = fields.get("ndims" if meta else "dimension", "")
    if not re.fullmatch(r"\d{1,2}", dimensions) or not 1 <= int(dimensions) <= 10:
        _refuse(f"the file is no image that can be read: it has {dimensions[:20]!r} dimensions", case, path, _REMEDY)
    elsewhere = fields.get("elementdatafile", "LOCAL") if meta else fields.get("data file") or fields.get("datafile")
    if elsewhere not in (None, "LOCAL"):
        _refuse(f"its voxels lie in another file ({elsewhere[:80]})", case, path, _SELF_CONTAINED)


def _refuse(problem: str, case: str | None, path: Path, remedy: str) -> None:
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
