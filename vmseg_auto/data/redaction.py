"""What stands in a command's inputs, so that its log can leave out names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.names import case_name
from vmseg_auto.utils.redaction import Redaction
from vmseg_auto.utils.tables import read_csv

_ENDINGS = 3
"""So many a file's name may lose before it names a case."""


def redaction_of(places: Mapping[str, Sequence[str]], names: Iterable[str] = ()) -> Redaction:
    """Return a redaction over files and folders that were given, and over the names of all that is in them.

    Args:
        places: what stands in a path's place, such as "INPUT" -> the paths. Of OUTPUT only what lies directly in it is
            looked at, as it may be a folder with much else in it.
        names: further ones, as they were typed.
    """
    texts = dict.fromkeys(_spellings(Path.cwd()), "FOLDER")
    found = set(names)
    for told, paths in places.items():
        texts |= dict.fromkeys(paths, told)
        for given in map(Path, paths):
            for path in (given, *_origins(given)):
                texts |= dict.fromkeys(_spellings(path), told)
                found |= {
                    path.resolve().name,
                    *(name for parts in _below(path, told != "OUTPUT") for name in _names(parts)),
                }
    return Redaction(texts, found)


def _spellings(path: Path) -> set[str]:
    return {str(path), str(path.absolute()), str(path.resolve())} - {".", os.sep}


def _origins(folder: Path) -> Iterator[Path]:
    """Yield where the scans lay whose masks are in this folder."""
    table = OutputFolder(folder).sources
    if table.is_file():
        with contextlib.suppress(InputError):
            yield from (folder / place for place in sorted({row.get("inputs", "") for row in read_csv(table)}) if place)


def _below(path: Path, deep: bool) -> Iterator[Sequence[str]]:
    """Yield the parts of the path of a file, or of all that is in a folder or a zip."""
    if path.is_file():
        yield (path.name,)
        yield from _members(path)
    for place, folders, files in os.walk(path):
        for one in (Path(place, name) for name in (*folders, *files)):
            yield one.relative_to(path).parts
            yield from _members(one)
        if not deep:
            folders.clear()


def _members(path: Path) -> Iterator[Sequence[str]]:
    if path.suffix.lower() == ".zip" and path.is_file():
        with contextlib.suppress(OSError, ValueError, NotImplementedError, BadZipFile), ZipFile(path) as archive:
            yield from (PurePosixPath(name.replace("\\", "/")).parts for name in archive.namelist())


def _names(parts: Sequence[str]) -> Iterator[str]:
    """Yield the names of a path, the last also without some of its endings, and the case's if it is none of these."""
    yield from parts
    for stem in accumulate(range(_ENDINGS), lambda name, _: Path(name).stem, initial=parts[-1]):
        yield stem
        if "~" in (name := case_name([*parts[:-1], stem])):
            yield name
