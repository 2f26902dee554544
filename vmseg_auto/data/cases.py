"""Cases as they lie on disk: nnU-Net's raw layout, and the checks that each case must pass."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.dataset_json import ADVISED_DROPOUT, OPTIONAL, Description, read_description
from vmseg_auto.data.dicom.series import Scan, Series, path_of
from vmseg_auto.data.images.images import read_grid, read_mask
from vmseg_auto.data.images.pictures import SPACING_FILE
from vmseg_auto.data.images.registry import SEGMENTS, ending_of, why_no_image
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.made_dataset import REGISTRATION
from vmseg_auto.data.naming import (
    case_and_channel,
    case_of,
    endings_in_words,
    group_scans,
    image_files,
    likely_case,
    masks_by_case,
    note_folder,
    stem,
)
from vmseg_auto.data.scans import read_scan, scan_bytes
from vmseg_auto.data.workspace import USUAL
from vmseg_auto.utils.errors import DatasetError, InputError, VmsegError
from vmseg_auto.utils.folders import is_file, listed_folder, why_no_file
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.label_masks import foreground_of
from vmseg_auto.utils.labels import IGNORE_LABEL, Labels, unnamed_labels
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.logs import LOGGER
from vmseg_auto.utils.names import split_channel

T = TypeVar("T")
_FOLDERS, _FILES = ("imagesTr", "labelsTr", "imagesTs", "labelsTs"), ("dataset.json", "splits_final.json", SPACING_FILE)
_COUNTED = (("numTraining", "training"), ("numTest", "test"))
_MADE = ("fingerprint.json", "workspace.lock", "sources.csv", "volumes.csv", "metrics.csv", "followup.csv")
"""Each tells that commands have made the folder that it lies in."""
_LAYOUT = (
    "A dataset holds imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz: go to its folder, or name it with -d; "
    "`vmseg_make_dataset` makes one from scans and masks."
)
_MAY_LACK = (
    f"Or name the channel in {OPTIONAL} of dataset.json, and train with --set {ADVISED_DROPOUT}: then cases may lack "
    "it."
)
_SPACING = 'Write {"spacing": [thickness, height, width]} in mm to spacing.json in the dataset\'s folder.'


def read_dataset(folder: Path, bad: list[VmsegError] | None = None) -> Dataset:
    """Read a dataset in nnU-Net's raw layout; no voxel is read unless dataset.json is missing.

    Args:
        folder: of the dataset.
        bad: what is wrong with the set of files is appended here, and raised unless given.

    Raises:
        InputError: there is no such folder, or no case in it.
        DatasetError: dataset.json or the set of files can't be used; everything wrong is listed.
    """
    images, labels = folder / "imagesTr", folder / "labelsTr"
    for place in (folder, images, labels):
        if not place.is_dir():
            raise InputError("there is no such folder", file=place, remedy=_LAYOUT)
    stated = folder / "dataset.json"
    if os.path.lexists(stated) and not is_file(stated):
        raise InputError(f"it is {why_no_file(stated)}", file=stated, remedy="Put the file itself there.")
    given = read_description(stated) if stated.is_file() else None
    ending, notes = _common_ending(images, given)
    if given is None:
        given = Description(None, ("T2",), Labels(_inferred_labels(image_files(labels, ending), stated)), ending, {})
        shown = ", ".join(f"{name} {value}" for name, value in given.labels.items())
        notes.append(f"dataset.json is missing; inferred: one channel (T2), labels {shown}, files *{ending}")
    errors, left = bad if bad is not None else [], Inventory()
    cases = _cases(images, labels, given, ending, errors, left)
    tests = _cases(folder / "imagesTs", folder / "labelsTs", given, ending, errors, left, label_needed=False)
    _note_what_is_told(given, cases, tests, left)
    _note_what_is_beside(folder, left)
    known = {case.id for case in (*cases, *tests)} | {error.case for error in errors}
    if unknown := sorted(set(given.patients) - known):
        problem = f"patients names cases that the dataset lacks: {', '.join(unknown)}"
        errors.append(InputError(problem, file=stated, remedy="Correct or remove these names."))
    if errors and bad is None:
        raise DatasetError(f"{folder}: the dataset can't be used", errors)
    return Dataset(
        name=given.name or folder.resolve().name,
        channels=given.channels,
        labels=given.classes,
        cases=cases,
        test_cases=tests,
        file_ending=ending,
        notes=tuple(notes),
        stated=frozenset(given.patients),
        left_out=left.found,
        ignore=given.labels.get(IGNORE_LABEL),
        optional=given.optional,
    )


def content_hash(case: Case, labels: Mapping[str, int] | None = None) -> str:
    """Return 16 hex digits of SHA-256 over the bytes of the case's scans and label file, in this order.

    Args:
        case: which files.
        labels: where `ignore` is one of them, its value is hashed too: without it the same mask says something else.

    Raises:
        InputError: a file can't be read.
    """
    return content_hashes(case, labels)[1]


def content_hashes(case: Case, labels: Mapping[str, int] | None = None) -> tuple[str, str]:
    """Return the hash of the case's image files alone, and its `content_hash`; each file is read once.

    Raises:
        InputError: a file can't be read.
    """
    sha = hashlib.sha256()
    for scan in case.images:
        _feed(sha, scan, case)
    if case.missing:
        sha.update(f"without {case.missing}".encode())
    image = sha.hexdigest()[:16]
    if case.label is not None:
        _feed(sha, case.label, case)
        if labels and IGNORE_LABEL in labels:
            sha.update(f"{IGNORE_LABEL} {labels[IGNORE_LABEL]}".encode())
    return image, sha.hexdigest()[:16]


def read_case(
    case: Case,
    labels: Mapping[str, int] | None = None,
    notes: list[str] | None = None,
    spacing_mm: Spacing | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, Geometry]:
    """Read and check a case.

    Args:
        case: which files.
        labels: label name -> value; the mask may hold no other values. With one label besides the background, a
            mask of 0 and 255 is read as 0 and 1; what has the label `ignore`, as IGNORE.
        notes: what is odd but legal is appended here, in words.
        spacing_mm: voxel size (Z, Y, X) of image files that tell none.

    Returns:
        Image [C, Z, Y, X], 0 everywhere in channels that are missing, mask [Z, Y, X] (None without one), and the grid
        of the first image.

    Raises:
        InputError: something is wrong with a file, or files do not lie on the same grid.
        DatasetError: several things are wrong; all are listed.
    """
    errors: list[VmsegError] = []
    images: list[NDArray[np.float32]] = []
    grids: list[tuple[Path, Geometry]] = []
    mask = None
    for scan in case.images:
        try:
            image, grid = read_scan(scan, case.id, notes, spacing_mm)
            if notes is not None:
                notes += [f"case {case.id}: {doubt}" for doubt in grid.doubts]
            images.append(image)
            grids.append((path_of(scan), grid))
        except InputError as error:
            errors.append(error)
    if not errors and not any(image.any() for image in images):
        problem, remedy = "the image is empty: every voxel is 0", "Replace the scan, or remove the case."
        errors.append(InputError(problem, case=case.id, file=case.file, remedy=remedy))
    if case.label is not None:
        try:
            found: list[str] = []
            _require_own(case)
            mask, grid = read_labels(case.label, labels, grids[0][1] if grids else None, case.id, found)
            grids.append((case.label, grid))
            if notes is not None:
                found += [] if foreground_of(mask).any() else ["the mask is empty"]
                notes += [f"case {case.id}: {note}" for note in found]
        except InputError as error:
            errors.append(error)
            if ending_of(case.label.name) not in (SEGMENTS, None):
                with suppress(InputError):  # where its values alone are wrong, its grid is looked at all the same
                    grids.append((case.label, read_grid(case.label, case.id)))
    errors += _grid_errors(case, grids)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DatasetError(f"case {case.id} can't be used", errors)
    for number in case.missing:
        images.insert(number, np.zeros_like(images[0]))
    return (images[0][None] if len(images) == 1 else np.stack(images)), mask, grids[0][1]


def _require_own(case: Case) -> None:
    """Raise InputError where a mask is a DICOM object that was drawn on another series than the case's scan."""
    scan, mask = case.images[0], case.label
    if mask is None or ending_of(mask.name) is not None or not isinstance(scan, Series):
        return
    from vmseg_auto.data.dicom.mask_objects import read_mask_object  # most masks are image files

    if not read_mask_object(mask).is_of(scan):
        problem, remedy = "it was drawn on another series than this scan", "Give the series that it names."
        raise InputError(problem, case=case.id, file=mask, remedy=remedy)


