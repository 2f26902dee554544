"""Volumes of validation cases: how far they lie from the outlined ones, and what their intervals hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.bland_altman import FEWEST_FOR_LIMITS, FEWEST_FOR_NORMAL, Agreement, agreement
from vmseg_auto.figures.charts import Band, Chart, Dot, Line, axis_of
from vmseg_auto.figures.validation_charts import volume_chart
from vmseg_auto.report.words import between, plain, require_named, shown, volume
from vmseg_auto.selection.validation_volumes import is_covered
from vmseg_auto.utils.statistics import FEWEST_PATIENTS
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.run_tables import CaseScore, read_validation_volumes


def volume_agreements(rows: Sequence[CaseScore], names: Names) -> tuple[tuple[Chart | None, str], ...]:
    """Return for each label a Bland-Altman plot and what it says, or why there is none."""
    labels = dict.fromkeys(row.label for row in rows)
    return tuple(_agreement(label, [row for row in rows if row.label == label], names) for label in labels)


def _agreement(label: str, rows: Sequence[CaseScore], names: Names) -> tuple[Chart | None, str]:
    known = [row for row in rows if isfinite(row.values["reference_ml"])]  # a mask annotated in part tells no volume
    pairs = [(row, row.values["reference_ml"], row.values["prediction_ml"]) for row in known]
    found = agreement([a for _, a, _ in pairs], [b for _, _, b in pairs], [row.patient for row in known])
    name = plain(label).capitalize()
    if found is None:
        patients = len({row.patient for row, a, b in pairs if a + b > 0})
        told = f"it takes {FEWEST_PATIENTS} patients with a volume, and here are {patients}"
        return None, f"{name}: no agreement of volumes is given: {told}."
    dots = tuple(
        Dot((a + b) / 2, b / a if found.ratio else b - a, "first", f"{names.cases[row.case]}: {_both(a, b)}")
        for row, a, b in pairs
        if (min(a, b) > 0 if found.ratio else a + b > 0)
    )
    words = f"{name}: {_in_words(found)} {_left_out(found, pairs)}".rstrip()
    x = axis_of("mean of outlined and predicted volume (mL)", [dot.x for dot in dots], log=True)
    title = "predicted / outlined volume" if found.ratio else "difference (mL)"
    y = axis_of(title, [found.low, found.high, *(dot.y for dot in dots)], log=found.ratio)
    level = [(value, ((x.low, value), (x.high, value))) for value in (found.bias, found.low, found.high)]
    what = "over" if found.ratio else "minus"
    chart = Chart(
        f"Bland-Altman plot of {plain(label)}: predicted {what} outlined volume",
        words,
        x,
        y,
        bands=(Band(tuple((x, found.low, found.high) for x in (x.low, x.high)), "agreement"),),
        lines=tuple(Line(points, "first" if value == found.bias else "limit") for value, points in level),
        dots=dots,
        legend={"line first": "bias", "line limit": "limits of agreement"},
    )
    return chart, words


def _in_words(found: Agreement) -> str:
    digits, unit = (2, "times the outlined one") if found.ratio else (1, "mL")

    def told(value: float, unit: str = "") -> str:
        return f"{shown(value, digits, sign=not found.ratio)} {unit}".rstrip()

    ends = between(*found.bias_ends, digits)
    bias = (
        f"errors grow with the volume and are given as ratios: on average the predicted one is {told(found.bias, unit)}"
        if found.ratio
        else f"on average the predicted volume differs from the outlined one by {told(found.bias, unit)}"
    )
    own = (
        f" (without intervals of their own: these take {FEWEST_FOR_NORMAL} scans of {FEWEST_FOR_LIMITS} patients, and "
        "errors that look normal)"
    )
    if found.low_ends and found.high_ends:
        ends_of_both = f"{between(*found.low_ends, digits)}, and {between(*found.high_ends, digits)}"
        own = f" (95 % intervals of the limits: {ends_of_both})"
    over = f"{counted(found.pairs, 'scan')} of {counted(found.patients, 'patient')}"
    return (
        f"{bias} (95 % interval of this bias {ends}). The limits of agreement, between which 95 % of new scans are to "
        f"be expected, are {told(found.low)} and {told(found.high, unit)}{own}. Estimated from {over}."
    )


def _left_out(found: Agreement, pairs: Sequence[tuple[CaseScore, float, float]]) -> str:
    parts = []
    if found.empty:
        parts.append(f"{counted(found.empty, 'scan')} without a volume in either")
    if found.ratio and found.one_empty:
        largest = max(max(a, b) for _, a, b in pairs if min(a, b) == 0)
        parts.append(
            f"{counted(found.one_empty, 'scan')} in which the outline or the prediction is empty, so that there "
            f"is no ratio (the largest volume: {volume(largest)} mL)"
        )
    return f"Left out: {'; '.join(parts)}." if parts else ""


def _both(outlined: float, predicted: float) -> str:
    return f"outlined {volume(outlined)} mL, predicted {volume(predicted)} mL"


def volume_intervals(run: Run, names: Names) -> tuple[Chart, str] | None:
    """Draw predicted and outlined volumes with their intervals; None where no interval is known."""
    told = read_validation_volumes(run) if run.volumes.is_file() else []
    require_named(told, names, run.volumes)
    columns = ("reference_ml", "volume_ml", "volume_low_ml", "volume_high_ml")
    rows = [row for row in told if isfinite(row["volume_low_ml"]) and isfinite(row["volume_high_ml"])]
    if not rows:
        return None
    inside = sum(is_covered(row) for row in rows)
    words = (
        f"{inside} of {len(rows)} outlined volumes, of {len({row['patient'] for row in rows})} patients, lie in the "
        "interval estimated from the other patients' scans; nine in ten are to be expected there, over all scans."
    )
    dots = [
        f"{names.cases[row['case']]}: {_both(row['reference_ml'], row['volume_ml'])}, interval "
        f"{volume(row['volume_low_ml'])} to {volume(row['volume_high_ml'])}"
        for row in rows
    ]
    return volume_chart(np.array([[row[column] for row in rows] for column in columns]), dots), words
