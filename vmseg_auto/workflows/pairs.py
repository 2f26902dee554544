"""Scans and the masks drawn on them, found and matched before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import over_cases
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.mask_objects import read_mask_object
from vmseg_auto.data.dicom.series import Choice, Scan, Series
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.dicom.stack import MIN_SLICES
from vmseg_auto.data.grids import Placement, place, placement
from vmseg_auto.data.images.images import read_grid
from vmseg_auto.data.images.registry import SEGMENTS, ending_of, is_image, mask_endings, scan_endings
from vmseg_auto.data.images.segmentations import Segment, Segmentation, read_segmentation
from vmseg_auto.data.mask_folders import MADE, is_predicted, masks_below
from vmseg_auto.data.naming import raw_stem
from vmseg_auto.data.outlined_slices import OutlinedSlices
from vmseg_auto.data.pairing import Item, Match, Names, agreement, pair
from vmseg_auto.data.scans import scan_grid
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import DatasetError, InputError, VmsegError
from vmseg_auto.utils.folders import is_file, walk
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE_LABEL
from vmseg_auto.utils.left_out import Inventory, is_hidden
from vmseg_auto.utils.text import counted, listed

IGNORED = 2
"""The value in a dataset's masks of voxels that nobody has looked at."""


@dataclass(frozen=True)
class NamedScan:
    """A scan with the names that the user knows it by.

    Args:
        case: of one channel; its id is its file or series, as seen from the folder given.
        title: as it is shown.
        names: for the pairing: folders, and the file or series.
    """

    case: Case
    title: str
    names: Names


