"""DICOM series in folders and zips: which there are, what they are called, and what is no scan."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import count
from os.path import commonpath
from pathlib import Path

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.series import Choice, Series, Slice
from vmseg_auto.core.stack import in_slice_order, stack
from vmseg_auto.io.dicom_elements import is_dicom
from vmseg_auto.io.dicom_files import DicomFiles, files_in, is_zip, walk
from vmseg_auto.io.dicom_header import Content, read_content
from vmseg_auto.io.images import ending_of

_LONGEST_NAME = 120
_UID = re.compile(r"[\d.]{16,}")
_ENDINGS = (".dcm", ".dicom", ".ima")


def find_series(source: Path, choice: Choice | None = None, notes: list[str] | None = None) -> list[Series]:
    """The DICOM series in a folder and its folders, or in a zip, or the one that a file belongs to.

    A series is named after the folder that its files lie in, as seen from `source` (A/B is A_B), or after `source`
    itself. Where one folder holds several, each that is a single file is named after that file, and the others are
    numbered in the order of the examination (series_1). No name comes from a header.

    Args:
        source: a folder, a zip, or one DICOM file.
        choice: which series and which echo are wanted; all, unless given.
        notes: what was found and left out is appended here, in words.

    Returns:
        Series sorted by name; none where there is no DICOM. Whether they form volumes is not looked at yet.

    Raises:
        InputError: a folder can't be read, or a choice fits none of the series.
    """
    notes = notes if notes is not None else []
    lone = source.is_file() and not is_zip(source)
    root = source.parent if lone else source
    with DicomFiles() as files:
        found = _look_through(files, _paths(source, lone))
    series = _named(found, root)
    if lone:
        series = [one for one in series if source in (*one.files, one.path) or (one.path == root and not one.slices)]
    elif left := Counter(content.kind for content in found.others):
        words = ", ".join(f"{count} x {kind}" for kind, count in sorted(left.items()))
        notes.append(f"No scans, and left out: {words}.")
    if choice and choice.series:
        series = _chosen(series, choice.series, source)
    if choice and choice.echo is not None:
        series = [_only_echo(one, choice.echo) for one in series]
    series.sort(key=lambda one: one.name)
    notes += [_in_words(one) for one in series if one.slices]
    return series


@dataclass
class _Found:
    """The members of each series, other objects, and what could be slices but can't be read, with the reason."""

    series: dict[tuple[str, str], list[tuple[Path, Content]]] = field(default_factory=lambda: defaultdict(list))
    others: list[Content] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)


def _paths(source: Path, lone: bool) -> Iterable[Path]:
    """The files to look at."""
    if lone:
        return files_in(source.parent)
    return walk(source) if source.is_dir() else [source]


def _look_through(files: DicomFiles, paths: Iterable[Path]) -> _Found:
    found = _Found()
    strange: list[Path] = []
    looks: set[tuple[Path, str]] = set()
    for path in _with_members(files, paths, found):
        if ending_of(path.name):
            continue
        try:
            if not is_dicom(next(files.blocks(path, 132), b"")):
                strange.append(path)
                continue
            looks.add((path.parent, _look(path)))
            content = read_content(path, files)
            found.series[content.series].append((path, content))
        except InputError as error:
            found.unreadable[path] = error.problem
    for key in [key for key, members in found.series.items() if not any(_is_image(one) for _, one in members)]:
        found.others += [content for _, content in found.series.pop(key)]
    alike = [path for path in strange if (path.parent, _look(path)) in looks or _look(path) in _ENDINGS]
    found.unreadable |= dict.fromkeys(alike, "the file is no DICOM, or damaged")
    return found


def _with_members(files: DicomFiles, paths: Iterable[Path], found: _Found) -> Iterator[Path]:
    """The files, and in place of each zip its members."""
    for path in paths:
        if not is_zip(path):
            yield path
            continue
        try:
            yield from files.members(path)
        except InputError as error:
            found.unreadable[path] = error.problem


def _look(path: Path) -> str:
    """What the names of a series' files have in common: their ending, or to be UIDs."""
    return "UID" if _UID.fullmatch(path.name) else path.suffix.lower()


def _is_image(content: Content) -> bool:
    return bool(content.slices) or content.refusal is not None


