"""The formats of image files, found by the endings of names.

The project's own are the classes in the modules of formats/. Installed packages add theirs by the entry point
`vmseg_auto.image_formats` (docs/extending/image_format.md).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from vmseg_auto.data.images import formats as own
from vmseg_auto.data.images.format import ImageFormat
from vmseg_auto.utils.entry_points import load_entry_as
from vmseg_auto.utils.errors import InputError

ENTRY_POINT = "vmseg_auto.image_formats"
USUAL = ".nii.gz"
"""What is written where no scan's file says otherwise."""
SEGMENTS = ".seg.nrrd"
"""What 3D Slicer's segmentations end with: a NRRD file that names what is drawn in it (segmentations.py)."""


@cache
def formats() -> tuple[ImageFormat, ...]:
    """Return all formats: that of USUAL first, then the project's own and the installed ones, each by name.

    Raises:
        InputError: an installed one can't be loaded, or is for an ending that another one has.
    """
    ours = sorted(_ours(), key=lambda one: (USUAL not in one.endings, one.name))
    page = "docs/extending/image_format.md"
    entries = entry_points(group=ENTRY_POINT)
    loaded = (load_entry_as(entry, ImageFormat, "image format", page) for entry in entries)  # type: ignore[type-abstract]
    installed = sorted(loaded, key=lambda one: one.name)
    taken: dict[str, str] = {}
    for each in (*ours, *installed):
        for ending in each.endings:
            if (other := taken.setdefault(ending, each.name)) != each.name:
                problem = f"the image formats {other} and {each.name} both are for files that end with {ending}"
                raise InputError(problem, remedy=f"Remove the package that brings {each.name}.")
    return (*ours, *installed)


def format_of(name: str) -> ImageFormat | None:
    """Return the format of a file's name; None for others."""
    ending = ending_of(name)
    return _by_ending()[ending] if ending else None


def ending_of(name: str) -> str | None:
    """Return the ending that a file's name has, in lower case, also of .NII.GZ; None where no format has it.

    >>> ending_of("anna.SEG.NRRD"), ending_of("anna.nrrd"), ending_of("anna.txt")
    ('.seg.nrrd', '.nrrd', None)
    """
    small = name.lower()
    return next((ending for ending in _by_ending() if small.endswith(ending)), None)


def is_image(path: Path) -> bool:
    """Return whether a file in a folder is taken for a scan or mask."""
    return ending_of(path.name) is not None and not why_no_image(path)


def why_no_image(path: Path) -> str:
    """Describe why a file is taken for no scan or mask in spite of its ending; empty where it is, or has another."""
    known = format_of(path.name)
    return known.why_not_taken(path) if known else ""


def packs(name: str) -> bool:
    """Return whether a mask in the format of this file's name is compressed; of a DICOM series it is."""
    known = format_of(name)
    return known is None or ending_of(name) not in known.uncompressed


def scan_endings() -> tuple[str, ...]:
    """Return the endings of scans, and of masks that are no segmentation of 3D Slicer."""
    return tuple(ending for each in formats() if each.scans for ending in each.endings)


def mask_endings() -> tuple[str, ...]:
    """Return the endings of masks: those of formats for masks alone first."""
    alone = tuple(ending for each in formats() if not each.scans for ending in each.endings)
    return (*alone, *scan_endings())


@cache
def _by_ending() -> dict[str, ImageFormat]:
    """Return each ending's format, the longest endings first."""
    known = [(ending, each) for each in formats() for ending in each.endings]
    return dict(sorted(known, key=lambda one: -len(one[0])))


def _ours() -> Iterator[ImageFormat]:
    for found in pkgutil.iter_modules(own.__path__):
        module = importlib.import_module(f"{own.__name__}.{found.name}")
        for made in vars(module).values():
            if isinstance(made, type) and issubclass(made, ImageFormat) and made.__module__ == module.__name__:
                yield made()
