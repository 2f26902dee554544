"""The key to a dataset's pseudonyms: which scan of which patient each case is. It lies outside of the dataset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import Text, read_csv, read_table, write_csv

NOTE = "Who is who: names the sources of the cases. Keep it apart from the dataset, and never pass it on with it."
SIDES = ("train", "test", "removed")
_REMEDY = "Undo the change, or restore the file from a copy: only it tells whose the pseudonyms are."
_CASE, _PATIENT = re.compile(r"case_\d+"), re.compile(r"patient_\d+")


@dataclass(frozen=True)
class KeyRow:
    """One case, and what it was made of.

    Args:
        case, patient: pseudonyms.
        set: "train", "test", or "removed" for a patient who was taken out. Of such a one the pseudonyms stay, which
            are never given again, and the hash of the scan, by which it is known if it comes again; nothing else.
        source_patient: what the hospital calls the patient: a folder or a scan.
        scan: the scan's title, of folder and file names.
        patients: "folders" or "scans", whichever stands for a patient.
        segments: those of the mask that count, with a | between; empty for all.
        image, mask: the files or folders that the case was made of.
        image_hash, mask_hash: of their bytes.
    """

    case: str
    patient: str
    set: str
    source_patient: str = ""
    scan: str = ""
    patients: str = ""
    segments: str = ""
    image: str = ""
    mask: str = ""
    image_hash: str = ""
    mask_hash: str = ""

    @property
    def removed(self) -> bool:
        return self.set == "removed"

    def without_source(self) -> KeyRow:
        """Return what stays of the row when its patient is removed."""
        return KeyRow(self.case, self.patient, "removed", image_hash=self.image_hash)


COLUMNS = tuple(field.name for field in fields(KeyRow))


def write_dataset_key(path: Path, rows: Iterable[KeyRow]) -> None:
    """Write the key, whole or not at all.

    Raises:
        VmsegError: it can't be written.
    """
    write_csv(path, COLUMNS, (asdict(row) for row in sorted(rows, key=lambda row: row.case)), note=NOTE)


def read_dataset_key(path: Path, left: Inventory | None = None) -> list[KeyRow]:
    """Read the rows of a key, sorted by case.

    Args:
        path: of the key.
        left: columns that no key has are noted here; a key that is written anew does not keep them.

    Raises:
        InputError: it is missing or can't be read, was changed to what can't be, or contradicts itself.
    """
    if not path.is_file():
        remedy = "Name the key with --key, if it lies elsewhere. Without it nobody knows whose the pseudonyms are."
        raise InputError("the key to the dataset's pseudonyms is not here", file=path, remedy=remedy)
    rows = [KeyRow(**row) for row in read_table(path, dict.fromkeys(COLUMNS, Text(optional=True)), remedy=_REMEDY)]
    if not rows:
        raise InputError("it holds no row of a key", file=path, remedy=_REMEDY)
    if problem := next(filter(None, (_odd(row) for row in rows)), None) or _contradiction(rows):
        raise InputError(problem, file=path, remedy=_REMEDY)
    if left is not None:
        for column in (column for column in read_csv(path)[0] if column not in COLUMNS):
            left.add("column", f"{path.name}: {column}", "which no key has, and which is not kept")
    return sorted(rows, key=lambda row: row.case)


def _odd(row: KeyRow) -> str | None:
    if not _CASE.fullmatch(row.case) or not _PATIENT.fullmatch(row.patient):
        return f"the row of {row.case or 'no case'} and {row.patient or 'no patient'} holds no pseudonyms"
    if row.set not in SIDES:
        return f"the set of {row.case} is {row.set!r}, but can only be {', '.join(SIDES)}"
    if not row.removed and not (row.source_patient and row.image_hash):
        return f"the row of {row.case} does not tell whose scan it is"
    return None


def _contradiction(rows: Sequence[KeyRow]) -> str | None:
    """Describe what can't be true of all rows at once; None where all agree."""
    there = [row for row in rows if not row.removed]
    for what, pairs in (
        ("the case", [(row.case, index) for index, row in enumerate(rows)]),
        ("the scan of hash", [(row.image_hash, row.case) for row in there]),
        ("the patient", [(row.patient, row.source_patient) for row in there]),
        ("the patient", [(row.source_patient, row.patient) for row in there]),
        ("the patient", [(row.patient, row.set) for row in rows]),
    ):
        known: dict[str, object] = {}
        for name, value in pairs:
            if known.setdefault(name, value) != value:
                return f"{what} {name} stands in it twice, as {known[name]} and as {value}"
    return None
