"""DICOM series in folders and zips: which there are, what they are called, and what is no scan."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from os.path import commonpath, isfile
from pathlib import Path

from vmseg_auto.data.dicom.elements import is_dicom
from vmseg_auto.data.dicom.files import DicomFiles, is_zip
from vmseg_auto.data.dicom.header import Content, read_content
from vmseg_auto.data.dicom.series import Choice, Series
from vmseg_auto.data.dicom.stack import in_slice_order, without_parts
from vmseg_auto.data.images.registry import ending_of
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import files_in, walk
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.names import case_name, distinct, plain

_UID = re.compile(r"[\d.]{16,}")
_ENDINGS = (".dcm", ".dicom", ".ima")
_NO_SCAN_BUT = "no scan but a "
_BESIDE_SCANS = tuple(
    f"{_NO_SCAN_BUT}{kind}"
    for kind in (
        "localizer",
        "report",
        "document",
        "presentation state",
        "table of contents (DICOMDIR)",
        "segmentation or registration",
        "radiotherapy object",
    )
)
"""What comes with most studies, and nobody expects to be segmented."""
_NO_SCAN = "neither DICOM nor an image of a format that is read"


def find_series(
    source: Path,
    choice: Choice | None = None,
    notes: list[str] | None = None,
    left: Inventory | None = None,
) -> list[Series]:
    """Find the DICOM series in a folder and its folders, or in a zip, or the one that a file belongs to.

    A series is named after the folder that its files lie in, as seen from `source` (A/B is A_B), or after `source`
    itself; where one folder holds several, each after that folder and its first file (A/IM0001 is A_IM0001). What else
    lies there changes no name, but where two would be one (utils/names.py). No name comes from a header.

    Args:
        source: a folder, a zip, or one DICOM file.
        choice: which series and which echo are wanted; all, unless given.
        notes: what was found is appended here, in words.
        left: what is not used is noted here, but for image files in folders.

    Returns:
        Series sorted by name; none where there is no DICOM. Whether they form volumes is not looked at yet, but for
        two that form one together.

    Raises:
        InputError: a folder can't be read, or a choice fits none of the series.
    """
    notes, left = notes if notes is not None else [], left if left is not None else Inventory()
    lone = source.is_file() and not is_zip(source)
    root = source.parent if lone else source
    with DicomFiles() as files:
        found = _look_through(files, _paths(source, lone, left))
    series = _named(found, root, notes)
    if lone:
        series = [one for one in series if source in (*one.files, one.path) or (one.path == root and not one.slices)]
    else:
        _note_others(found, root, left)
    if choice and choice.series:
        wanted = _chosen(series, choice.series, source)
        for one in series:
            if one not in wanted:
                left.add("scan", one.name, "not chosen by --series", meant=True)
        series = wanted
    if choice and choice.echo is not None:
        series = [_only_echo(one, choice.echo) for one in series]
    series.sort(key=lambda one: one.name)
    notes += [_in_words(one) for one in series if one.slices]
    return series


@dataclass
class _Found:
    """The members of each series; other files, with the reason; and what could be slices but can't be read."""

    series: dict[tuple[str, str], list[tuple[Path, Content]]] = field(default_factory=lambda: defaultdict(list))
    others: dict[Path, str] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)


def _paths(source: Path, lone: bool, left: Inventory) -> Iterable[Path]:
    """Return the files to look at."""
    if lone:
        return files_in(source.parent)
    return walk(source, left) if source.is_dir() else [source]


def _note_others(found: _Found, root: Path, left: Inventory) -> None:
    for path, why in sorted(found.others.items()):
        if why == _NO_SCAN:
            left.add_file(path, root, why)
        else:
            left.add("file", path, why, meant=why in _BESIDE_SCANS, folder=root)


