"""Which files of a folder are masks: one of each case, and never a map or what is kept beside masks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from vmseg_auto.data.dicom.sop_class import holds_mask
from vmseg_auto.data.images.registry import is_image
from vmseg_auto.data.mask_files import (
    ONE_FILE,
    PREDICTED,
    READERS,
    REPLACED,
    Standing,
    case_of,
    decision_on,
    is_dicom,
    recorded,
    standing,
)
from vmseg_auto.data.naming import OUR_FOLDERS, image_files, is_ours, stem
from vmseg_auto.utils.atomic import whole_files
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.folders import is_file, walk
from vmseg_auto.utils.left_out import Inventory, is_hidden
from vmseg_auto.utils.names import changed_from
from vmseg_auto.utils.text import listed

MADE = "a mask or map that vmseg_predict has made"
MAP = "a map that vmseg_predict has made of probabilities, and no mask"
_KEPT = {
    REPLACED: "a mask that --overwrite-edited has replaced",
    PREDICTED: "a mask as it was predicted, before a reader changed it",
}


def is_predicted(path: Path) -> bool:
    """Return whether a file is a mask that a record beside it names, a map, or a mask that is kept beside others: so it
    is no scan.
    """
    written = recorded(path.parent, case_of(path))
    named = {one.file for one in (*written.masks, *written.outdated)} if written else set()
    return path.name in named or masks_of_maps(path.parent) is not None or _kept_beside(path) is not None


def masks_of_maps(folder: Path) -> Path | None:
    """Return the folder of the masks of a folder of maps (`probabilities/LABEL`, `uncertainty`); None for other
    folders.
    """
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
    written = recorded(mask.parent, case)
    if written is None:
        return
    there = standing(mask.parent, written)
    if mask.name not in {there.mask.name, *(path.name for path in there.counting)}:
        problem = f"it is not the mask of this case that counts, which is {shown(there.mask.name, lines=False)}"
        raise InputError(problem, case=case, file=mask, remedy="Give that one, or move it away.")


def find_masks(folder: Path, errors: list[VmsegError], left: Inventory | None = None) -> dict[str, Path]:
    """Find the files in a folder that are masks, images and DICOM objects: case -> the one that counts.

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
    """Find the masks in a folder and the folders in it, or the one that is named, and all other files.

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
        if not is_file(source) or not _may_be_mask(source):
            return [], []
        require_counting(source)
        return [source], []
    masks: list[Path] = []
    others: list[Path] = []
    found: dict[tuple[Path, str], list[Path]] = {}
    for path in walk(source):
        if is_hidden(path.name) or not _may_be_mask(path):
            others.append(path)
        elif masks_of_maps(path.parent) is not None:
            left.add("file", path, MAP, meant=True, folder=source)
        elif kept := _kept_beside(path):
            left.add("file", path, kept, meant=True, folder=source)
        else:
            found.setdefault((path.parent, stem(path)), []).append(path)
    _refuse_corrected_copies(found, errors)
    for (folder, case), paths in found.items():
        try:
            counting = _counting(folder, case, paths, left)
            if counting and decision_on(counting) == "rejected":
                remedy = "Correct it (`vmseg_review`), or move it away."
                raise InputError("a reader has rejected this mask", case=case, file=counting, remedy=remedy)
            masks += paths if counting is None else [counting]
        except InputError as error:
            errors.append(error)
    with_images = {(folder, case) for folder, case in found}
    for path in [path for path in others if _beside_masks(path, with_images)]:
        left.add("file", path, "written beside masks by vmseg_predict", meant=True, folder=source)
        others.remove(path)
    return sorted(masks), others


def _may_be_mask(path: Path) -> bool:
    """Return whether a file is an image, or a DICOM object that holds a mask."""
    return is_image(path) or holds_mask(path)


def _refuse_corrected_copies(found: dict[tuple[Path, str], list[Path]], errors: list[VmsegError]) -> None:
    """Take out the masks beside which one of another name looks like their corrected copy, and these copies: nobody can
    know which is right, and to train on the wrong one would go unseen.
    """
    for folder in {folder for folder, _ in found}:
        cases = [case for there, case in found if there == folder]
        copies = {copy: case for copy in cases if (case := changed_from(copy, cases))}
        for copy, case in copies.items():
            path, beside = found[folder, copy][0], found[folder, case][0].name
            problem = f"it looks like a corrected mask of {shown(case, lines=False)}, and {beside} lies beside it"
            remedy = f"Save it as {beside}, in place of the other, or move the one that is wrong away."
            errors.append(InputError(problem, file=path, remedy=remedy))
        for case in {*copies, *copies.values()}:
            del found[folder, case]


def _kept_beside(path: Path) -> str | None:
    """Return what a mask is that commands keep in a folder beside those that count; None of others."""
    parent = path.parent
    if parent.parent.name == READERS and (parent / "blind.json").is_file():
        return "one reader's mask, for a comparison"
    if parent.name not in _KEPT or not _has_records(parent.parent):
        return None
    return _KEPT[parent.name]


def _beside_masks(path: Path, with_images: Collection[tuple[Path, str]]) -> bool:
    """Return whether commands write a file beside masks; a DICOM file counts where another one of its mask is read."""
    if is_ours(path) and _kept_beside(path):
        return True
    folder = path.parent.parent if path.parent.name in OUR_FOLDERS else path.parent
    if not is_ours(path) or not _has_records(folder):
        return False
    return not is_dicom(path) or (path.parent, case_of(path)) in with_images


def _has_records(folder: Path) -> bool:
    return any(recorded(folder, path.stem) for path in whole_files(folder, "*.json"))


def _counting(folder: Path, case: str, paths: Sequence[Path], left: Inventory | None) -> Path | None:
    """Return the one of a case's image files that counts; None where there are several, and no record."""
    written = recorded(folder, case)
    if written is None:
        return paths[0] if len(paths) == 1 else None
    there = standing(folder, written)
    if there.state == "edited" and there.mask not in paths:
        problem = "the DICOM file was changed after it was predicted, and holds no mask"
        raise InputError(problem, case=case, file=there.mask, remedy=ONE_FILE)
    images = [path for path in (there.mask, *there.sound) if path in paths and path not in there.files.damaged]
    if not images:
        told = "no mask that can be read" if there.state == "as written" else there.state
        others = listed([f"{path.name} is {_why_passed_over(path, there)}" for path in paths])
        remedy = f"Predict its scan again, or move {paths[0].name} away."
        raise InputError(f"its mask {there.mask.name} is {told}; {others}", case=case, file=folder, remedy=remedy)
    for path in paths:
        if left is not None and path != images[0]:
            meant = path not in there.files.damaged
            left.add("file", path, _why_passed_over(path, there), meant=meant, folder=folder)
    return images[0]


def _why_passed_over(path: Path, there: Standing) -> str:
    if path in there.behind:
        return "as it was predicted, beside a corrected mask"
    if path in there.counting:
        return "a mask that counts in another format"
    return "damaged" if path in there.files.damaged else "of an earlier prediction"
