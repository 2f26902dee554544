"""Numbers and names as a report writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.report.render import NONE
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.statistics import no_interval
from vmseg_auto.utils.text import UNKNOWN, by_axes, decimal, interval, listed, minus_signs
from vmseg_auto.workflows.run_tables import Row

TIMES = " \N{MULTIPLICATION SIGN} "
"""Between sizes along axes."""


def require_named(rows: Iterable[Row], names: Names, table: Path) -> None:
    """Raise InputError where a row's case is none that the report knows."""
    if unknown := sorted({row["case"] for row in rows} - set(names.cases)):
        remedy = "Restore the table, or make it anew by the command that wrote it."
        raise InputError(f"it holds a case that is not in the workspace: {listed(unknown)}", file=table, remedy=remedy)


def shown(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """Write a number with so many decimals.

    >>> shown(0.876), shown(0.1, sign=True)
    ('0.88', '+0.10')
    """
    text = decimal(value, digits, sign)
    return NONE if text == UNKNOWN else minus_signs(text)


def volume(ml: float | None) -> str:
    """Write a volume in mL with two decimals; one that they would make 0 becomes "<0.01".

    >>> volume(1.234), volume(0.001)
    ('1.23', '<0.01')
    """
    return "<0.01" if ml is not None and 0 < ml < 0.005 else shown(ml)


def between(low: float | None, high: float | None, digits: int = 2) -> str:
    """Write an interval.

    >>> between(0.71, 0.92)
    '0.71 to 0.92'
    """
    text = interval(low, high, digits)
    return NONE if text == UNKNOWN else minus_signs(text)


def between_or_why(low: float | None, high: float | None, patients: int, digits: int = 2) -> str:
    """Write the interval of a mean over so many patients, or why there is none."""
    return told if (told := between(low, high, digits)) != NONE else no_interval(patients)


def by(values: Iterable[float]) -> str:
    """Write sizes along axes."""
    return by_axes(values, between=TIMES)


def plain(label: str) -> str:
    """Write a label's name without underscores."""
    return label.replace("_", " ")
