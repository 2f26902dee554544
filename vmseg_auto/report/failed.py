"""Scans of a folder of predictions that have no mask, or whose mask can't be shown, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vmseg_auto.data.redaction import redaction_of
from vmseg_auto.report.render import Table
from vmseg_auto.utils.errors import DatasetError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.redaction import Redaction

_COLUMNS = ("Scan", "What is wrong", "What to do")


def failed_table(errors: Sequence[VmsegError], names: Mapping[str, str], folders: Sequence[Path] | None) -> Table:
    """Return a table with a row for each scan.

    Args:
        errors: each of a case.
        names: case -> what it is called in the report.
        folders: of masks and scans, whose names must not stand in the report; None where they may.
    """
    hidden = Redaction(names)
    others = redaction_of({"FOLDER": [str(folder) for folder in folders]}) if folders is not None else Redaction({})
    rows = [
        (names[error.case or ""], *(others(hidden(text)) for text in (error.problem, error.remedy or "")))
        for error in errors
    ]
    return Table("Scans that failed", _COLUMNS, tuple(sorted(rows)))


def require_some(shown: Sequence[object], errors: Sequence[VmsegError], folder: Path) -> None:
    """Raise what is wrong where nothing can be shown."""
    if errors and not shown:
        raise errors[0] if len(errors) == 1 else DatasetError(f"{folder}: predictions can't be shown", errors)


def require_all(errors: Sequence[VmsegError], scans: int) -> None:
    """Raise SomeCasesFailedError where a report that is written tells of scans that failed."""
    if errors:
        problem = f"{len(errors)} of {scans} scans failed, as the report tells"
        raise SomeCasesFailedError(problem, errors)
