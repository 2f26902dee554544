"""The key to a report's pseudonyms, in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vmseg_auto.data.pseudonyms import Names, pseudonyms
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import read_csv, write_csv

COLUMNS = ("pseudonym", "case", "patient")


def read_key(path: Path) -> dict[str, str]:
    """Read case id -> pseudonym; empty where there is no key yet.

    Raises:
        InputError: the file is no such key.
    """
    if not path.is_file():
        return {}
    rows = read_csv(path)
    if any(not row.get(column) for row in rows for column in COLUMNS):
        remedy = f"It must have the columns {', '.join(COLUMNS)}; restore it, or remove it to give new pseudonyms."
        raise InputError("this is no key to pseudonyms", file=path, remedy=remedy)
    return {row["case"]: row["pseudonym"] for row in rows}


def keep_key(path: Path, patients: Mapping[str, str]) -> Names:
    """Return pseudonyms for these cases: those that the key at `path` knows, new ones for the others, which are added
    to it.

    Args:
        path: of the key, a CSV table.
        patients: case id -> patient.

    Raises:
        InputError: the file is no such key.
        VmsegError: it can't be written.
    """
    known = read_key(path)
    named = pseudonyms(patients, known)
    rows = {row["case"]: row for row in (read_csv(path) if known else [])}
    for case, patient in patients.items():
        told = {"pseudonym": named.cases[case], "case": case, "patient": patient}
        rows[case] = rows.get(case, {}) | told  # columns that a person has added stay
    columns = dict.fromkeys([*COLUMNS, *(column for row in rows.values() for column in row)])
    write_csv(path, list(columns), sorted(rows.values(), key=lambda row: row["pseudonym"]))
    return named