def over_cases(
    work: Callable[[Case], T], cases: Sequence[Case], jobs: int, progress: Callable[[], object]
) -> tuple[dict[str, T], list[VmsegError]]:
    """Do `work` on every case in threads; a case that fails, however that may be, does not stop the others.

    Args:
        work: gives what is kept of a case; it should be small.
        cases: with different ids.
        jobs: threads, and so the number of cases in memory at once.
        progress: called in this thread after each case.

    Returns:
        Case id -> result, and the errors of the cases that failed; both in the order of `cases`.
    """
    results: dict[str, T] = {}
    failed: dict[str, Sequence[VmsegError]] = {}
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        futures = {pool.submit(work, case): case for case in cases}
        try:
            for future in as_completed(futures):
                case = futures[future]
                try:
                    results[case.id] = future.result()
                except VmsegError as error:
                    failed[case.id] = error.errors if isinstance(error, DatasetError) else (error,)
                except MemoryError:
                    problem, remedy = "the memory is not enough for this case", "Use fewer --jobs."
                    failed[case.id] = (VmsegError(problem, case=case.id, file=case.file, remedy=remedy),)
                except OSError as error:
                    problem, remedy = f"a file can't be read ({error.strerror or error})", "Check disk and rights."
                    failed[case.id] = (VmsegError(problem, case=case.id, file=case.file, remedy=remedy),)
                except Exception as error:
                    LOGGER.error("case %s", case.id, exc_info=error)
                    problem, remedy = f"unexpected {type(error).__name__}: {error}", "Mend or replace the case."
                    failed[case.id] = (VmsegError(problem, case=case.id, file=case.file, remedy=remedy),)
                    failed[case.id][0].__cause__ = error
                progress()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    done = {case.id: results[case.id] for case in cases if case.id in results}
    return done, [error for case in cases for error in failed.get(case.id, ())]


