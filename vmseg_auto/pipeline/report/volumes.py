"""Volumes of held-out cases: how far they lie from the outlined ones, and what their intervals hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from vmseg_auto.core.pseudonyms import Names
from vmseg_auto.core.runs import Run
from vmseg_auto.ops.bland_altman import agreement
from vmseg_auto.ops.charts import Band, Chart, Dot, Line, axis_of
from vmseg_auto.pipeline.report.words import between, require_named, shown, volume
from vmseg_auto.pipeline.run_tables import CaseScore, Row, read_held_out_volumes
from vmseg_auto.pipeline.volumes import is_covered


def volume_agreement(rows: Sequence[CaseScore], names: Names) -> tuple[Chart, str] | None:
    """A Bland-Altman plot, and what it says; None with too few cases."""
    pairs = [(row, row.values["reference_ml"], row.values["prediction_ml"]) for row in rows]
    found = agreement([first for _, first, _ in pairs], [second for _, _, second in pairs])
    if found is None:
        return None
    dots = tuple(
        Dot((a + b) / 2, b - a, "first", f"{names.cases[row.case]}: outlined {volume(a)} mL, predicted {volume(b)} mL")
        for row, a, b in pairs
        if a + b > 0
    )
    x = axis_of("mean of outlined and predicted volume (mL)", [dot.x for dot in dots], log=True)
    y = axis_of("difference (mL)", [found.low, found.high, *(dot.y for dot in dots)])
    level = [(value, ((x.low, value), (x.high, value))) for value in (found.bias, found.low, found.high)]
    words = (
        f"On average the model's volume differs from the outlined one by {shown(found.bias, 1, sign=True)} mL "
        f"(95 % interval of this bias {between(found.bias - found.bias_error, found.bias + found.bias_error, 1)}). "
        f"The limits of agreement, between which 95 % of differences are to be expected, are "
        f"{shown(found.low, 1)} and {shown(found.high, 1)} mL (each \N{PLUS-MINUS SIGN}{shown(found.limit_error, 1)})."
    )
    chart = Chart(
        "Bland-Altman plot: predicted minus outlined volume",
        words,
        x,
        y,
        bands=(Band(tuple((x, found.low, found.high) for x in (x.low, x.high)), "agreement"),),
        lines=tuple(Line(points, "first" if value == found.bias else "limit") for value, points in level),
        dots=dots,
        legend={"first": "bias", "limit": "limits of agreement"},
    )
    return chart, words


def volume_intervals(run: Run, names: Names) -> tuple[Chart, str] | None:
    """Measured volumes with their intervals over the outlined ones; None where no interval is known."""
    told = read_held_out_volumes(run) if run.volumes.is_file() else []
    require_named(told, names, run.volumes)
    rows = [row for row in told if isfinite(row["volume_low_ml"]) and isfinite(row["volume_high_ml"])]
    drawn = [one for row in rows if min((one := _Interval.of(row, names)).outlined, one.predicted) > 0]
    if not drawn:
        return None
    inside = sum(is_covered(row) for row in rows)
    words = (
        f"{inside} of {len(rows)} outlined volumes, of {len({row['patient'] for row in rows})} patients, lie in the "
        "interval that the other patients' scans told; nine in ten are to be expected there."
    )
    x = axis_of("outlined volume (mL)", [one.outlined for one in drawn], log=True)
    y = axis_of("predicted volume (mL)", [v for one in drawn for v in (one.predicted, one.high)], log=True)
    ends = max(x.low, y.low), min(x.high, y.high)
    same = Line(((ends[0], ends[0]), (ends[1], ends[1])), "second")
    bars = [Line(((one.outlined, max(one.low, y.low)), (one.outlined, one.high)), "bar") for one in drawn]
    dots = tuple(Dot(one.outlined, one.predicted, "first", one.words) for one in drawn)
    legend = {"bar": "interval of nine in ten", "second": "as outlined"}
    return Chart("Volumes with their intervals", words, x, y, lines=(*bars, same), dots=dots, legend=legend), words


@dataclass(frozen=True)
class _Interval:
    """A row of volumes.csv, in mL."""

    outlined: float
    predicted: float
    low: float
    high: float
    words: str

    @classmethod
    def of(cls, row: Row, names: Names) -> _Interval:
        columns = ("reference_ml", "volume_ml", "volume_low_ml", "volume_high_ml")
        outlined, predicted, low, high = (row[name] for name in columns)
        words = f"{names.cases[row['case']]}: {volume(predicted)} mL, {volume(low)} to {volume(high)}"
        return cls(outlined, predicted, low, high, words)
