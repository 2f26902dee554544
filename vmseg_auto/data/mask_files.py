"""The files of a case's mask in one folder: which of them counts, and what has become of them since they were written.

`vmseg_predict` records every file that it writes of a mask, with the hash of its bytes, in CASE.json beside them. So a
file that is another now, or that nothing records, was corrected by hand or lies there by accident. One corrected file
of a case is its mask, whatever its format; those that still are as written then hold what was predicted before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmseg_auto.data.images.images import SEGMENTS, ending_of, is_whole, read_mask
from vmseg_auto.data.images.segmentations import read_segmentation
from vmseg_auto.data.naming import OUR_FOLDERS, image_files, is_ours, stem
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.console import listed, shown
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.folders import is_file, walk
from vmseg_auto.utils.json_codec import decode
from vmseg_auto.utils.left_out import Inventory, is_hidden
from vmseg_auto.utils.names import case_name

DICOM_SEG = ".dcm"
SCHEMA = 7
"""Of the record."""
MaskState = Literal["as written", "edited", "damaged", "missing"]
MADE = "a mask or map that vmseg_predict has made"
MAP = "a map that vmseg_predict has made of probabilities, and no mask"
_ONE = "Keep the file that is right, and move the others away."


@dataclass(frozen=True)
class MaskFile:
    """A file as it was written: its name and the SHA-256 of its bytes."""

    file: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> MaskFile:
        with path.open("rb") as file:
            return cls(path.name, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class Standing:
    """What stands in a folder of one case's mask.

    Args:
        mask: the file that counts: the corrected one, else the first of those written that is whole; the first of
            those written, where none is.
        state: of that file.
        sound: the files that are as they were written for this mask.
    """

    mask: Path
    state: MaskState
    sound: tuple[Path, ...] = ()

    @property
    def behind(self) -> tuple[Path, ...]:
        """Files that hold what was predicted, where another file of the mask was corrected."""
        return self.sound if self.state == "edited" else ()


def standing(folder: Path, case: str, written: Sequence[MaskFile], outdated: Sequence[MaskFile] = ()) -> Standing:
    """What stands in a folder of a case's mask.

    Args:
        folder: of the masks.
        case: its id.
        written: the files that were written of the mask; the first is the one that counts.
        outdated: files of earlier predictions in another format, as they were when this mask was written.

    Raises:
        InputError: several files were changed, or a file that was never written is no mask that can be read.
    """
    names = [one.file for one in written]
    ours = {*names, *(one.file for one in outdated)}
    sound, edited, damaged = list[Path](), list[Path](), list[Path]()
    for path in files_of(folder, case):
        if (own := MaskFile.of(path)) in written:
            sound.append(path)
        elif own in outdated:
            continue
        elif path.name in ours:
            (edited if _is_whole(path) else damaged).append(path)
        elif problem := _problem(path):
            raise InputError(
                f"it lies beside the mask of this case, and is none ({problem})",
                case=case,
                file=path,
                remedy="Save it again if it is a corrected mask, else move it away.",
            )
        else:
            edited.append(path)
    if len(edited) > 1:
        problem = f"of its masks {listed([path.name for path in edited])} were changed, and only one can be right"
        raise InputError(problem, case=case, file=edited[0], remedy=_ONE)
    sound.sort(key=lambda path: names.index(path.name))
    if edited:
        return Standing(edited[0], "edited", tuple(sound))
    if sound:
        return Standing(sound[0], "as written", tuple(sound))
    return Standing(folder / Path(names[0]).name, "damaged" if damaged else "missing")


def recorded(folder: Path, case: str) -> tuple[tuple[MaskFile, ...], tuple[MaskFile, ...]] | None:
    """The files that CASE.json tells of: those of the mask, and outdated ones; None where there is no such record."""
    path = folder / f"{case}.json"
    try:
        data = read_json(path)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("case") != case:
            return None
        files = tuple[MaskFile, ...]
        written = decode(files, data.get("masks"), path.name)
        return (written, decode(files, data.get("outdated"), path.name)) if written else None
    except InputError:
        return None


def files_of(folder: Path, case: str) -> list[Path]:
    """All files in a folder that are called as a mask of the case, sorted by name."""
    return sorted(path for path in _masks_in(folder) if case_of(path) == case)


def case_of(mask: Path) -> str:
    """The case that a mask's file is called after."""
    return case_name([mask.name[: -len(DICOM_SEG)]]) if _is_dicom(mask) else stem(mask)


def is_corrected(mask: Path) -> bool:
    """Whether the record beside a mask tells that it was changed since it was written."""
    files = recorded(mask.parent, case_of(mask))
    if files is None:
        return False
    there = standing(mask.parent, case_of(mask), *files)
    return there.state == "edited" and there.mask.name == mask.name


def is_predicted(path: Path) -> bool:
    """Whether a file is a mask that a record beside it names, or a map: so it is no scan."""
    files = recorded(path.parent, case_of(path))
    named = {one.file for written in files or () for one in written}
    return path.name in named or masks_of_maps(path.parent) is not None


def masks_of_maps(folder: Path) -> Path | None:
    """Of a folder of maps (`probabilities/LABEL`, `uncertainty`), the folder of their masks; None for others."""
    maps = folder.resolve()
    maps = maps.parent if maps.parent.name == "probabilities" else maps
    return maps.parent if maps.name in ("probabilities", "uncertainty") and _has_records(maps.parent) else None


