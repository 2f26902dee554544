"""Names that tell nothing of a patient."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

_NUMBERED = re.compile(r"P(\d+)(?:-(\d+))?")
_GIVEN = re.compile(r"patient_(\d+)")
"""What vmseg_make_dataset calls a patient."""


@dataclass(frozen=True)
class Names:
    """What cases and patients are called where others read it.

    Args:
        cases: case id -> its name there.
        patients: patient -> name.
    """

    cases: Mapping[str, str]
    patients: Mapping[str, str]


def true_names(patients: Mapping[str, str]) -> Names:
    """Return names that call everyone by the own name.

    Args:
        patients: case id -> patient.
    """
    return Names({case: case for case in patients}, {patient: patient for patient in patients.values()})


def pseudonyms(patients: Mapping[str, str], known: Mapping[str, str]) -> Names:
    """Name patients P01, P02, ...; the scans of one who has several P01-1, P01-2, ...

    Who is called patient_07 in the dataset already becomes P07, where that is free. The others are numbered in the
    order of a hash, so that the numbers don't give the alphabet away.

    Args:
        patients: case id -> patient.
        known: case id -> pseudonym, from earlier; kept.

    Example:
        >>> pseudonyms({"anna_v1": "anna", "anna_v2": "anna", "ben": "ben"}, {}).cases
        {'anna_v1': 'P01-1', 'anna_v2': 'P01-2', 'ben': 'P02'}
    """
    numbers: dict[str, int] = {}
    taken = [match for name in known.values() if (match := _NUMBERED.fullmatch(name))]
    for case, name in known.items():
        if case in patients and (match := _NUMBERED.fullmatch(name)):
            numbers[patients[case]] = int(match[1])
    used = {int(match[1]) for match in taken}
    for patient in sorted(set(patients.values()) - set(numbers)):
        if (given := _GIVEN.fullmatch(patient)) and int(given[1]) not in used:
            numbers[patient] = int(given[1])
            used.add(int(given[1]))
    following = max(used, default=0) + 1
    new = sorted(set(patients.values()) - set(numbers), key=_hash)
    numbers |= {patient: following + place for place, patient in enumerate(new)}
    named = {patient: f"P{number:02d}" for patient, number in numbers.items()}
    cases: dict[str, str] = {}
    for patient in named:
        own = sorted(case for case, owner in patients.items() if owner == patient)
        cases |= _scans(named[patient], own, known)
    return Names(cases, named)


def _scans(patient: str, cases: list[str], known: Mapping[str, str]) -> dict[str, str]:
    """Name one patient's scans; names that are known stay."""
    old = {case: known[case] for case in cases if case in known}
    if len(cases) == 1 and not old:
        return {cases[0]: patient}
    numbered = (f"{patient}-{number}" for number in itertools.count(1 + len(old)))
    free = (name for name in numbered if name not in old.values())
    return old | {case: next(free) for case in cases if case not in old}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
