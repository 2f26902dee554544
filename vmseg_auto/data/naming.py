"""How scans are named: CASE_0000.nii.gz, or the series CASE_0000, is channel 0 of CASE; CASE.nii.gz is its mask.

A segmentation of 3D Slicer is CASE.seg.nrrd: .seg.nrrd is an ending of its own, and never that of a scan. What a case
is called is decided by utils/names.py alone; here its rule is put to files.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.series import Scan, Series, path_of
from vmseg_auto.data.dicom.sop_class import holds_mask
from vmseg_auto.data.images.pictures import is_spacing_file
from vmseg_auto.data.images.registry import ending_of, is_image, mask_endings, scan_endings, why_no_image
from vmseg_auto.utils import names
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.folders import is_file, listed_folder, walk, why_no_file
from vmseg_auto.utils.left_out import HIDDEN, Inventory, is_hidden
from vmseg_auto.utils.text import counted

OUR_FOLDERS = (
    "probabilities",
    "uncertainty",
    "previews",
    "budgets",
    "logs",
    "replaced",
    "without",
    "predicted",
    "drafts",
    "readers",
)
CORRECTED = (
    "which looks like a corrected mask of that case; save it under the name of the case, in place of the file there, "
    "so that it counts"
)
MISSPELT = "whose name is that of a case but for capitals, accents or signs; rename it"
DICOM_ENDINGS = (".rtstruct.dcm", ".sr.dcm", ".sc.dcm", ".dcm")
"""Of a mask's DICOM files; a DICOM SEG has no ending of its own."""
_OUR_ENDINGS = (".json", ".csv", ".png", ".html", ".lock", ".log", ".label", ".draft")
"""What commands write beside masks."""


def image_files(
    folder: Path, ending: str | None = None, left: Inventory | None = None, *, masks: bool = False
) -> list[Path]:
    """List the image files in a folder, sorted by name; hidden files are passed over.

    Args:
        folder: may be missing, and then holds none.
        ending: the only ending wanted; any of scan_endings() unless given. Capitals (.NII.GZ) make no difference.
        left: what of the folder is not used is noted here.
        masks: whether masks are looked for: then segmentations of 3D Slicer and DICOM objects that hold masks count
            too, and what commands write beside masks is not noted.

    Raises:
        InputError: the folder can't be read.
    """
    wanted = (ending,) if ending else mask_endings() if masks else scan_endings()
    if not folder.is_dir():
        return []
    found = []
    for path in listed_folder(folder):
        own = ending_of(path.name)
        is_wanted = (own in wanted and is_image(path)) or (masks and own is None and holds_mask(path))
        if is_wanted and not is_hidden(path.name) and is_file(path):
            found.append(path)
        elif left is not None and not (masks and is_ours(path)) and not is_spacing_file(path):
            _note(path, ending, left)
    return found


def raw_stem(path: Path) -> str:
    """Return a file's name without its ending, an image's or that of a DICOM mask.

    >>> raw_stem(Path("anna.nii.gz"))
    'anna'
    """
    known = dicom_stem(path)
    return path.name[: len(path.name) - len(ending_of(path.name) or "")] if known is None else known


def stem(scan: Scan) -> str:
    """Return what an image file or a series is called (utils/names.py); a channel's number stands at the end."""
    return scan.name if isinstance(scan, Series) else names.case_name([raw_stem(scan)])


def dicom_stem(path: Path) -> str | None:
    """Return the name of a mask's DICOM file without its ending; None for other files.

    >>> dicom_stem(Path("anna.rtstruct.dcm")), dicom_stem(Path("anna.dcm")), dicom_stem(Path("anna.nrrd"))
    ('anna', 'anna', None)
    """
    ending = next((each for each in DICOM_ENDINGS if path.name.lower().endswith(each)), None)
    return path.name[: -len(ending)] if ending else None


def case_and_channel(scan: Scan, channels: int) -> tuple[str, int | None]:
    """Return the case that a scan belongs to, and its channel; None where the name tells none of several.

    A `_0000`-like suffix is a channel only if its number is below the number of channels: with one channel,
    scan_2019.nii.gz is the case scan_2019.

    >>> case_and_channel(Path("anna_0001.nii.gz"), channels=2)
    ('anna', 1)
    """
    name = stem(scan)
    base, channel = names.split_channel(name)
    if channel and int(channel[1:]) < channels:
        return base, int(channel[1:])
    return name, 0 if channels == 1 else None