def _look_through(files: DicomFiles, paths: Iterable[Path]) -> _Found:
    found = _Found()
    strange: list[Path] = []
    kinds: set[tuple[Path, str]] = set()
    for path in _with_members(files, paths, found):
        if ending_of(path.name):
            if not isfile(path):
                found.others[path] = "an image file in a zip, where only DICOM is looked for"
            continue
        try:
            if not is_dicom(next(files.blocks(path, 132), b"")):
                strange.append(path)
                continue
            kinds.add((path.parent, _kind(path)))
            content = read_content(path, files)
            found.series[content.series].append((path, content))
        except InputError as error:
            found.unreadable[path] = error.problem
    for key in [key for key, members in found.series.items() if not any(_is_image(one) for _, one in members)]:
        found.others |= {path: f"{_NO_SCAN_BUT}{content.kind}" for path, content in found.series.pop(key)}
    alike = [path for path in strange if (path.parent, _kind(path)) in kinds or _kind(path) in _ENDINGS]
    found.unreadable |= dict.fromkeys(alike, "the file is no DICOM, or damaged")
    found.others |= {
        path: "a zip in a zip" if path.suffix.lower() == ".zip" else _NO_SCAN
        for path in strange
        if path not in found.unreadable
    }
    return found


def _with_members(files: DicomFiles, paths: Iterable[Path], found: _Found) -> Iterator[Path]:
    """Yield the files, and in place of each zip its members."""
    for path in paths:
        if not is_zip(path):
            yield path
            continue
        try:
            yield from files.members(path)
        except InputError as error:
            found.unreadable[path] = error.problem


def _kind(path: Path) -> str:
    """Return what the names of a series' files have in common: their ending, or to be UIDs."""
    return "UID" if _UID.fullmatch(path.name) else path.suffix.lower()


def _is_image(content: Content) -> bool:
    return bool(content.slices) or content.refusal is not None


def _named(found: _Found, root: Path, notes: list[str]) -> list[Series]:
    """Return every series, with a name of its own."""
    groups = [part for members in found.series.values() for part in _apart(members)]
    by_folder: dict[Path, list[list[tuple[Path, Content]]]] = defaultdict(list)
    for members in groups:
        by_folder[_folder(members)].append(members)
    series: list[Series] = []
    for folder, several in sorted(by_folder.items()):
        for members in several:
            first = min(path for path, _ in members)
            place = _without_ending(first) if len(several) > 1 else folder
            series.append(_series(_name(place, root), folder, members, found))
    known = {path.parent for members in groups for path, _ in members}
    named = _distinct([*series, *_unreadable(found, known, root)], root, notes)
    return without_parts(named, notes)