@dataclass(frozen=True)
class Pair:
    """A scan and the mask that was drawn on it.

    Args:
        scan: its title is made of folder and file names.
        grid: of the scan.
        mask: the file.
        where: the mask's place on the scan's grid.
        by_name: whether names agree, not the grids alone.
        drawn: what the mask holds, in words.
        segments: all that the mask names, chosen or not.
        merged: whether several of them become one label.
        voxels: labelled, on the scan's grid.
        partly: whether voxels are ignored, as nobody has looked at them.
        further: the scan of each further channel; None where there is none.
    """

    scan: NamedScan
    grid: Geometry
    mask: Path
    where: Placement
    by_name: bool
    drawn: str = ""
    voxels: int = 0
    segments: tuple[str, ...] = ()
    merged: bool = False
    partly: bool = False
    further: tuple[NamedScan | None, ...] = ()

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
        pairs: sorted by the titles of the scans.
        without_mask: titles of scans that no mask belongs to.
        unusable: scans that can't be used, and why.
        failed: masks that can't be used, and why.
    """

    pairs: tuple[Pair, ...]
    without_mask: tuple[str, ...]
    unusable: tuple[VmsegError, ...]
    failed: tuple[VmsegError, ...] = ()

    def require_segments(self, wanted: Sequence[str]) -> None:
        """Raise InputError where one of the segments that are lesions is in no mask."""
        there = {name.casefold(): name for one in self.pairs for name in one.segments}
        odd = [name for name in wanted if name.casefold() not in there]
        if there and odd:
            problem = f"no mask has a segment {listed(odd)}; there are {listed(sorted(there.values()))}"
            raise InputError(problem, remedy="Mend --segments.")

    def tell_of_segments(self, wanted: Sequence[str] | None, label: str, left: Inventory, console: Console) -> None:
        """Warn of segments that become one label though nobody has said so, and note those that are not taken."""
        if wanted is not None:
            chosen = {name.casefold() for name in wanted}
            for name in dict.fromkeys(name for one in self.pairs for name in one.segments):
                if name.casefold() not in (*chosen, IGNORE_LABEL):
                    left.add("segment", name, "not chosen by --segments", meant=True)
        elif merged := [one for one in self.pairs if one.merged]:
            names = list(dict.fromkeys(name for one in merged for name in one.segments))
            console.warn(
                f"{counted(len(merged), 'mask')} with several segments ({listed(names)}), which become one label, "
                f"{label}. If some are no lesion, name the others with --segments."
            )

    def note_left_out(self, left: Inventory, told: bool = False) -> None:
        """Note the scans that become no case, and whether the table of pairs shows them."""
        for title in self.without_mask:
            left.add("scan", title, "without a mask", told=told)
        for error in self.unusable:
            left.add("scan", error.case, f"that can't be used ({error.problem})", told=told)


def find_drawn(source: Path, scans: Path, errors: list[VmsegError], left: Inventory) -> list[Path]:
    """Find the masks in a folder and the folders in it, or the one that is named.

    Args:
        scans: the folder of the scans; what lies in it and is no mask is looked at with them.
        errors: cases of which no file counts go here.
        left: what else lies there is noted here.

    Raises:
        InputError: there is none, or the one that is named does not count (data/mask_folders.py).
    """
    masks, others = masks_below(source, errors, left)
    if not masks and not errors:
        problem = "there is no mask" if source.exists() else "there is no such file or folder"
        raise InputError(problem, file=source, remedy=f"Masks end with {', '.join(mask_endings())}.")
    within = scans.resolve()
    for path in others:
        if not path.resolve().is_relative_to(within):
            left.add_file(path, source, f"no mask ({', '.join(mask_endings())})")
    return masks


def find_named_scans(
    source: Path, masks: Path, made: Sequence[Path], choice: Choice, notes: list[str], left: Inventory
) -> list[NamedScan]:
    """Find the scans in a folder and the folders in it, image files and DICOM series; image files below `masks` are
    none.

    Args:
        made: the dataset and its key, which may lie among the scans.
        choice: which DICOM series are wanted; with names given, nothing but them.
        notes: what was found is appended here, in words.
        left: what is not used of both folders is noted here.

    Raises:
        InputError: there is none.
    """
    if not source.exists():
        raise InputError("there is no such file or folder", file=source, remedy="Check the name.")
    scans = []
    apart = [masks.resolve(), *(path.resolve() for path in made)]
    for own in (own for own in apart[1:] if own.exists() and own.is_relative_to(source.resolve())):
        for path in walk(own) if own.is_dir() else (own,):
            here = source / path.relative_to(source.resolve())
            left.add("file", here, "of the dataset itself", meant=True, folder=source)
    for path in [] if choice.series else _files(source):
        if any(path.resolve().is_relative_to(own) for own in apart):
            continue
        if ending_of(path.name) == SEGMENTS:
            left.add("file", path.relative_to(source), "a segmentation, which is no scan")
        elif is_predicted(path):
            left.add("file", path.relative_to(source), f"{MADE}, and no scan")
        else:
            names = _names(path, source)
            file = "/".join(_below(path, source)) or path.name
            case = f"./{file}"  # no series is called so
            scans.append(NamedScan(Case(case, case, (path,), None), "/".join(names), names))
    for series in find_series(source, choice, notes, left):
        names = tuple(dict.fromkeys((*_names(series.path, source), series.name)))
        scans.append(NamedScan(Case(series.name, series.name, (series,), None), series.name, names))
    if not scans:
        remedy = f"Scans are DICOM series, or files that end with {', '.join(scan_endings())}, apart from the masks."
        raise InputError("there is no scan", file=source, remedy=remedy)
    return scans


def find_pairs(
    scans: Sequence[NamedScan],
    masks: Sequence[Path],
    source: Path,
    segments: Sequence[str] | None,
    outlined: OutlinedSlices | None,
    jobs: int,
    errors: Sequence[VmsegError],
    console: Console,
) -> Found:
    """Match every mask with a scan, and look into the masks.

    Args:
        scans: among which to look.
        masks: as `find_drawn` has found them in `source`.
        source: that mask or folder of masks.
        segments: names of the segments, or label values, that count; all unless given.
        outlined: which slices were looked at; all unless given.
        jobs: threads.
        errors: what is wrong with other masks.
        console: where progress goes.

    Raises:
        DatasetError: no mask can be used: none can be read, has a scan, and fits on it; all are listed.
    """
    with console.progress("Reading headers", len(scans)) as progress:
        cases = [scan.case for scan in scans]
        grids, unusable = over_cases(lambda case: scan_grid(case.images[0], case.id), cases, jobs, progress.advance)
    usable = [scan for scan in scans if scan.case.id in grids]
    errors, before = list(errors), len(errors)
    images = [path for path in masks if ending_of(path.name)]
    drawn = _drawn(images, source, errors)
    matches = pair([item for _, item in drawn], [Item(scan.title, scan.names, grids[scan.case.id]) for scan in usable])
    pairs = _by_reference([path for path in masks if path not in images], usable, grids, errors)
    for (path, item), match in zip(drawn, matches, strict=True):
        if match.image is None or match.where is None:
            errors.append(_unmatched(path, item, match, scans, unusable))
        elif rival := _broken_rival(item, usable[match.image], match, scans, unusable):
            problem = f"its image may be one that can't be used: {rival}"
            remedy = "Mend or remove that one, or name the mask as the image that it was drawn on."
            errors.append(InputError(problem, file=path, remedy=remedy))
        else:
            scan = usable[match.image]
            if other := pairs.pop(scan.case.id, None):
                problem = f"{other.mask.name} belongs to this image too: keep or merge one"
                errors.append(InputError(problem, file=path, remedy="Move one of them away."))
                continue
            pairs[scan.case.id] = Pair(scan, grids[scan.case.id], path, match.where, match.by_name)
    with console.progress("Looking into masks", len(pairs)) as progress:
        cases = [one.scan.case for one in pairs.values()]
        looked, failed = over_cases(
            lambda case: _looked_into(pairs[case.id], segments, outlined), cases, jobs, progress.advance
        )
    errors += failed
    if not looked:
        raise DatasetError(f"{len(errors)} of {len(masks) + before} masks can't be used; nothing is written", errors)
    left = tuple(scan.title for scan in usable if scan.case.id not in pairs)
    sorted_pairs = tuple(sorted(looked.values(), key=lambda one: one.scan.title))
    return Found(sorted_pairs, left, tuple(unusable), tuple(errors))


def _by_reference(
    masks: Sequence[Path], scans: Sequence[NamedScan], grids: Mapping[str, Geometry], errors: list[VmsegError]
) -> dict[str, Pair]:
    """Match each DICOM object with the series that it was drawn on, as it says itself: case -> pair.

    Args:
        errors: objects that can't be read, or whose series is not among the scans, go here; and of several on one
            series all.
    """
    found: dict[str, list[Pair]] = {}
    for path in masks:
        try:
            drawn = read_mask_object(path)
            own = [scan for scan in scans if isinstance(one := scan.case.images[0], Series) and drawn.is_of(one)]
            if len(own) != 1:
                many = f"{len(own)} of the scans are the series" if own else "none of the scans is the series"
                remedy = "Give the DICOM series that the mask names, once."
                raise InputError(f"{many} that it was drawn on", file=path, remedy=remedy)
            grid = grids[own[0].case.id]
            pair_ = Pair(own[0], grid, path, placement(grid, grid), by_name=True)
            found.setdefault(own[0].case.id, []).append(pair_)
        except InputError as error:
            errors.append(error)
    for several in [each for each in found.values() if len(each) > 1]:
        names = listed([one.mask.name for one in several])
        problem = f"{len(several)} masks were drawn on one series ({names}): keep or merge one"
        errors.append(InputError(problem, file=several[0].mask, remedy="Move the others away."))
    return {case: each[0] for case, each in found.items() if len(each) == 1}


def _place_of(mask: Path, grid: Geometry) -> Placement:
    """Return the place of a mask on its scan's grid; a DICOM object is put there when it is read."""
    return placement(read_grid(mask, layers=True) if ending_of(mask.name) else grid, grid)


