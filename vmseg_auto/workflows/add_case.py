"""Put a predicted case, which a reader has accepted or corrected, into a dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import content_hash, read_case, read_dataset
from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.dataset_json import OPTIONAL
from vmseg_auto.data.dataset_key import KeyRow, read_dataset_key
from vmseg_auto.data.dataset_reviews import DatasetReviews, MaskHistory, Reviewed
from vmseg_auto.data.dicom.series import Choice, Scan, Series, path_of
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.made_dataset import MadeDataset, key_beside
from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.reviews import Review
from vmseg_auto.data.scans import read_scan, scan_grid
from vmseg_auto.data.visits import suggest_visits
from vmseg_auto.data.workspace import Workspace, workspace_root
from vmseg_auto.utils.atomic import put_in_place, read_json, scratch_folder, write_json
from vmseg_auto.utils.console import Console, Silent, quoted
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.labels import labels_in_words
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.names import key as name_key
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.add_patients import (
    Member,
    VisitsUnknownError,
    Wishes,
    agreed,
    enrol,
    file_hash,
    patient_in_header,
)
from vmseg_auto.workflows.dataset_writing import Writing
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.pairs import NamedScan, find_named_scans, pair_of
from vmseg_auto.workflows.paths import accepted_patients
from vmseg_auto.workflows.patients import Visits

_PSEUDONYMS = re.compile(r"case_\d{3,}"), re.compile(r"patient_\d{2,}")
"""What vmseg_make_dataset calls cases and patients."""


@dataclass(frozen=True)
class ReviewedCase:
    """A prediction with the decision of a reader.

    Args:
        scan: its id, and the files of each channel.
        mask: the file of the mask that counts.
        labels: name -> value.
        channels: their names.
        source: the file or folder in which the scan was found.
        choice: of DICOM series in it.
        spacing_mm: the voxel size that was given by hand, where it was.
        model: hash of the model and options that predicted.
        review: the decision on this mask.
    """

    scan: Case
    mask: Path
    labels: dict[str, int]
    channels: tuple[str, ...]
    source: Path
    choice: Choice
    spacing_mm: Spacing | None
    model: str
    review: Review

    @property
    def id(self) -> str:
        return self.scan.id

    @property
    def origin(self) -> Reviewed:
        """Return what the case is made of."""
        image, mask = path_of(self.scan.images[0]), self.mask
        hashes = content_hash(self.scan), file_hash(mask)
        return Reviewed(str(image.resolve()), str(mask.resolve()), *hashes, self.model)


@dataclass(frozen=True)
class _Read:
    """The voxels of a case: image [C, Z, Y, X], mask [Z, Y, X], and their grid."""

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    geometry: Geometry


def add_case(
    dataset: Path,
    case: ReviewedCase,
    *,
    key: Path | None = None,
    visits: Visits | None = None,
    console: Console | None = None,
) -> str:
    """Put a case into a dataset as `vmseg_make_dataset --add` does, with a note of where it comes from.

    Into a dataset of `vmseg_make_dataset` it goes under a pseudonym, which the key tells. Into one that was made by
    hand it goes under its own name. Image and mask become training files, whole or not at all.

    Args:
        dataset: the folder.
        case: accepted or corrected by a reader.
        key: to the pseudonyms; DATASET_key.csv beside the dataset unless given.
        visits: whether a scan that looks like a visit of a patient of the dataset is one ("join") or not ("apart").
        console: where words go.

    Returns:
        In words what the case is called there, and which command comes next.

    Raises:
        VisitsUnknownError: it looks like a visit, and `visits` does not say whether it is one.
        InputError: the patient is tested on, or was removed; the dataset has the scan already, or has other labels or
            channels; its key is not here; dataset or case are damaged; another command writes to the dataset.
        VmsegError: a file can't be written.
    """
    console = console or Silent()
    names = key if key is not None else key_beside(dataset)
    with output_lock(dataset, "vmseg_review", console):
        data = read_dataset(dataset)
        data = data.with_patients(accepted_patients(Workspace(workspace_root(dataset, None))))
        _require_alike(data, case, dataset)
        read = _read(case)
        _require_new(data, case, read)
        if names.is_file():
            called = _under_pseudonym(dataset, names, case, visits, console)
        else:
            called = _under_its_name(dataset, data, case, read, visits, names)
    return f"{case.id} is now {called} in {dataset}. Its training set has changed: {next_steps(dataset)}"


def next_steps(dataset: Path) -> str:
    """Return in words what is to be done when training cases of a dataset are new, or have other masks."""
    return (
        f"go on with `vmseg_plan_and_preprocess -d {quoted(dataset)}`, which preprocesses what is new or changed, then "
        "train the folds that it names (`vmseg_train`)."
    )


def _read(case: ReviewedCase) -> _Read:
    """Read image and mask; raises InputError where the mask is not the one that the reader decided on."""
    image, mask, geometry = read_case(replace(case.scan, label=case.mask), case.labels, None, case.spacing_mm)
    assert mask is not None
    if mask_sha256(mask) != case.review.mask_sha256:
        problem = "the mask was changed after it was decided on"
        raise InputError(problem, case=case.id, file=case.mask, remedy="Load the case again, and decide on it.")
    return _Read(image, mask, geometry)


def _require_alike(data: Dataset, case: ReviewedCase, dataset: Path) -> None:
    """Raise InputError where the dataset has other labels or channels than the case."""
    if case.labels != data.labels:
        what, own, theirs = "labels", labels_in_words(case.labels), labels_in_words(data.labels)
    elif case.channels != data.channels:
        what, own, theirs = "channels", ", ".join(case.channels), ", ".join(data.channels)
    elif lacking := [name for n in case.scan.missing if (name := data.channels[n]) not in data.optional]:
        problem = f"the scan lacks the channel {listed(lacking)}, and no case of the dataset may"
        remedy = f'To allow it, write it into "{OPTIONAL}" of dataset.json.'
        raise InputError(problem, case=case.id, file=dataset, remedy=remedy)
    else:
        return
    problem = f"the mask was predicted with the {what} {own}, and the dataset has {theirs}"
    remedy = "Name with --add-to the dataset that the model was trained on, or one like it."
    raise InputError(problem, case=case.id, file=dataset, remedy=remedy)


def _require_new(data: Dataset, case: ReviewedCase, read: _Read) -> None:
    """Raise InputError where the dataset has the same voxels already, as a training or a test case."""
    for one in (*data.cases, *data.test_cases):
        if scan_grid(one.images[0], one.id).differences(read.geometry):
            continue
        if not np.array_equal(read_scan(one.images[0], one.id)[0], read.image[0]):
            continue
        if one in data.test_cases:
            raise _tested(case, f"the scan is {one.id} of the test set")
        problem, remedy = f"the dataset has this scan already, as {one.id}", "Correct its mask there: vmseg_review -d."
        raise InputError(problem, case=case.id, file=one.file, remedy=remedy)


def _tested(case: ReviewedCase, why: str) -> InputError:
    remedy = "Leave it out: a model that is trained on a test patient can't be tested on the patient any more."
    return InputError(f"{why}, which nothing is trained on", case=case.id, remedy=remedy)


def _under_pseudonym(dataset: Path, names: Path, case: ReviewedCase, visits: Visits | None, console: Console) -> str:
    """Put a case into a dataset of vmseg_make_dataset; returns what it is called there."""
    there, rows = MadeDataset.read(dataset), read_dataset_key(names)
    there.require_agreement(rows, None, None)
    wishes = agreed(Wishes(None, there.label, there.channel, "scans", visits, 0.0, 0), rows, None)
    pair = pair_of(_named(case, (dataset, names), rows if wishes.patients == "folders" else ()), case.mask)
    errors: list[VmsegError] = []
    members = enrol([pair], wishes, rows, there.names, errors, console)
    if errors:
        raise errors[0]
    if not members:
        problem = "the patient of this scan was removed from the dataset, and is not taken again"
        raise InputError(problem, case=case.id, file=names, remedy="Leave the case out.")
    (member,) = members
    member = _as_the_header_says(member, case, rows, visits)
    row = member.row
    if member.test:
        raise _tested(case, f"its patient {row.source_patient} ({row.patient}) is in the test set of the dataset")
    if there.holds(row):
        raise InputError(f"the dataset has this scan already, as {row.case}", case=case.id, file=dataset)
    # The mask has the dataset's one label, whatever segments the masks that readers drew had.
    Writing(replace(wishes, segments=None), rows, names, True, 1, console).into(there, members)
    DatasetReviews.beside(dataset).write(MaskHistory(row.case, (case.review,), made_of=case.origin))
    return f"{row.case} of {row.patient}" + (
        "" if member.known else f", a new patient ({row.source_patient} in the key)"
    )


def _named(case: ReviewedCase, made: tuple[Path, Path], rows: Sequence[KeyRow]) -> NamedScan:
    """Return the scan under the names by which the key knows scans.

    Args:
        made: the dataset and its key.
        rows: of the key, where a folder stands for a patient: a scan in the folder of a known one is that patient's,
            whichever folder was predicted.
    """
    own = _source(case.scan.images[0])
    found = find_named_scans(case.source, case.mask, made, case.choice, [], Inventory())
    scan = next((one for one in found if _source(one.case.images[0]) == own), None)
    if scan is None:
        problem, remedy = "the scan is no longer where it was predicted", "Name the folder that holds it with --images."
        raise InputError(problem, case=case.id, file=case.source, remedy=remedy)
    for row in rows:
        folder = next((one for one in Path(row.image).parents if one.name == row.source_patient), None)
        if folder is not None and own.is_relative_to(folder):
            names = (row.source_patient, *scan.names)
            return replace(scan, names=names, title="/".join(names))
    return scan


def _as_the_header_says(member: Member, case: ReviewedCase, rows: Sequence[KeyRow], visits: Visits | None) -> Member:
    """Return a member as a scan of the patient whose ID stands in its header, where that is one of the dataset.

    Headers of those who are there are read where their scans still lie as the key says. One ID in all of them, as an
    anonymiser may write, tells nothing.

    Raises:
        VisitsUnknownError: the header names a patient of the dataset that the scan's name does not, and nobody has said
            whether it is the same one.
        InputError: the header names several of them, or another one than the name.
    """
    own = patient_in_header(case.scan.images[0])
    if not own or visits == "apart":
        return member
    told: dict[tuple[str, ...], dict[str, KeyRow]] = {own: {}}
    for row in (row for row in rows if not row.removed and row.case != member.row.case and Path(row.image).exists()):
        with suppress(InputError):  # what lies there now is no scan any more
            for series in find_series(Path(row.image)):
                if patient := patient_in_header(series):
                    told.setdefault(patient, {})[row.patient] = row
    others = {patient: row for patient, row in told[own].items() if patient != member.row.patient}
    if len(told) < 2 or not others:
        return member
    names = listed([f"{row.source_patient} ({row.patient})" for row in others.values()])
    if len(told[own]) > 1:
        problem, remedy = f"its header names several patients of the dataset: {names}", "Check their scans."
        raise InputError(problem, case=case.id, remedy=remedy)
    if member.known:
        problem = f"its name is that of a scan of {member.row.source_patient}, and its header names {names}"
        raise InputError(problem, case=case.id, remedy="Check whose scan it is, and rename it.")
    if visits is None:
        problem = f"by the patient ID in its header it is a scan of {names}, who is in the dataset"
        raise VisitsUnknownError(problem, case=case.id, remedy="Say whether it is the same patient.")
    (owner,) = others.values()
    row = replace(member.row, patient=owner.patient, set=owner.set, source_patient=owner.source_patient)
    return Member(member.pair, row, known=True)


def _source(scan: Scan) -> Path:
    return (scan.source if isinstance(scan, Series) else scan).resolve()


def _under_its_name(
    dataset: Path, data: Dataset, case: ReviewedCase, read: _Read, visits: Visits | None, names: Path
) -> str:
    """Put a case into a dataset that was made by hand; returns what it is called there."""
    known = (*data.cases, *data.test_cases)
    if all(_PSEUDONYMS[0].fullmatch(one.id) and _PSEUDONYMS[1].fullmatch(one.patient) for one in known):
        problem = "the dataset holds pseudonyms of vmseg_make_dataset, and the key to them is not here"
        raise InputError(problem, case=case.id, file=names, remedy="Name the key with --key.")
    if name_key(case.id) in {name_key(one.id) for one in known}:
        problem = "another scan of the dataset is called so"
        raise InputError(problem, case=case.id, file=dataset, remedy="Rename the scan, and predict it again.")
    patient = _patient(known, case, visits)
    if patient in {one.patient for one in data.test_cases}:
        raise _tested(case, f"its patient {patient} is in the test set of the dataset")
    with scratch_folder(dataset) as scratch:
        channels = case.scan.channels
        images = [Path("imagesTr", f"{case.id}_{number:04d}{data.file_ending}") for number in channels]
        mask = Path("labelsTr", f"{case.id}{data.file_ending}")
        for image, file in zip(read.image[list(channels)], images, strict=True):
            write_image(scratch / file, image, read.geometry)
        write_mask(scratch / mask, read.mask, read.geometry)
        with _described(dataset, case.id, patient):
            _put_all(scratch, dataset, (mask, *images))
    DatasetReviews.beside(dataset).write(MaskHistory(case.id, (case.review,), made_of=case.origin))
    return case.id + (f" of {patient}" if patient != case.id else "")


def _patient(known: Sequence[Case], case: ReviewedCase, visits: Visits | None) -> str:
    """Return the patient that a scan is of, by its name.

    Raises:
        VisitsUnknownError: its name looks like that of another visit, and nobody has said whether it is one.
        InputError: it looks like a visit of several patients.
    """
    groups = suggest_visits([case.id, *(one.id for one in known)]).values()
    alike = {name for group in groups if case.id in group for name in group}
    owners = sorted({one.patient for one in known if one.id in alike or one.patient == case.id})
    if not owners or visits == "apart":
        return case.id
    if len(owners) > 1:
        problem = f"its name is like those of several patients: {listed(owners)}"
        raise InputError(problem, case=case.id, remedy="Rename the scan, and predict it again.")
    if visits is None:
        problem = f"it looks like a visit of {owners[0]}, who is in the dataset"
        raise VisitsUnknownError(problem, case=case.id, remedy="Say whether it is the same patient.")
    return owners[0]


@contextmanager
def _described(dataset: Path, case: str, patient: str) -> Iterator[None]:
    """Tell dataset.json of a training case: its patient where that is not its own name, and one case more. It is taken
    back where what is done meanwhile fails.

    Raises:
        InputError: there is no dataset.json that could name the patient.
    """
    path = dataset / "dataset.json"
    if not path.is_file() and patient != case:
        problem = f"there is no dataset.json to say that the scan is of {patient}"
        raise InputError(problem, case=case, file=path, remedy="Write one first (docs/formats.md).")
    if not path.is_file():
        yield
        return
    before = read_json(path)
    after = dict(before)
    if patient != case:
        after["patients"] = {**before.get("patients", {}), case: patient}
    if "numTraining" in before:
        after["numTraining"] = before["numTraining"] + 1
    write_json(path, after)
    try:
        yield
    except BaseException:
        write_json(path, before)
        raise


def _put_all(scratch: Path, dataset: Path, files: Sequence[Path]) -> None:
    """Give files of a scratch folder their names in the dataset, all or none."""
    put: list[Path] = []
    try:
        for file in files:
            put_in_place(scratch / file, dataset / file)
            put.append(dataset / file)
    except BaseException:
        for path in put:
            path.unlink(missing_ok=True)
        raise