def _unreadable(found: _Found, known: set[Path], root: Path) -> Iterator[Series]:
    """Yield a series for each zip that can't be read, and for each folder that holds nothing but what can't be."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(found.unreadable):
        if is_zip(path) or path.parent not in known:
            by_folder[path if is_zip(path) else path.parent].append(path)
    for folder, paths in by_folder.items():
        first = paths[0]
        place = _without_ending(first) if len(paths) == 1 and first != root else folder
        more = f" (and {len(paths) - 1} more files like it)" if len(paths) > 1 else ""
        refusal = f"{shown(first.name, lines=False)}: {found.unreadable[first]}{more}"
        yield Series(_name(place, root), first if len(paths) == 1 else folder, (), refusal=refusal)


def _apart(members: list[tuple[Path, Content]]) -> list[list[tuple[Path, Content]]]:
    """Split one series in several folders: copies of the whole are series of their own, parts of a whole belong
    together.
    """
    by_folder: dict[Path, list[tuple[Path, Content]]] = defaultdict(list)
    for path, content in members:
        by_folder[path.parent].append((path, content))
    places = [
        {tuple(round(x, 2) for x in one.position_mm) for _, content in part for one in content.slices}
        for part in by_folder.values()
    ]
    copies = len(places) > 1 and all(place == places[0] for place in places)
    return list(by_folder.values()) if copies else [members]


def _folder(members: Sequence[tuple[Path, Content]]) -> Path:
    return Path(commonpath([path.parent for path, _ in members]))


def _series(name: str, folder: Path, members: Sequence[tuple[Path, Content]], found: _Found) -> Series:
    slices = [one for _, content in members for one in content.slices]
    own = {path.parent for path, _ in members}
    refusals = [content.refusal for _, content in members if content.refusal]
    refusals += [
        f"{path.name} is in this series, but a {content.kind}" for path, content in members if not _is_image(content)
    ]
    refusals += [
        f"{path.name} lies among its files and may be a slice that it lacks, but can't be used ({problem})"
        for path, problem in sorted(found.unreadable.items())
        if path.parent in own and not is_zip(path)
    ]
    return Series(
        name,
        folder,
        in_slice_order(slices) if slices else (),
        refusal=next(iter(refusals), None),
        acquisition=members[0][1].acquisition,
    )


def _name(path: Path, root: Path) -> str:
    """Return what a folder or file is called as seen from the root; the root by its own name."""
    parts = path.relative_to(root).parts or (root.resolve().name,)
    return case_name([part[: -len(".zip")] if part.lower().endswith(".zip") else part for part in parts])


def _without_ending(path: Path) -> Path:
    """Return a file without what DICOM files end with; other dots are part of its name."""
    return path.with_suffix("") if path.suffix.lower() in (*_ENDINGS, ".zip") else path


def _distinct(series: Sequence[Series], root: Path, notes: list[str]) -> list[Series]:
    """Tell apart what would be called the same, such as a zip and the folder that it was unpacked to."""
    sources = [str(one.source.relative_to(root)) for one in series]
    named = distinct([one.name for one in series], sources)
    if alike := [
        f"{shown(source, lines=False)} is {name}"
        for one, name, source in zip(series, named, sources, strict=True)
        if one.name != name
    ]:
        notes.append(f"Of one name but for capitals or folders, and so told apart: {', '.join(alike)}.")
    return [replace(one, name=name) for one, name in zip(series, named, strict=True)]


def _chosen(series: Sequence[Series], patterns: Sequence[str], source: Path) -> list[Series]:
    """Return the series whose name or description one of the patterns fits."""
    for pattern in patterns:
        if not any(_fits(one, pattern) for one in series):
            known = ", ".join(sorted(one.name for one in series)) or "none"
            raise InputError(
                f"there is no series {pattern}",
                file=source,
                remedy=f"There are: {known}. Patterns such as *_T2 work too, and SeriesDescription.",
            )
    return [one for one in series if any(_fits(one, pattern) for pattern in patterns)]


def _fits(one: Series, pattern: str) -> bool:
    """Compare names to the letter; descriptions, which a person typed, whatever their capitals."""
    names = (one.name, plain(one.name))
    return any(fnmatchcase(name, pattern) for name in names) or (
        bool(one.acquisition.description) and fnmatchcase(one.acquisition.description.casefold(), pattern.casefold())
    )


def _in_words(series: Series) -> str:
    rows, columns = series.slices[0].shape
    echoes = " and ".join(f"{echo:g} ms" for echo in series.echoes_ms if echo)
    about = f"DICOM series {series.name}: {len(series.slices)} slices of {columns} x {rows} pixels"
    return f"{about}, echo time {echoes}." if echoes else f"{about}."


def _only_echo(series: Series, echo: int) -> Series:
    """Return one echo of a series that has several; others as they are."""
    echoes = series.echoes_ms
    if len(echoes) < 2:
        return series
    if not 1 <= echo <= len(echoes):
        problem = f"there is no echo {echo}: it has {len(echoes)}, from {echoes[0]} to {echoes[-1]} ms"
        return replace(series, refusal=problem)
    slices = tuple(one for one in series.slices if one.echo_ms == echoes[echo - 1])
    return replace(series, name=f"{series.name}_echo_{echo}", slices=slices, echo=echo)