def require_counting(mask: Path) -> None:
    """Make sure that a mask which is named by itself is the one that counts.

    Raises:
        InputError: it is a map, or another file of its case was corrected or has replaced it.
    """
    if (masks := masks_of_maps(mask.parent)) is not None:
        raise InputError(f"it is {MAP}", file=mask, remedy=f"Give a mask of {shown(masks, lines=False)}.")
    case = case_of(mask)
    files = recorded(mask.parent, case)
    if files is None:
        return
    there = standing(mask.parent, case, *files)
    if mask.name not in {there.mask.name, *(path.name for path in there.sound)} or mask in there.behind:
        problem = f"it is not the mask of this case that counts, which is {shown(there.mask.name, lines=False)}"
        raise InputError(problem, case=case, file=mask, remedy="Give that one, or move it away.")


def find_masks(folder: Path, errors: list[VmsegError], left: Inventory | None = None) -> dict[str, Path]:
    """The image files in a folder that are masks: case -> the one that counts.

    Args:
        errors: cases of which no file counts go here.
        left: what of the folder is not used is noted here.

    Raises:
        InputError: the folder holds maps.
    """
    found: dict[str, list[Path]] = {}
    for path in image_files(folder, left=left, masks=True):
        found.setdefault(stem(path), []).append(path)
    if found and (parent := masks_of_maps(folder)) is not None:
        problem, remedy = f"each image in it is {MAP}", f"Give the folder {shown(parent, lines=False)}."
        raise InputError(problem, file=folder, remedy=remedy)
    masks: dict[str, Path] = {}
    for case, paths in found.items():
        try:
            if (counting := _counting(folder, case, paths, left)) is None:
                problem = f"the same case as {shown(paths[0].name, lines=False)}"
                raise InputError(problem, case=case, file=paths[1], remedy="Keep one of them.")
            masks[case] = counting
        except InputError as error:
            errors.append(error)
    return masks


def masks_below(source: Path, errors: list[VmsegError], left: Inventory) -> tuple[list[Path], list[Path]]:
    """The masks in a folder and the folders in it, or the one that is named, and all other files.

    Of a predicted case the file that counts is taken. Where nothing tells which of several files does, all are.

    Args:
        errors: cases of which no file counts go here.
        left: what `vmseg_predict` has written beside the masks, and files that do not count, are noted here.

    Returns:
        Masks, and files that are none for reasons that are not known here; sorted.

    Raises:
        InputError: the one that is named is a map, or does not count.
    """
    if not source.is_dir():
        if not ending_of(source.name) or not is_file(source):
            return [], []
        require_counting(source)
        return [source], []
    masks: list[Path] = []
    others: list[Path] = []
    found: dict[tuple[Path, str], list[Path]] = {}
    for path in walk(source):
        if not ending_of(path.name) or is_hidden(path.name):
            others.append(path)
        elif masks_of_maps(path.parent) is not None:
            left.add("file", path, MAP, meant=True, folder=source)
        else:
            found.setdefault((path.parent, stem(path)), []).append(path)
    for (folder, case), paths in found.items():
        try:
            counting = _counting(folder, case, paths, left)
            masks += paths if counting is None else [counting]
        except InputError as error:
            errors.append(error)
    with_images = {(folder, case) for folder, case in found}
    for path in [path for path in others if _beside_masks(path, with_images)]:
        left.add("file", path, "written beside masks by vmseg_predict", meant=True, folder=source)
        others.remove(path)
    return sorted(masks), others


def _beside_masks(path: Path, with_images: Collection[tuple[Path, str]]) -> bool:
    """Whether a file is what commands write beside masks; a DICOM SEG only where another file of its mask is read."""
    folder = path.parent.parent if path.parent.name in OUR_FOLDERS else path.parent
    if not is_ours(path) or not _has_records(folder):
        return False
    return not _is_dicom(path) or (path.parent, case_of(path)) in with_images


def _has_records(folder: Path) -> bool:
    return any(recorded(folder, path.stem) for path in folder.glob("*.json"))


def _counting(folder: Path, case: str, paths: Sequence[Path], left: Inventory | None) -> Path | None:
    """The one of a case's image files that counts; None where there are several, and no record."""
    files = recorded(folder, case)
    if files is None:
        return paths[0] if len(paths) == 1 else None
    there = standing(folder, case, *files)
    if there.state == "edited" and _is_dicom(there.mask):
        problem, remedy = "the DICOM SEG was changed after it was predicted, and can't be read here", _ONE
        raise InputError(problem, case=case, file=there.mask, remedy=remedy)
    images = [path for path in (there.mask, *there.sound) if path in paths]
    chosen = images[0] if images else paths[0]
    for path in paths:
        if left is not None and path != chosen:
            left.add("file", path, _why_passed_over(path, there), meant=True, folder=folder)
    return chosen


def _why_passed_over(path: Path, there: Standing) -> str:
    if path in there.behind:
        return "as it was predicted, beside a corrected mask"
    return "a mask that counts in another format" if path in there.sound else "of an earlier prediction"


def _masks_in(folder: Path) -> Iterator[Path]:
    paths: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    for path in paths:
        if not path.name.startswith(".") and (ending_of(path.name) or _is_dicom(path)) and path.is_file():
            yield path


def _is_dicom(path: Path) -> bool:
    return path.name.lower().endswith(DICOM_SEG)


def _is_whole(path: Path) -> bool:
    """Whether a file can be read to its end. What was changed and can be is a correction, even one that is no mask."""
    return _problem(path) is None if _is_dicom(path) else is_whole(path)


def _problem(path: Path) -> str | None:
    """Why a file is no mask that can be read whole; None where it is one."""
    try:
        if _is_dicom(path):
            from vmseg_auto.data.dicom.segmentation import require_whole  # most masks are image files

            require_whole(path)
        elif ending_of(path.name) == SEGMENTS:
            read_segmentation(path)
        else:
            read_mask(path)
    except InputError as error:
        return error.problem
    return None
