"""Headers that are lines of text (MetaImage, NRRD), or numbers: what they may hold, whatever the format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vmseg_auto.data.images.format import EXPORT_AGAIN, MEND, NO_IMAGE
from vmseg_auto.utils.errors import InputError

ODD = f"{NO_IMAGE}: its header holds what no such header does"
SELF_CONTAINED = "Save header and voxels as one file."
SAME_SIZE = 1e-3
"""Voxel sizes that differ by less, as a share, are one."""
_MOST_LINE = 1000


def unfit(problem: str, remedy: str = MEND) -> InputError:
    """Return what is told of a header that can't be used."""
    return InputError(problem, remedy=remedy)


def lines_until(head: bytes, ends: Callable[[bytes], bool]) -> list[bytes]:
    """Return all lines up to the one that ends the header, that one too; a CR before a line's end is none of it."""
    lines: list[bytes] = []
    for line in head.split(b"\n"):
        lines.append(line.removesuffix(b"\r"))
        if len(line) > _MOST_LINE and b":=" not in line:  # 3D Slicer keeps long texts as key:=value
            break
        if ends(lines[-1]):
            return lines
    raise unfit(f"{NO_IMAGE}: its header has no end", EXPORT_AGAIN)


def add_field(fields: dict[str, str], line: bytes, sign: str) -> str:
    """Take a line's field in, and return its name in lower case."""
    name, _, value = line.decode("latin-1").partition(sign)
    name = name.strip().lower()
    if sign == ":":
        name = name.replace(" ", "")
    if name in fields:
        raise unfit(f"its header has the field {name[:40]!r} twice")
    fields[name] = value.strip()
    return name


def dimensions_of(text: str) -> int:
    """Return the number of dimensions.

    Raises:
        InputError: it is none, or beyond any image's.
    """
    if not re.fullmatch(r"\d{1,2}", text) or not 1 <= int(text) <= 10:
        raise unfit(f"{NO_IMAGE}: it has {text[:20]!r} dimensions", EXPORT_AGAIN)
    return int(text)


def require_here(place: str, here: str) -> None:
    """Raise InputError where the voxels lie in another file."""
    if place != here:
        raise unfit(f"its voxels lie in another file ({place[:80]})", SELF_CONTAINED)


def require_whole_number(fields: Mapping[str, str], name: str, most: int) -> None:
    """Raise InputError where a field is there and is no whole number from 0 to `most`."""
    text = fields.get(name, "0")
    if not re.fullmatch(r"\d{1,15}", text) or int(text) > most:
        raise unfit(f"its header says {text[:20]!r} for {name}", EXPORT_AGAIN)


def to_number(text: str) -> float:
    """Return the number that a text is; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def to_numbers(text: str) -> list[float]:
    """Return the numbers of a text, NaN for what is none."""
    return [to_number(part) for part in text.split()]


def are_sizes(edges: Sequence[float]) -> bool:
    """Return whether these are the sizes of a voxel."""
    return len(edges) > 0 and all(math.isfinite(edge) and edge != 0 for edge in edges)


def require_one_size(one: Sequence[float], other: Sequence[float], names: tuple[str, str]) -> None:
    """Raise InputError where two fields of these names tell different voxel sizes."""
    if len(one) == len(other) and np.allclose(np.abs(one), other, rtol=SAME_SIZE, atol=0):
        return
    first, second = (" x ".join(f"{edge:g}" for edge in edges) for edges in (one, other))
    raise unfit(f"its header tells two voxel sizes: {first} mm ({names[0]}) and {second} mm ({names[1]})")


def in_words(numbers: Sequence[float]) -> str:
    """Return numbers as a message shows them."""
    return ", ".join(f"{number:g}" for number in numbers)
