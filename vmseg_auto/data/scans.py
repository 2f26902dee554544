"""Scans as they lie on disk, image files and DICOM series alike: which there are, their voxels, their bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dataset_json import ADVISED_DROPOUT
from vmseg_auto.data.dicom.series import Choice, Scan, Series, path_of
from vmseg_auto.data.dicom.stack import stack
from vmseg_auto.data.images.images import read_grid, read_image
from vmseg_auto.data.images.registry import SEGMENTS, ending_of, is_image
from vmseg_auto.data.mask_folders import MADE, is_predicted
from vmseg_auto.data.naming import case_and_channel, case_of, endings_in_words, group_scans, image_files, stem
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import DatasetError, InputError, VmsegError
from vmseg_auto.utils.folders import is_file, walk, why_no_file
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.names import distinct, split_channel

FURTHER_CHANNEL = "a further channel of another scan, by its name and grid"
_MAY_LACK = f"Or take a model that was trained with --set {ADVISED_DROPOUT}: it predicts scans that lack the channel."
_BLOCK = 1 << 20


def find_scans(
    source: Path,
    channels: Sequence[str],
    choice: Choice | None = None,
    notes: list[str] | None = None,
    left: Inventory | None = None,
    optional: Collection[str] = (),
    failed: list[VmsegError] | None = None,
) -> list[Case]:
    """Find the scans in a folder or a zip, or the one that a file belongs to, without masks.

    Image files count where they lie in the folder itself, DICOM series also in its folders and zips.

    Args:
        source: a folder of scans, a zip of DICOM files, or a file; of a scan with several channels or of a DICOM
            series any one of its files.
        channels: channel names; with more than one, files (or the folders of series) are named CASE_0000, CASE_0001.
            Beyond them, a scan of such a name on the grid of CASE_0000 is left out.
        choice: which DICOM series are wanted; with names given, nothing but them.
        notes: what was found is appended here, in words.
        left: what is not used is noted here; a strict one ends it.
        optional: names of the channels that a scan may lack.
        failed: what is wrong with some of several scans is appended here; raised unless given.

    Returns:
        Cases sorted by id; each is its own patient.

    Raises:
        InputError: there is no such file or folder, or no scan in it.
        DatasetError: missing channels, or two files for one case and channel, of any scan, or with `failed` of all; all
            are listed.
    """
    if not source.exists():
        raise InputError("there is no such file or folder", file=source, remedy="Check the name.")
    if not source.is_dir() and not is_file(source):
        remedy = "Name a file or a folder."
        raise InputError(f"it is {why_no_file(source)}", file=source, remedy=remedy)
    if source.is_file() and is_predicted(source):
        raise InputError(f"it is {MADE}, and no scan", file=source, remedy="Name the scan itself.")
    notes, left = notes if notes is not None else [], left if left is not None else Inventory()
    files = _image_files(source, len(channels))
    scans: list[Scan] = [] if choice and choice.series else [*files]
    if not (source.is_file() and scans):
        scans += _series(source, choice, notes, left)
    _note_image_files(source, files, scans, left)
    scans = _without_further_channels(scans, len(channels), left)
    if not scans:
        what = "the file is no scan" if source.is_file() else "there is no scan in this folder"
        remedy = f"Scans end with {endings_in_words()}, or are DICOM series."
        raise InputError(what, file=source, remedy=" ".join(filter(None, [*notes, remedy, left.text()])))
    left.require_nothing()
    if len(channels) == 1:
        return [Case(name, name, (scan,), None) for name, scan in _one_name_each(scans, source, notes)]
    errors: list[VmsegError] = []
    found = group_scans(scans, channels, errors, optional, _MAY_LACK)
    if errors and (failed is None or not found):
        raise DatasetError(f"{source}: these scans can't be used", errors)
    if failed is not None:
        failed += errors
    return [case_of(case_id, case_id, images, len(channels)) for case_id, images in found.items()]


def read_scan(
    scan: Scan,
    case: str | None = None,
    notes: list[str] | None = None,
    spacing_mm: Spacing | None = None,
) -> tuple[NDArray[np.float32], Geometry]:
    """Read the voxels of a scan, float32 [Z, Y, X], and its grid; raises as `read_image` and `read_series`."""
    if not isinstance(scan, Series):
        return read_image(scan, case, spacing_mm)
    from vmseg_auto.data.dicom.read import read_series  # most scans are image files

    return read_series(scan, case, notes)


def scan_grid(scan: Scan, case: str | None = None) -> Geometry:
    """Read the grid of a scan, without its voxels; raises as `read_scan`, as far as headers tell."""
    return stack(scan, case) if isinstance(scan, Series) else read_grid(scan, case)


def scan_bytes(scan: Scan) -> Iterator[bytes]:
    """Yield all bytes of a scan's files, and which of several echoes was chosen: what its voxels depend on.

    Raises:
        InputError: a file can't be read.
        OSError: likewise.
    """
    if not isinstance(scan, Series):
        with scan.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
        return
    from vmseg_auto.data.dicom.files import DicomFiles

    if scan.echo is not None:
        yield f"echo {scan.echo}".encode()
    with DicomFiles() as files:
        for path in scan.files:
            yield from files.blocks(path)


def _image_files(source: Path, channels: int) -> list[Path]:
    """Return the image files in a folder but for masks and maps of `vmseg_predict`, or those of the case of a file."""
    if source.is_dir():
        return [path for path in image_files(source) if not is_predicted(path)]
    own = ending_of(source.name)
    if own is None or own == SEGMENTS:
        return []
    if channels == 1:
        return [source]
    wanted, _ = case_and_channel(source, channels)
    return [path for path in image_files(source.parent, own) if case_and_channel(path, channels)[0] == wanted]


def _without_further_channels(scans: Sequence[Scan], channels: int, left: Inventory) -> list[Scan]:
    """Return all scans but CASE_0001 and the like that lie on the grid of CASE_0000, where so many channels are not
    taken.

    Numbered patients are called so too, and lie on grids of their own.
    """
    by_name = {stem(scan): scan for scan in scans}
    kept = []
    for scan in scans:
        case, number = split_channel(stem(scan))
        first = by_name.get(f"{case}_0000")
        if number and int(number[1:]) >= channels and first is not None and _on_one_grid(scan, first):
            left.add("scan", path_of(scan), FURTHER_CHANNEL, folder=path_of(scan).parent)
        else:
            kept.append(scan)
    return kept


def _on_one_grid(one: Scan, other: Scan) -> bool:
    """Return whether scans lie on one grid by their headers; those that can't be used lie on none."""
    try:
        return not scan_grid(one).differences(scan_grid(other))
    except InputError:
        return False


