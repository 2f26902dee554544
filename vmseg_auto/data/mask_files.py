"""The files of a case's mask in one folder: which of them counts, and what has become of them since they were written.

`vmseg_predict` records what it writes of a mask in CASE.json beside it: the hash of each file's bytes, and of the
label values. A file of other bytes with the same label values on the same grid was saved again, or converted: it holds
what was predicted. One of other values, or that nothing records, was corrected by hand or lies there by accident. One
corrected file of a case is its mask, whatever its format; those that still are as written then hold what was predicted
before. What a reader has saved with `vmseg_review` counts as corrected too, and the record names its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.images import is_whole, read_mask
from vmseg_auto.data.images.registry import SEGMENTS, ending_of
from vmseg_auto.data.images.segmentations import read_labels, read_segmentation
from vmseg_auto.data.naming import dicom_stem, stem
from vmseg_auto.data.reviews import Decision, Review, review_of
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.json_codec import decode
from vmseg_auto.utils.labels import Labels
from vmseg_auto.utils.names import case_name
from vmseg_auto.utils.text import listed

DICOM = ".dcm"
"""What all DICOM files of a mask end with."""
SCHEMA = 10
"""Of the record."""
MaskState = Literal["as written", "edited", "damaged", "missing"]
REPLACED = "replaced"
"""Folder of masks corrected by hand that `--overwrite-edited` has set aside."""
PREDICTED = "predicted"
"""Folder of masks as they were predicted, before a reader saved others in their place."""
READERS = "readers"
"""Folder of masks that single readers have drawn for a comparison, in a folder for each."""
ONE_FILE = "Keep the file that is right, and move the others away."


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
class SavedMask:
    """A mask that a reader has saved in place of the predicted one.

    Args:
        masks: its files as they were written.
        mask_sha256: of its label values, by `mask_sha256`.
    """

    masks: tuple[MaskFile, ...]
    mask_sha256: str


@dataclass(frozen=True)
class Written:
    """A mask as it was written, as its record tells.

    Args:
        case: its id.
        masks: the files that were written of it; the first is the one that counts.
        outdated: files of earlier predictions in other formats, as they were when this mask was written.
        mask_sha256: of its label values, by `mask_sha256`.
        labels: name -> value.
        grid: of the scan.
        saved: what a reader has saved in its place. Of several the first counts: the others are those whose files it
            was replacing when that was cut short.
        reviews: what readers have decided.
    """

    case: str
    masks: tuple[MaskFile, ...]
    outdated: tuple[MaskFile, ...]
    mask_sha256: str
    labels: Labels
    grid: Geometry
    saved: tuple[SavedMask, ...] = ()
    reviews: tuple[Review, ...] = ()

    def held_by(self, path: Path) -> str | None:
        """Return the hash of the label values that a file holds; None where they lie on another grid or can't be read,
        and of DICOM files.
        """
        if is_dicom(path):
            return None
        try:
            mask, grid = read_labels(path, self.labels, self.grid, self.case)
        except InputError:
            return None
        return None if grid.differences(self.grid) else mask_sha256(mask)


@dataclass(frozen=True)
class CaseFiles:
    """All files of one case's mask in a folder, by what they are.

    Args:
        sound: hold what was written; first, in the order of the record, those that it names.
        earlier: of earlier predictions in other formats, as they were.
        saved: hold what a reader has saved; image files first.
        saved_before: hold what was to be replaced by that, when it was cut short.
        edited: hold something else.
        damaged: written once, and no longer whole.
        odd: never written, and no mask that can be read; with the reason.
    """

    sound: tuple[Path, ...] = ()
    earlier: tuple[Path, ...] = ()
    saved: tuple[Path, ...] = ()
    saved_before: tuple[Path, ...] = ()
    edited: tuple[Path, ...] = ()
    damaged: tuple[Path, ...] = ()
    odd: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """What stands in a folder of one case's mask.

    Args:
        mask: the file that counts: the corrected one, else the first that a reader has saved, else the first that
            holds what was written; the first of those written, where none does.
        state: of that file; what a reader has saved is edited.
        files: all that lie there.
    """

    mask: Path
    state: MaskState
    files: CaseFiles = field(default_factory=CaseFiles)

    @property
    def sound(self) -> tuple[Path, ...]:
        """The files that hold what was written."""
        return self.files.sound

    @property
    def counting(self) -> tuple[Path, ...]:
        """All files that hold the mask that counts."""
        if self.state == "edited":
            return self.files.saved if self.mask in self.files.saved else (self.mask,)
        return self.sound

    @property
    def behind(self) -> tuple[Path, ...]:
        """Files that hold what was there before, where another file of the mask was corrected."""
        before = (*self.sound, *self.files.saved, *self.files.saved_before) if self.state == "edited" else ()
        return tuple(path for path in before if path not in self.counting)


def case_files(folder: Path, written: Written) -> CaseFiles:
    """Sort all files of a case's mask in a folder by what they are."""
    names = [one.file for one in written.masks]
    stored = [one.file for each in written.saved for one in each.masks]
    known = {*names, *stored, *(one.file for one in written.outdated)}
    sound, earlier, edited, damaged = list[Path](), list[Path](), list[Path](), list[Path]()
    saved: dict[Path, int] = {}
    odd: dict[Path, str] = {}
    for path in files_of(folder, written.case):
        own = MaskFile.of(path)
        if own in written.outdated:
            earlier.append(path)
        elif own in written.masks:
            sound.append(path)
        elif (place := _saved_as(own, None, written)) is not None:
            saved[path] = place
        elif (held := written.held_by(path)) == written.mask_sha256:
            sound.append(path)
        elif (place := _saved_as(own, held, written)) is not None:
            saved[path] = place
        elif path.name in known:
            (edited if _is_whole(path) else damaged).append(path)
        elif problem := _problem(path):
            odd[path] = problem
        else:
            edited.append(path)
    sound.sort(key=lambda path: names.index(path.name) if path.name in names else len(names))
    latest = [path for path, place in saved.items() if place == min(saved.values())]
    latest.sort(key=lambda path: (is_dicom(path), stored.index(path.name) if path.name in stored else len(stored)))
    before = tuple(path for path in saved if path not in latest)
    return CaseFiles(tuple(sound), tuple(earlier), tuple(latest), before, tuple(edited), tuple(damaged), odd)


