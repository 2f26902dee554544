"""Figures with their intervals as a table."""

from __future__ import annotations

from collections.abc import Sequence

from vmseg_auto.report.render import Table
from vmseg_auto.report.words import between, shown
from vmseg_auto.utils.figure import Figure

_COLUMNS = ("Figure", "Value", "95 % interval", "Scans", "Patients", "What it is")


def figure_table(caption: str, figures: Sequence[Figure]) -> Table:
    """Return a table with a row a figure; where there is no interval, the reason stands in its place."""
    rows = tuple(
        (
            one.name,
            shown(one.value, 3),
            one.why or between(one.low_95, one.high_95, 3),
            str(one.scans),
            str(one.patients),
            one.definition,
        )
        for one in figures
    )
    return Table(caption, _COLUMNS, rows)