def _one_name_each(scans: Sequence[Scan], source: Path, notes: list[str]) -> list[tuple[str, Scan]]:
    """Return scans of one channel under names that no two share, sorted."""
    wanted = [case_and_channel(scan, 1)[0] for scan in scans]
    root = source if source.is_dir() else source.parent
    sources = [str((scan.source if isinstance(scan, Series) else scan).relative_to(root)) for scan in scans]
    named = distinct(wanted, sources)
    if alike := [
        f"{shown(path_of(scan).name, lines=False)} is {name}"
        for scan, before, name in zip(scans, wanted, named, strict=True)
        if before != name
    ]:
        notes.append(f"Of one name, and so told apart: {', '.join(alike)}.")
    return sorted(zip(named, scans, strict=True), key=lambda pair: pair[0])


def _note_image_files(source: Path, files: Sequence[Path], scans: Sequence[Scan], left: Inventory) -> None:
    """Note the image files of a folder that are none of the scans."""
    if not source.is_dir():
        return
    for path in files:
        if path not in scans:
            left.add("file", path, "no DICOM series, which --series asks for", meant=True, folder=source)
    for path in walk(source):
        if is_image(path) and path not in files:
            why = "an image file in a folder within, where only DICOM is looked for"
            if ending_of(path.name) == SEGMENTS:
                why = "a segmentation, which is no scan"
            elif is_predicted(path):
                why = f"{MADE}, and no scan"
            left.add_file(path, source, why)


def _series(source: Path, choice: Choice | None, notes: list[str], left: Inventory) -> list[Series]:
    from vmseg_auto.data.dicom.series_files import find_series  # loads pydicom

    return find_series(source, choice, notes, left)
