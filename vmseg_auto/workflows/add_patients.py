"""Who is who in a dataset: pseudonyms, patients and sides, of scans that are new and of those that it knows."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vmseg_auto.data.cases import content_hash
from vmseg_auto.data.dataset_key import KeyRow
from vmseg_auto.data.dicom.series import Scan, Series
from vmseg_auto.data.outlined_slices import OutlinedSlices
from vmseg_auto.data.visits import suggest_visits
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.pairs import Pair
from vmseg_auto.workflows.patients import Visits, visits_in_words

Patients = Literal["scans", "folders"]


class VisitsUnknownError(InputError):
    """Scans look like visits of a patient, and nobody has said whether they are."""


@dataclass(frozen=True)
class Member:
    """A pair under its pseudonym.

    Args:
        row: its row in the key.
        known: whether its patient stood in the key before.
    """

    pair: Pair
    row: KeyRow
    known: bool = False

    @property
    def test(self) -> bool:
        return self.row.set == "test"


@dataclass(frozen=True)
class Wishes:
    """What the user wants of the dataset; see `make_dataset`."""

    segments: tuple[str, ...] | None
    label: str
    channel: str
    patients: Patients
    visits: Visits | None
    test_share: float
    seed: int
    outlined: OutlinedSlices | None = None
    further: tuple[str, ...] = ()


def agreed(wishes: Wishes, key: Sequence[KeyRow], patients: Patients | None) -> Wishes:
    """Return the wishes as the rows of a key have them: what a patient is, and which segments count.

    Raises:
        InputError: others are wished.
    """
    rows = [row for row in key if not row.removed]
    if not rows:
        return wishes
    segments = tuple(rows[-1].segments.split("|")) if rows[-1].segments else None
    if patients not in (None, rows[-1].patients):
        raise InputError(f"the dataset was made with --patients {rows[-1].patients}", remedy="Leave --patients out.")
    if wishes.segments not in (None, segments):
        made = f"--segments {' '.join(segments)}" if segments else "all segments"
        raise InputError(f"the dataset was made with {made}", remedy="Leave --segments out.")
    known: Patients = "folders" if rows[-1].patients == "folders" else "scans"
    return replace(wishes, segments=segments, patients=known)


def enrol(
    pairs: Sequence[Pair],
    wishes: Wishes,
    key: Sequence[KeyRow],
    taken: Collection[str],
    errors: list[VmsegError],
    console: Console,
) -> list[Member]:
    """Give pairs their pseudonyms, patients and sides: those of the key to what it knows, new ones to others.

    New cases are numbered by a hash of their images, so that their order tells nothing of names.

    Args:
        key: rows of those who are in the dataset, or were.
        taken: further pseudonyms of cases and patients that can't be given.
        errors: pairs that can't be members are appended here.

    Raises:
        VisitsUnknownError: new scans look like visits of a patient of the key.
        InputError: too few patients are left to train on.
    """
    hashes = {one.scan.case.id: content_hash(one.scan.case) for one in pairs}
    unlike = _unlike(pairs, hashes, key, errors)
    known = {row.image_hash: row for row in key}
    if gone := [one.scan.title for one in unlike if (row := known.get(hashes[one.scan.case.id])) and row.removed]:
        console.warn(f"scans of patients who were removed are not taken again: {listed(gone)}.")
    new = sorted(
        (one for one in unlike if hashes[one.scan.case.id] not in known), key=lambda one: hashes[one.scan.case.id]
    )
    there = [row for row in key if not row.removed]
    again = [(one, row) for one in unlike if (row := known.get(hashes[one.scan.case.id])) if not row.removed]
    persons = _persons(new, again, there, wishes, console)
    patients = {row.source_patient: row.patient for row in there}
    sides = {row.patient: row.set for row in there}
    following = _following("patient_", {row.patient for row in key} | set(taken))
    fresh = list(dict.fromkeys(persons[one.scan.case.id] for one in new if persons[one.scan.case.id] not in patients))
    digits = max(2, len(str(following + len(fresh) - 1)))
    patients |= {person: f"patient_{number:0{digits}d}" for number, person in enumerate(fresh, following)}
    tests = _test_patients(fresh, sides, wishes)
    sides |= {patients[person]: "test" if person in tests else "train" for person in fresh}
    members = [Member(one, row, True) for one, row in again]
    for number, one in enumerate(new, _following("case_", {row.case for row in key} | set(taken))):
        person = persons[one.scan.case.id]
        row = KeyRow(
            case=f"case_{number:03d}",
            patient=patients[person],
            set=sides[patients[person]],
            source_patient=person,
            scan=one.scan.title,
            patients=wishes.patients,
            segments="|".join(wishes.segments or ()),
            image=str(one.scan.case.file.resolve()),
            mask=str(one.mask.resolve()),
            image_hash=hashes[one.scan.case.id],
            mask_hash=file_hash(one.mask),
        )
        members.append(Member(one, row, person not in fresh))
    return members


def file_hash(path: Path) -> str:
    """Return 16 hex digits of SHA-256 over a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _unlike(
    pairs: Sequence[Pair], hashes: Mapping[str, str], key: Sequence[KeyRow], errors: list[VmsegError]
) -> list[Pair]:
    """Return the pairs whose scan is like no other, and no changed one of the key."""
    places = {row.image: row for row in key if not row.removed}
    known = {row.image_hash for row in key}
    seen: dict[str, Pair] = {}
    for one in pairs:
        own, file = hashes[one.scan.case.id], one.scan.case.file
        row = places.get(str(file.resolve()))
        if own in seen:
            problem = f"it is the same image as {seen[own].scan.title}"
            errors.append(InputError(problem, file=file, remedy="Keep one of the two."))
        elif own not in known and row is not None:
            problem = f"the scan of {row.case} has changed since it was taken into the dataset"
            remedy = f"To take the new one, `--remove {row.patient}` first; a further visit needs a place of its own."
            errors.append(InputError(problem, file=file, remedy=remedy))
        else:
            seen[own] = one
    return list(seen.values())