def _feed(sha: hashlib._Hash, scan: Scan, case: Case) -> None:
    try:
        for block in scan_bytes(scan):
            sha.update(block)
    except OSError as error:
        problem = f"the file can't be read ({error.strerror or error})"
        raise InputError(problem, case=case.id, file=path_of(scan), remedy="Check the name and its rights.") from error


def _common_ending(images: Path, given: Description | None) -> tuple[str, list[str]]:
    """Return the dataset's file ending, and notes on how it was found."""
    counts = Counter(ending_of(path.name) or "" for path in image_files(images))
    ending = given.file_ending if given else None
    chosen = ending or (counts.most_common(1)[0][0] if counts else "")
    if not counts[chosen]:
        there = ", ".join(f"{number} *{other}" for other, number in counts.items())
        for path in listed_folder(images) if images.is_dir() else ():
            is_meant = not chosen or ending_of(path.name) == chosen
            if is_meant and (why := why_no_image(path)):
                raise InputError(why, file=path, remedy=_SPACING)
        raise InputError(
            f"there is no case: no file ends with {endings_in_words(chosen)}" + (f", but {there}" if there else ""),
            file=images,
            remedy="Mend file_ending in dataset.json." if there else _LAYOUT,
        )
    notes = []
    if given and ending is None:
        notes.append(f"dataset.json gives no file_ending; inferred: {chosen}")
    return chosen, notes


def values_in(masks: Iterable[Path]) -> set[int]:
    """Return the values in masks; what can't be read is passed over."""
    values: set[int] = set()
    for path in masks:
        with suppress(InputError):
            values.update(int(value) for value in np.unique(read_mask(path)[0]))
    return values


