"""Scans and the masks drawn on them, found and matched before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.console import Console
from vmseg_auto.core.dataset import Case
from vmseg_auto.core.errors import DatasetError, InputError, VmsegError
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.io.cases import find_scans, over_cases
from vmseg_auto.io.images import FILE_ENDINGS, ending_of, read_grid
from vmseg_auto.io.naming import stem
from vmseg_auto.io.segmentations import Segment, Segmentation, read_segmentation
from vmseg_auto.ops.grids import Placement, place
from vmseg_auto.ops.pairing import Item, Match, Names, pair


@dataclass(frozen=True)
class Pair:
    """A scan and the mask that was drawn on it.

    Args:
        scan: as it was found; its id is made of folder and file names.
        names: by which the scan is known.
        grid: of the scan.
        mask: the file.
        where: the mask's place on the scan's grid.
        by_name: whether names agree, not the grids alone.
        drawn: what the mask holds, in words.
        voxels: labelled, on the scan's grid.
    """

    scan: Case
    names: Names
    grid: Geometry
    mask: Path
    where: Placement
    by_name: bool
    drawn: str = ""
    voxels: int = 0

    @property
    def volume_ml(self) -> float:
        return self.voxels * self.grid.voxel_ml

    @property
    def fit(self) -> str:
        """How the two belong together, in words."""
        return self.where.words() + ("" if self.by_name else ", no common name")


@dataclass(frozen=True)
class Found:
    """All that was found.

    Args:
        pairs: sorted by the names of the scans.
        without_mask: scans that no mask belongs to.
        unusable: scans that can't be used, and why.
    """

    pairs: tuple[Pair, ...]
    without_mask: tuple[Names, ...]
    unusable: tuple[VmsegError, ...]


def mask_files(source: Path) -> list[Path]:
    """A mask, or all masks in a folder and the folders in it, sorted; hidden ones are passed over.

    Raises:
        InputError: there is none.
    """
    if source.is_file() and ending_of(source.name):
        return [source]
    found = [
        path
        for path in sorted(source.rglob("*"))
        if ending_of(path.name) and path.is_file() and not any(part.startswith(".") for part in _below(path, source))
    ]
    if not found:
        problem = "there is no mask" if source.exists() else "there is no such file or folder"
        raise InputError(problem, file=source, remedy=f"Masks end with {', '.join(FILE_ENDINGS)}.")
    return found


def names_of(path: Path, source: Path) -> Names:
    """By which a file below a folder is known: the folders between, and its own name without its ending."""
    *folders, _ = _below(path, source) or (path.name,)
    own = stem(path)
    return (*folders, own.removesuffix(".seg"))


def find_named_scans(source: Path, masks: Path, channel: str) -> list[tuple[Case, Names]]:
    """The scans below a folder, with the names by which they are known; what lies below `masks` is none."""
    folders = (
        sorted({path.parent for path in source.rglob("*") if ending_of(path.name)}) if source.is_dir() else [source]
    )
    found = []
    for folder in folders:
        for case in find_scans(folder, (channel,)):
            names = names_of(case.images[0], source)
            found.append((replace(case, id="/".join(names)), names))
    return found


def find_pairs(
    scans: Sequence[tuple[Case, Names]],
    source: Path,
    segments: Sequence[str] | None,
    jobs: int,
    console: Console,
) -> Found:
    """Match every mask with a scan, and look into the masks.

    Args:
        scans: with the names by which they are known.
        source: a mask or a folder of masks.
        segments: names of the segments, or label values, that count; all unless given.
        jobs: threads.
        console: where progress goes.

    Raises:
        DatasetError: masks that can't be read, have no scan, or do not fit on it; all are listed.
    """
    masks = mask_files(source)
    grids: dict[str, Geometry] = {}
    with console.progress("Reading headers", len(scans)) as progress:
        grids, unusable = over_cases(
            lambda case: read_grid(case.images[0], case.id), [case for case, _ in scans], jobs, progress.advance
        )
    usable = [(case, names) for case, names in scans if case.id in grids]
    drawn: list[tuple[Path, Item]] = []
    errors: list[VmsegError] = []
    for path in masks:
        try:
            drawn.append((path, Item(names_of(path, source), read_grid(path, layers=True))))
        except InputError as error:
            errors.append(error)
    matches = pair([item for _, item in drawn], [Item(names, grids[case.id]) for case, names in usable])
    pairs: dict[str, Pair] = {}
    for (path, _), match in zip(drawn, matches, strict=True):
        if match.image is None or match.where is None:
            errors.append(_unmatched(path, match, unusable))
        else:
            case, names = usable[match.image]
            pairs[case.id] = Pair(case, names, grids[case.id], path, match.where, match.by_name)
    with console.progress("Looking into masks", len(pairs)) as progress:
        looked, failed = over_cases(
            lambda case: _looked_into(pairs[case.id], segments),
            [one.scan for one in pairs.values()],
            jobs,
            progress.advance,
        )
    errors += failed
    if errors:
        raise DatasetError(f"{len(errors)} of {len(masks)} masks can't be used; nothing is written", errors)
    left = tuple(names for case, names in usable if case.id not in pairs)
    return Found(tuple(sorted(looked.values(), key=lambda one: one.names)), left, tuple(unusable))


def drawn_mask(one: Pair, segments: Sequence[str] | None) -> NDArray[np.uint8]:
    """The segments that count as one label, on the scan's grid: 1 where any of them is, uint8 [Z, Y, X].

    Raises:
        InputError: the mask can't be read, has none of the segments, or reaches out of the scan.
    """
    read = read_segmentation(one.mask)
    return _placed(read.union(_chosen(read, segments, one.mask))[0], one)


def _looked_into(one: Pair, segments: Sequence[str] | None) -> Pair:
    read = read_segmentation(one.mask)
    chosen = _chosen(read, segments, one.mask)
    union, overlap = read.union(chosen)
    placed = _placed(union, one)
    words = ", ".join(segment.name for segment in chosen) or "nothing"
    if overlap:
        words += f" (merged where they overlap, {overlap} voxels)"
    return replace(one, drawn=words, voxels=int(np.count_nonzero(placed)))


def _placed(mask: NDArray[np.uint8], one: Pair) -> NDArray[np.uint8]:
    try:
        return place(mask, one.where)
    except InputError as error:
        raise InputError(error.problem, file=one.mask, remedy=error.remedy) from None


def _chosen(read: Segmentation, segments: Sequence[str] | None, path: Path) -> list[Segment]:
    """Those of the segments that count."""
    if segments is None:
        return list(read.segments)
    wanted = {name.casefold() for name in segments}
    chosen = [segment for segment in read.segments if segment.name.casefold() in wanted]
    if read.segments and not chosen:
        there = ", ".join(segment.name for segment in read.segments)
        raise InputError(
            f"it has none of the segments {', '.join(segments)}, but {there}",
            file=path,
            remedy="Name with --segments those that are lesions, or leave the file out.",
        )
    return chosen


def _unmatched(path: Path, match: Match, unusable: Sequence[VmsegError]) -> InputError:
    remedy = "Give mask and image the same name, and draw the mask on that image."
    if unusable:
        remedy += f" {len(unusable)} images can't be used, the first because: {unusable[0]}"
    return InputError(match.problem or "no image belongs to it", file=path, remedy=remedy)


def _below(path: Path, source: Path) -> tuple[str, ...]:
    """Folders and name of a path below a folder; none for the folder itself."""
    return path.relative_to(source).parts