def pair_of(scan: NamedScan, mask: Path) -> Pair:
    """Return a scan with the mask that is known to be of it.

    Raises:
        InputError: one of them can't be read, or the mask does not lie on the scan's voxels.
    """
    grid = scan_grid(scan.case.images[0], scan.case.id)
    return Pair(scan, grid, mask, _place_of(mask, grid), by_name=True)


def drawn_mask(one: Pair, segments: Sequence[str] | None, outlined: OutlinedSlices | None = None) -> NDArray[np.uint8]:
    """Return the segments that count as one label, on the scan's grid, uint8 [Z, Y, X]: 1 where any of them is, and
    IGNORED where nobody has looked: in slices that are not among those outlined, and in a segment called `ignore`.

    Raises:
        InputError: the mask can't be read, has none of the segments, or reaches out of the scan; slices hold outlines
            that are said not to.
    """
    read = read_segmentation(one.mask, one.grid)
    return _mask_of(one, read, read.union(_chosen(read, segments, one.mask))[0], outlined)


def _mask_of(
    one: Pair, read: Segmentation, union: NDArray[np.uint8], outlined: OutlinedSlices | None
) -> NDArray[np.uint8]:
    """Put what counts of a mask on the scan's grid; raises as `drawn_mask`."""
    mask = _placed(union, one)
    unseen = _placed(read.union([segment for segment in read.segments if _is_ignore(segment)])[0], one) != 0
    if outlined is not None:
        try:
            unseen[~outlined.of(mask != 0)] = True
        except InputError as error:
            raise InputError(error.problem, file=one.mask, remedy=error.remedy) from None
    mask[unseen & (mask == 0)] = IGNORED
    return mask