def _persons(
    pairs: Sequence[Pair], known: Sequence[tuple[Pair, KeyRow]], key: Sequence[KeyRow], wishes: Wishes, console: Console
) -> dict[str, str]:
    """Return scan id -> what stands for its patient, for new scans; `key` holds the rows of those who are there.

    Args:
        pairs: the new scans.
        known: scans that were given again, and their rows.
        key: rows of those who are in the dataset.
    """
    folders = wishes.patients == "folders"
    own = {one.scan.case.id: one.scan.names[0] if folders else one.scan.case.id for one in pairs}
    called = {one.scan.case.id: one.scan.names[0] if folders else one.scan.title for one in pairs}
    before: dict[str, set[str]] = {}
    for row in key:
        before.setdefault(row.source_patient if folders else row.scan, set()).add(row.source_patient)
    by_names = suggest_visits({*called.values(), *before})
    told = [(one, called[one.scan.case.id]) for one in pairs]
    told += [(one, row.source_patient if folders else row.scan) for one, row in known]
    by_headers = _of_one_patient(told)
    suggested = {stem: group for stem, group in _joined(by_names, by_headers).items() if set(group) - set(before)}
    if wishes.visits == "join":
        for stem, group in suggested.items():
            owners = set().union(*(before.get(name, set()) for name in group))
            if len(owners) > 1:
                problem = f"these look like visits of one patient, but are several in the dataset: {', '.join(group)}"
                raise InputError(problem, remedy="Name them apart, or give --visits apart.")
            owner = next(iter(owners), stem)
            own |= {case: owner for case, name in called.items() if name in group}
    elif suggested and wishes.visits is None:
        sure = any(set(names) <= set(group) for names in by_headers for group in suggested.values())
        _ask_about_visits(suggested, any(set(group) & set(before) for group in suggested.values()), sure, console)
    _warn_of_two_patients(pairs, own, console)
    return own