def _named(found: _Found, root: Path) -> list[Series]:
    """Every series, with a name of its own."""
    groups = [part for members in found.series.values() for part in _apart(members)]
    by_folder: dict[Path, list[list[tuple[Path, Content]]]] = defaultdict(list)
    for members in groups:
        by_folder[_folder(members)].append(members)
    series: list[Series] = []
    for folder, several in sorted(by_folder.items()):
        several.sort(key=lambda members: (min(content.number for _, content in members), members[0][0]))
        for number, members in enumerate(several, 1):
            lone = members[0][0] if len(members) == 1 and not _UID.fullmatch(members[0][0].name) else None
            if len(several) == 1:
                name = _name(folder, root) or _own_name(root)
            elif lone:
                name = _name(lone.with_suffix(""), root)
            else:
                name = "_".join(filter(None, (_name(folder, root), f"series_{number}")))
            series.append(_series(name, folder, members, found))
    known = {path.parent for members in groups for path, _ in members}
    return _distinct([*_without_strays(series), *_unreadable(found, known, root)])


def _without_strays(series: Sequence[Series]) -> Iterator[Series]:
    """Refuse a series that a lone slice beside it would continue: one flipped digit makes it one of another series."""
    lone = [one for one in series if len(one.slices) == 1]
    for one in series:
        strays = [other for other in lone if other.path == one.path] if len(one.slices) > 1 else []
        stray = next((other.files[0].name for other in strays if _is_volume([*one.slices, *other.slices])), None)
        problem = f"{stray} would continue it, but says that it belongs to another series"
        yield replace(one, refusal=one.refusal or problem) if stray else one


def _is_volume(slices: Sequence[Slice]) -> bool:
    try:
        stack(Series("", Path(), in_slice_order(slices)))
    except InputError:
        return False
    return True


def _unreadable(found: _Found, known: set[Path], root: Path) -> Iterator[Series]:
    """A series for each zip that can't be read, and for each folder that holds nothing but what can't be."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(found.unreadable):
        if is_zip(path) or path.parent not in known:
            by_folder[path if is_zip(path) else path.parent].append(path)
    for folder, paths in by_folder.items():
        first = paths[0]
        place = first.with_suffix("") if len(paths) == 1 else folder
        more = f" (and {len(paths) - 1} more files like it)" if len(paths) > 1 else ""
        refusal = f"{first.name}: {found.unreadable[first]}{more}"
        yield Series(_name(place, root) or _own_name(place), first if len(paths) == 1 else folder, (), refusal=refusal)


def _apart(members: list[tuple[Path, Content]]) -> list[list[tuple[Path, Content]]]:
    """One series in several folders: copies of the whole are series of their own, parts of a whole belong together."""
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
    return Series(name, folder, in_slice_order(slices) if slices else (), refusal=next(iter(refusals), None))


def _name(path: Path, root: Path) -> str:
    """A folder or file as seen from the root, in one word; empty for the root itself."""
    parts = [part.removesuffix(".zip") for part in path.relative_to(root).parts]
    return "_".join(parts)[-_LONGEST_NAME:]


def _own_name(path: Path) -> str:
    return path.resolve().name.removesuffix(".zip") or "scan"


def _distinct(series: Sequence[Series]) -> list[Series]:
    """Different folders can give one name: a number tells them apart."""
    taken: set[str] = set()
    named = []
    for one in series:
        names = (f"{one.name}_{number}" if number > 1 else one.name for number in count(1))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        named.append(replace(one, name=name))
    return named


def _chosen(series: Sequence[Series], patterns: Sequence[str], source: Path) -> list[Series]:
    """Those whose name one of the patterns fits."""
    for pattern in patterns:
        if not any(fnmatchcase(one.name, pattern) for one in series):
            names = ", ".join(sorted(one.name for one in series)) or "none"
            raise InputError(
                f"there is no series {pattern}",
                file=source,
                remedy=f"There are: {names}. Patterns such as *_T2 work too.",
            )
    return [one for one in series if any(fnmatchcase(one.name, pattern) for pattern in patterns)]


def _in_words(series: Series) -> str:
    rows, columns = series.slices[0].shape
    echoes = " and ".join(f"{echo:g} ms" for echo in series.echoes_ms if echo)
    said = f"DICOM series {series.name}: {len(series.slices)} slices of {columns} x {rows} pixels"
    return f"{said}, echo time {echoes}." if echoes else f"{said}."


def _only_echo(series: Series, echo: int) -> Series:
    """One echo of a series that has several; others as they are."""
    echoes = series.echoes_ms
    if len(echoes) < 2:
        return series
    if not 1 <= echo <= len(echoes):
        problem = f"there is no echo {echo}: it has {len(echoes)}, from {echoes[0]} to {echoes[-1]} ms"
        return replace(series, refusal=problem)
    slices = tuple(one for one in series.slices if one.echo_ms == echoes[echo - 1])
    return replace(series, name=f"{series.name}_echo_{echo}", slices=slices, echo=echo)