def group_scans(
    scans: Iterable[Scan],
    channels: Sequence[str],
    errors: list[VmsegError],
    optional: Collection[str] = (),
    may_lack: str = "",
) -> dict[str, dict[int, Scan]]:
    """Return case id -> channel number -> scan, sorted; cases that are not whole go to `errors` instead.

    Args:
        scans: of all cases.
        channels: names in order.
        errors: what is wrong with cases is appended here.
        optional: names of the channels that a case may lack.
        may_lack: how cases may lack others too, in a sentence for the message.
    """
    found: dict[str, dict[int, Scan]] = {}
    bad: set[str] = set()
    ids: dict[str, str] = {}
    for scan in scans:
        case, channel = case_and_channel(scan, len(channels))
        known_as = ids.setdefault(names.key(case), case)
        if channel is None:
            problem = f"its name does not tell which of the {len(channels)} channels ({', '.join(channels)}) it is"
            remedy = f"Name it {case}_0000{_ending(scan)} for {channels[0]}, and so on."
            errors.append(InputError(problem, case=case, file=path_of(scan), remedy=remedy))
            bad.add(case)
        elif known_as != case:
            problem = f"its name is that of the case {known_as} but for capitals, and many disks take the two for one"
            errors.append(InputError(problem, case=case, file=path_of(scan), remedy="Rename one of them."))
            bad |= {case, known_as}
        elif channel in (known := found.setdefault(case, {})):
            problem = f"{path_of(known[channel]).name} is the same case and channel"
            errors.append(InputError(problem, case=case, file=path_of(scan), remedy="Rename or remove one of them."))
            bad.add(case)
        else:
            known[channel] = scan
    needed = {number for number, name in enumerate(channels) if name not in optional}
    for case in sorted(set(found) - bad):
        for channel in sorted(needed - set(found[case])):
            there = next(iter(found[case].values()))
            expected = path_of(there).with_name(f"{case}_{channel:04d}{_ending(there)}")
            problem = f"channel {channel} ({channels[channel]}) is missing"
            remedy = f"Add it, or remove the case. {may_lack if channel else ''}".strip()
            errors.append(InputError(problem, case=case, file=expected, remedy=remedy))
            bad.add(case)
    return {case: dict(sorted(found[case].items())) for case in sorted(set(found) - bad)}


def case_of(case: str, patient: str, scans: Mapping[int, Scan], channels: int, label: Path | None = None) -> Case:
    """Return a case of these scans by channel number; of the others of so many channels it has none."""
    missing = tuple(number for number in range(channels) if number not in scans)
    return Case(case, patient, tuple(scans.values()), label, missing)


def masks_by_case(paths: Iterable[Path], errors: list[VmsegError]) -> dict[str, Path]:
    """Return case id -> its mask; a second mask of one case goes to `errors`."""
    found: dict[str, Path] = {}
    for path in paths:
        if (known := found.setdefault(case := stem(path), path)) != path:
            problem = f"the same case as {shown(known.name, lines=False)}"
            errors.append(InputError(problem, case=case, file=path, remedy="Keep one of them."))
    return found


def likely_case(name: str, known: Collection[str]) -> tuple[str, str] | None:
    """Return the known case that a file of another name is likely to be of, and why, to stand behind the file's name.

    >>> likely_case("anna_edited", ["anna"])[0], likely_case("Anna", ["anna"])[0], likely_case("bea", ["anna"])
    ('anna', 'anna', None)
    """
    if case := names.changed_from(name, known):
        return case, CORRECTED
    case = names.spelt_like(name, known)
    return (case, MISSPELT) if case else None


def note_unpaired(
    what: str, paths: Mapping[str, Path], known: Collection[str], why: str, left: Inventory, folder: Path | None = None
) -> None:
    """Note files of cases that have no partner; those that are likely to be of a known case are said to be.

    Args:
        what: they are, in one word.
        paths: case -> file.
        known: cases that have one.
        why: they are not used.
        left: they are noted here.
        folder: that they lie in, to be named.
    """
    for name, path in sorted(paths.items()):
        likely = likely_case(name, known)
        where, reason = (f"{path.name} (of {likely[0]})", likely[1]) if likely else (path.name, why)
        left.add(what, where, reason, folder=folder)


def missing_in_words(cases: Iterable[str], others: Iterable[str]) -> str:
    """List cases that have no file, each with the names of others that are likely to be meant for it.

    >>> missing_in_words(["anna", "bea"], ["Anna", "cora"])
    'anna (there is Anna), bea'
    """
    meant: dict[str, list[str]] = {case: [] for case in cases}
    for other in sorted(others):
        if likely := likely_case(other, meant):
            meant[likely[0]].append(other)
    return ", ".join(f"{case} (there is {', '.join(found)})" if found else case for case, found in meant.items())


def endings_in_words(ending: str | None = None) -> str:
    """Name the endings that are looked for, for a message."""
    return ending or ", ".join(scan_endings())


def is_ours(path: Path) -> bool:
    """Return whether commands write files and folders of this name beside masks (a DICOM file has a record)."""
    if path.is_dir():
        return path.name in OUR_FOLDERS
    if (case := dicom_stem(path)) is not None:
        return path.with_name(f"{case}.json").is_file()
    return path.name.lower().endswith(_OUR_ENDINGS)


def _note(path: Path, ending: str | None, left: Inventory) -> None:
    """Note what is not used, and why."""
    if os.path.isdir(path):
        note_folder(path, "not looked into", left)
    else:
        other = why_no_image(path) or f"of another format than {endings_in_words(ending)}"
        why = other if is_file(path) else why_no_file(path)
        left.add_file(path, path.parent, why)


def note_folder(path: Path, why: str, left: Inventory) -> None:
    """Note a folder that is not used, with the number of its files; nothing where it holds none."""
    if is_hidden(path.name):
        left.add("folder", path, HIDDEN, meant=True, folder=path.parent)
        return
    try:
        files = sum(1 for _ in walk(path))
    except InputError as error:
        left.add("folder", path, error.problem, folder=path.parent)
    else:
        if files:
            left.add("folder", f"{path.name} ({counted(files, 'file')})", why, folder=path.parent)


def _ending(scan: Scan) -> str:
    """Return the ending of a file; a series has none."""
    return "" if isinstance(scan, Series) else ending_of(scan.name) or ""
