"""failed.csv: which scans of a folder of masks have none, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.tables import Text, read_table, write_csv

_TEXT, _MAY_LACK = Text(), Text(optional=True)
COLUMNS = {"case": _TEXT, "problem": _TEXT, "remedy": _MAY_LACK, "file": _MAY_LACK, "inputs": _MAY_LACK}


def write_failures(folder: Path, failed: Sequence[VmsegError], cases: Collection[str], inputs: str) -> None:
    """Write failed.csv, or remove it where no scan is without a mask.

    Args:
        failed: of one command; each names its case.
        cases: all of that command: what an earlier one has told of these no longer holds.
        inputs: its folder of scans, as seen from the folder of masks; no other scans of an earlier command are there.
            Empty where they were fetched and not kept.

    Raises:
        VmsegError: it can't be written.
    """
    kept = [row for row in _rows(folder) if row["case"] not in cases and (row["inputs"] != inputs or not inputs)]
    new = [
        {
            "case": shown(error.case, lines=False),
            "problem": shown(error.problem, lines=False),
            "remedy": error.remedy or "",
            "file": shown(error.file or "", lines=False),
            "inputs": shown(inputs, lines=False),
        }
        for error in failed
    ]
    table = OutputFolder(folder).failures
    if rows := sorted([*kept, *new], key=lambda row: row["case"]):
        write_csv(table, tuple(COLUMNS), rows)
    else:
        table.unlink(missing_ok=True)


def read_failures(folder: Path) -> list[VmsegError]:
    """Read failed.csv, an error for each scan; none where there is no such file.

    Raises:
        InputError: it is no such table.
    """
    return [
        VmsegError(row["problem"], case=row["case"], file=row["file"] or None, remedy=row["remedy"] or None)
        for row in _rows(folder)
    ]


def _rows(folder: Path) -> list[dict[str, str]]:
    table = OutputFolder(folder).failures
    return read_table(table, COLUMNS) if table.is_file() else []