def _inferred_labels(masks: Sequence[Path], stated: Path) -> dict[str, int]:
    """Infer labels from the values in the masks. Masks that can't be read are left to the check that lists them all."""
    values = values_in(masks)
    labels = {"background": 0} | unnamed_labels(values)
    if values <= {0} or sorted(labels.values()) != list(range(len(labels))):
        shown = ", ".join(map(str, sorted(values))) or "nothing that can be read"
        raise InputError(
            f"dataset.json is missing, and labels can't be inferred: the masks hold {shown}",
            file=stated,
            remedy="Label values must be 0 for the background, then 1, 2 and so on without gaps.",
        )
    return labels


def _cases(
    images: Path,
    labels: Path,
    given: Description,
    ending: str,
    errors: list[VmsegError],
    left: Inventory,
    label_needed: bool = True,
) -> tuple[Case, ...]:
    """Return the cases of two folders that may be missing; what does not fit goes to `errors`, what is not used to
    `left`.
    """
    files = image_files(images, ending, left)
    scans = group_scans(files, given.channels, errors, given.optional, _MAY_LACK)
    masks = masks_by_case(image_files(labels, ending, left), errors)
    seen = {case_and_channel(path, len(given.channels))[0] for path in files}
    for case_id in sorted(set(masks) - seen):
        likely = likely_case(case_id, scans)
        remedy = "Add the image, or remove the mask."
        if likely:
            remedy = f"If it is the mask of {likely[0]}, give it that name, in place of what is there. Else: {remedy}"
        problem = f"there is a mask, but no image in {images.name}"
        errors.append(InputError(problem, case=case_id, file=masks[case_id], remedy=remedy))
    for case_id in sorted(set(scans) - set(masks) if label_needed else ()):
        problem, remedy = "the mask is missing", "Add it, or remove the case."
        errors.append(InputError(problem, case=case_id, file=labels / f"{case_id}{ending}", remedy=remedy))
    return tuple(
        case_of(case_id, given.patients.get(case_id, case_id), scan, len(given.channels), masks.get(case_id))
        for case_id, scan in scans.items()
    )


def _note_what_is_told(given: Description, cases: Sequence[Case], tests: Sequence[Case], left: Inventory) -> None:
    """Note keys of dataset.json that say nothing here, and what it tells of that is not there."""
    for key in given.unused:
        left.add("key", key, "unknown in dataset.json")
    for (key, what), there in zip(_COUNTED, (cases, tests), strict=True):
        if given.numbers.get(key, len(there)) != len(there):
            left.add("key", key, f"which tells of {given.numbers[key]} {what} cases where {len(there)} are there")
    known = {case.id for case in (*cases, *tests)}
    for file in given.listed:
        name = stem(Path(file))
        if not known & {name, split_channel(name)[0]}:
            left.add("file", file, "listed in dataset.json, and not there")


def _note_what_is_beside(folder: Path, left: Inventory) -> None:
    """Note files and folders that are none of a dataset's."""
    for path in listed_folder(folder):
        if path.name in (*_FOLDERS, *_FILES, USUAL, REGISTRATION) or any(is_file(path / name) for name in _MADE):
            continue
        if path.is_dir():
            note_folder(path, f"no folder of a dataset ({', '.join(_FOLDERS)})", left)
        else:
            why = f"no file of a dataset ({', '.join(_FILES)})" if is_file(path) else why_no_file(path)
            left.add_file(path, folder, why)


def _grid_errors(case: Case, grids: Sequence[tuple[Path, Geometry]]) -> list[VmsegError]:
    found: list[VmsegError] = []
    for path, grid in grids[1:]:
        first, reference = grids[0]
        if differences := grid.differences(reference):
            problem = f"it does not lie on the grid of {first.name}: {'; '.join(differences)}"
            remedy = "Resample it onto that grid, or export both from the same series."
            found.append(InputError(problem, case=case.id, file=path, remedy=remedy))
    return found