def _of_one_patient(scans: Sequence[tuple[Pair, str]]) -> list[tuple[str, ...]]:
    """Find the scans whose headers tell of one patient; none where they all do, as where an anonymiser wrote one ID."""
    names: dict[tuple[str, ...], set[str]] = {}
    for one, name in scans:
        if patient := patient_in_header(one.scan.case.images[0]):
            names.setdefault(patient, set()).add(name)
    return [tuple(sorted(group)) for group in names.values() if len(group) > 1] if len(names) > 1 else []


def patient_in_header(scan: Scan) -> tuple[str, ...]:
    """Return hashes of what a scan's header tells of its patient; none of an image file, and where it tells no ID."""
    told = scan.slices[0].patient if isinstance(scan, Series) and scan.slices else ()
    return told if any(told[:1]) else ()


def _joined(
    by_names: Mapping[str, tuple[str, ...]], by_headers: Iterable[tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Join groups until no two share a name."""
    groups: dict[str, set[str]] = {}
    for stem, group in [*by_names.items(), *((group[0], group) for group in by_headers)]:
        alike = [other for other, names in groups.items() if names & set(group)]
        united = set(group).union(*(groups.pop(other) for other in alike))
        groups[alike[0] if alike else stem] = united
    return {stem: tuple(sorted(group)) for stem, group in groups.items()}


def _warn_of_two_patients(pairs: Sequence[Pair], persons: Mapping[str, str], console: Console) -> None:
    told: dict[str, dict[tuple[str, ...], str]] = {}
    for one in pairs:
        if patient := patient_in_header(one.scan.case.images[0]):
            told.setdefault(persons[one.scan.case.id], {}).setdefault(patient, one.scan.title)
    for titles in told.values():
        if len(titles) > 1:
            console.warn(
                f"{listed(sorted(titles.values()))} are taken for scans of one patient, but their headers tell of "
                f"{len(titles)} (another patient ID or day of birth). Check the folders of the export."
            )


def _ask_about_visits(suggested: Mapping[str, tuple[str, ...]], known: bool, sure: bool, console: Console) -> None:
    """Warn of what looks like visits.

    Raises:
        VisitsUnknownError: they would be those of a patient who is in the dataset, or headers tell so.
    """
    if known or sure:
        whose = "a patient who is in the dataset" if known else "one patient, by the patient ID in their headers"
        raise VisitsUnknownError(
            f"these scans look like visits of {whose}:\n{visits_in_words(suggested)}",
            remedy="If they are, add --visits join; if not, --visits apart.",
        )
    console.warn(
        f"these scans look like visits of one patient:\n{visits_in_words(suggested)}\n"
        "If they are, add --visits join (or --patients folders, where all scans of a patient lie in one folder); if "
        "not, --visits apart. Until then each is a patient of its own."
    )


def _test_patients(new: Sequence[str], sides: Mapping[str, str], wishes: Wishes) -> set[str]:
    """Choose the new patients to test on: as many as the share of all lacks (`sides`: of the patients there are)."""
    if not wishes.test_share or not new:
        return set()
    wanted = round(wishes.test_share * (len(new) + len(sides)))
    if not sides:
        wanted = max(1, wanted)
        if len(new) - wanted < 2:
            raise InputError(
                f"of {len(new)} patients {wanted} would be test patients, and cross-validation needs at least 2 others",
                remedy="Give a smaller --test-share, or add patients.",
            )
    lacking = wanted - sum(side == "test" for side in sides.values())
    return set(random.Random(wishes.seed).sample(list(new), min(len(new), max(0, lacking))))


def _following(prefix: str, names: Collection[str]) -> int:
    """Return the number after the highest that any pseudonym has."""
    numbers = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)
