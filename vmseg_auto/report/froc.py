"""Lesions found against false ones at every threshold (FROC), as a table and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from vmseg_auto.data.runs import Run
from vmseg_auto.figures.charts import Axis, Chart, Dot, Line, axis_of
from vmseg_auto.models.selection_record import PLAIN_THRESHOLD
from vmseg_auto.report.render import Table
from vmseg_auto.report.words import between, plain, shown
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.run_tables import Row, read_froc

_COLUMNS = ("Threshold", "Lesions found", "Sensitivity", "95 % interval", "False positives per scan", "95 % interval")


def froc(run: Run) -> tuple[tuple[Table, Chart], ...]:
    """Return a table and a chart for each label with a lesion; none where a run has not counted them."""
    rows = read_froc(run) if run.froc.is_file() else []
    labels = dict.fromkeys(row["label"] for row in rows if row["lesions"])
    return tuple(_of_label(label, [row for row in rows if row["label"] == label]) for label in labels)


def _of_label(label: str, rows: Sequence[Row]) -> tuple[Table, Chart]:
    first = rows[0]
    told = (
        f"{plain(label)}: {counted(first['lesions'], 'outlined lesion')} of "
        f"{counted(first['lesion_patients'], 'patient')}, in {counted(first['scans'], 'scan')} of "
        f"{counted(first['patients'], 'patient')}"
    )
    return Table(told, _COLUMNS, tuple(_cells(row) for row in rows)), _chart(label, rows)


def _cells(row: Row) -> tuple[str, ...]:
    false = "false_positives_per_scan"
    return (
        shown(row["threshold"], 1),
        f"{row['found']} of {row['lesions']}",
        shown(row["sensitivity"], 3),
        _interval(row, "sensitivity", row["no_sensitivity_interval"], 3),
        shown(row[false]),
        _interval(row, false, row["no_false_positives_interval"], 2),
    )


def _interval(row: Row, name: str, why: str, digits: int) -> str:
    return why or between(row[f"{name}_low"], row[f"{name}_high"], digits)


def _chart(label: str, rows: Sequence[Row]) -> Chart:
    points = [(row["false_positives_per_scan"], row["sensitivity"]) for row in rows]
    plain_one = next(row for row in rows if row["threshold"] == PLAIN_THRESHOLD)
    words = (
        f"{plain(label)}: at the threshold of {PLAIN_THRESHOLD:g}, {plain_one['found']} of "
        f"{counted(plain_one['lesions'], 'lesion')} are found with {shown(plain_one['false_positives_per_scan'])} "
        "false positives per scan."
    )
    dots = tuple(
        Dot(x, y, "first", f"threshold {shown(row['threshold'], 1)}: {shown(y)} found, {shown(x)} false per scan")
        for (x, y), row in zip(points, rows, strict=True)
    )
    bars = tuple(
        Line(((x, row["sensitivity_low"]), (x, row["sensitivity_high"])), "bar")
        for (x, _), row in zip(points, rows, strict=True)
        if isfinite(row["sensitivity_low"])
    )
    return Chart(
        f"Lesions found by false positives per scan (FROC), {plain(label)}",
        words,
        axis_of("false positives per scan", [0.0, *(x for x, _ in points)]),
        Axis("sensitivity per lesion", 0.0, 1.0),
        lines=(*bars, Line(tuple(points), "first")),
        dots=dots,
        legend={"line first": "thresholds 0.1 (right) to 0.9", "line bar": "95 % interval"} if bars else {},
    )