def _saved_as(own: MaskFile, held: str | None, written: Written) -> int | None:
    """Return the place in `written.saved` of the mask that a file holds; None where it is none of them."""
    places = enumerate(written.saved)
    return next((place for place, one in places if own in one.masks or held == one.mask_sha256), None)


def standing(folder: Path, written: Written) -> Standing:
    """Return what stands in a folder of a case's mask.

    Raises:
        InputError: several files were changed, or a file that was never written is no mask that can be read.
    """
    files = case_files(folder, written)
    for path, problem in files.odd.items():
        raise InputError(
            f"it lies beside the mask of this case, and is none ({problem})",
            case=written.case,
            file=path,
            remedy="Save it again if it is a corrected mask, else move it away.",
        )
    if len(files.edited) > 1:
        problem = f"of its masks {listed([path.name for path in files.edited])} were changed, and only one can be right"
        raise InputError(problem, case=written.case, file=files.edited[0], remedy=ONE_FILE)
    if files.edited:
        return Standing(files.edited[0], "edited", files)
    if files.saved:
        return Standing(files.saved[0], "edited", files)
    if files.sound:
        return Standing(files.sound[0], "as written", files)
    first = folder / Path(written.masks[0].file).name
    return Standing(first, "damaged" if files.damaged else "missing", files)


def recorded(folder: Path, case: str) -> Written | None:
    """Read what CASE.json tells of a mask; None where there is no such record."""
    path = folder / f"{case}.json"
    try:
        data = read_json(path)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("case") != case:
            return None
        told = {name: data.get(name) for name in Written.__dataclass_fields__}
        found = decode(Written, told, path.name)
    except InputError:
        return None
    return found if found.masks else None


def mask_sha256(mask: NDArray[np.uint8]) -> str:
    """Return a hash of label values [Z, Y, X]: equal for the same mask in files of other bytes or formats."""
    sha = hashlib.sha256(repr(mask.shape).encode())
    sha.update(np.ascontiguousarray(mask, np.uint8).data)
    return sha.hexdigest()


def files_of(folder: Path, case: str) -> list[Path]:
    """List all files in a folder that are called as a mask of the case, sorted by name."""
    return sorted(path for path in _masks_in(folder) if case_of(path) == case)


def case_of(mask: Path) -> str:
    """Return the case that a mask's file is called after."""
    name = dicom_stem(mask)
    return stem(mask) if name is None else case_name([name])


def is_corrected(mask: Path) -> bool:
    """Return whether the record beside a mask tells that it was changed since it was written."""
    written = recorded(mask.parent, case_of(mask))
    if written is None:
        return False
    there = standing(mask.parent, written)
    return there.state == "edited" and mask.name in [path.name for path in there.counting]


def decision_on(mask: Path) -> Decision | None:
    """Return what a reader has decided of a mask; None where nobody has, or where it was changed since."""
    written = recorded(mask.parent, case_of(mask))
    if written is None or not written.reviews or (held := written.held_by(mask)) is None:
        return None
    review = review_of(written.reviews, held)
    return review.decision if review else None


def _masks_in(folder: Path) -> Iterator[Path]:
    paths: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    for path in paths:
        if not path.name.startswith(".") and (ending_of(path.name) or is_dicom(path)) and path.is_file():
            yield path


def is_dicom(path: Path) -> bool:
    return path.name.lower().endswith(DICOM)


def _is_whole(path: Path) -> bool:
    """Return whether a file can be read to its end. What was changed and can be is a correction, even one that is no
    mask.
    """
    return _problem(path) is None if is_dicom(path) else is_whole(path)


def _problem(path: Path) -> str | None:
    """Describe why a file is no mask that can be read whole; None where it is one."""
    try:
        if is_dicom(path):
            from vmseg_auto.data.dicom.results import require_whole  # most masks are image files

            require_whole(path)
        elif ending_of(path.name) == SEGMENTS:
            read_segmentation(path)
        else:
            read_mask(path)
    except InputError as error:
        return error.problem
    return None