def _looked_into(one: Pair, segments: Sequence[str] | None, outlined: OutlinedSlices | None) -> Pair:
    read = read_segmentation(one.mask, one.grid)
    chosen = _chosen(read, segments, one.mask)
    union, overlap = read.union(chosen)
    mask = _mask_of(one, read, union, outlined)
    words = ", ".join(segment.name for segment in chosen) or "nothing"
    if overlap:
        words += f" (merged where they overlap, {overlap} voxels)"
    if partly := bool((mask == IGNORED).any()):
        seen = np.count_nonzero((mask != IGNORED).any(axis=(1, 2)))
        words += f", {seen} of {len(mask)} slices looked at"
    names = tuple(segment.name for segment in read.segments)
    voxels = int(np.count_nonzero(mask == 1))
    return replace(one, drawn=words, voxels=voxels, segments=names, merged=len(chosen) > 1, partly=partly)


def _is_ignore(segment: Segment) -> bool:
    return segment.name.casefold() == IGNORE_LABEL


def _placed(mask: NDArray[np.uint8], one: Pair) -> NDArray[np.uint8]:
    try:
        return place(mask, one.where)
    except InputError as error:
        raise InputError(error.problem, file=one.mask, remedy=error.remedy) from None


def _chosen(read: Segmentation, segments: Sequence[str] | None, path: Path) -> list[Segment]:
    """Return the segments that count."""
    if segments is None:
        return [segment for segment in read.segments if not _is_ignore(segment)]
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


def _drawn(masks: Sequence[Path], source: Path, errors: list[VmsegError]) -> list[tuple[Path, Item]]:
    """Return the masks with their names and grids; those that can't be read go to `errors` instead."""
    drawn = []
    for path in masks:
        try:
            names = _names(path, source)
            drawn.append((path, Item("/".join(names), names, read_grid(path, layers=True))))
        except InputError as error:
            errors.append(error)
    return drawn


def _unmatched(
    path: Path, mask: Item, match: Match, scans: Sequence[NamedScan], unusable: Sequence[VmsegError]
) -> InputError:
    """Explain why a mask has no scan: a scan of its name that can't be used says more than that none fits."""
    names = {scan.case.id: scan.names for scan in scans}
    own = [error for error in unusable if error.case and agreement(mask.names, names[error.case])]
    problem = f"its image can't be used: {own[0]}" if own else match.problem or "no image belongs to it"
    remedy = "Give mask and image the same name, and draw it on that image."
    if match.several and any(isinstance(scan.case.images[0], Series) for scan in scans):
        remedy = f'Say with --series on which series the masks were drawn, such as --series "*T2*". Or: {remedy}'
    return InputError(problem, file=path, remedy=remedy)


def _broken_rival(
    mask: Item, scan: NamedScan, match: Match, scans: Sequence[NamedScan], unusable: Sequence[VmsegError]
) -> VmsegError | None:
    """Return the error of a scan that can't be used and has as much claim to a mask as the one found: a broken T2
    beside a sound T1.
    """
    names = {one.case.id: one.names for one in scans if not _is_scout(one.case.images[0])}
    for error in unusable:
        own = names.get(error.case or "", ())
        claim, found = agreement(mask.names, own), agreement(mask.names, scan.names)
        if own and (0 < found <= claim if match.by_name else agreement(scan.names, own) > 0):
            return error
    return None


def _is_scout(scan: Scan) -> bool:
    """Return whether a series has slices, but too few for a mask to be drawn on."""
    return isinstance(scan, Series) and 0 < len(scan.slices) < MIN_SLICES


def _files(source: Path) -> list[Path]:
    """Return an image file, or all in a folder and the folders in it, sorted; hidden ones are passed over."""
    if not source.is_dir():
        return [source] if ending_of(source.name) and is_file(source) else []
    return sorted(path for path in walk(source) if is_image(path) and not is_hidden(path.name))


def _names(path: Path, source: Path) -> Names:
    """Return the names of the folders between, and the file's own, all without endings."""
    below = _below(path, source) or ((path.name,) if path.is_file() else ())
    return tuple(raw_stem(Path(part)).removesuffix(".seg").removesuffix(".zip") for part in below)


def _below(path: Path, source: Path) -> tuple[str, ...]:
    """Return the folders and name of a path below a folder; none for the folder itself, and for what lies elsewhere."""
    return path.relative_to(source).parts if path.is_relative_to(source) else ()
