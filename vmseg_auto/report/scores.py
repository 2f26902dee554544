"""Cross-validated scores of a run: every case predicted by the fold that did not know its patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean, median

import numpy as np

from vmseg_auto.data.dataset import Splits
from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.metrics.score import metrics
from vmseg_auto.evaluation.scores import MeanScore
from vmseg_auto.figures.charts import Axis, Chart, Dot, Line, axis_of
from vmseg_auto.figures.validation_charts import expected_dice_chart
from vmseg_auto.report.figures import figure_table
from vmseg_auto.report.froc import froc
from vmseg_auto.report.lesion_filter import FilterPart, lesion_filters
from vmseg_auto.report.render import NONE, Fact, Table
from vmseg_auto.report.volumes import volume_agreements, volume_intervals
from vmseg_auto.report.words import between_or_why, plain, require_named, shown, volume
from vmseg_auto.utils.statistics import ALL_LABELS, without_interval
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.run_tables import CaseScore, read_confidence, read_confidence_figures, read_cross_validation

_LISTED = ("dice", "nsd", "hd95_mm", "reference_ml", "prediction_ml", "volume_error_ml", "lesion_recall")

_HEADLINE = (
    ("dice", "Dice", "overlap of model and reader, 1 is perfect"),
    ("lesion_recall", "Sensitivity, per lesion", "share of the outlined lesions that the model touches"),
    ("lesion_precision", "Precision, per lesion", "share of the model's lesions that the reader outlined"),
    ("false_positive_lesions", "False positives", "lesions of the model that touch nothing outlined"),
    ("volume_error_abs_ml", "Volume error", "whether too large or too small"),
)
"""Metric, what it is called, and what it means."""


@dataclass(frozen=True)
class Scores:
    """The cross-validation.

    Args:
        headline: the figures that count most.
        summary: a table for each label.
        definitions: of each metric.
        interval: what the intervals are, or why there are none, in sentences.
        charts: Dice by volume and by fold.
        agreements: of the volumes of each label, as a chart (None with too few patients) and in words.
        intervals: of volumes, and how many hold the outlined one; None where they are not known.
        concordance: of volumes, a table for each label.
        confidence: expected and true Dice; None where it is not known.
        certainty: what the certainty is worth, in a table and a chart; None where it was not summed up.
        froc: lesions found by false ones at every threshold, as a table and a chart for each label; none where they
            were not counted.
        filters: the lesion filter of each label; none where none was learnt.
        cases: a row a case and label, the lowest Dice first.
        dice: case -> mean over labels.
    """

    headline: tuple[Fact, ...]
    summary: tuple[Table, ...]
    definitions: tuple[Fact, ...]
    interval: str
    charts: tuple[Chart, ...]
    agreements: tuple[tuple[Chart | None, str], ...]
    intervals: tuple[Chart, str] | None
    concordance: tuple[Table, ...]
    confidence: tuple[Chart, str] | None
    certainty: tuple[Table, Chart] | None
    froc: tuple[tuple[Table, Chart], ...]
    filters: tuple[FilterPart, ...]
    cases: Table
    dice: Mapping[str, float]


def scores(run: Run, splits: Splits, names: Names, patients: Mapping[str, str]) -> Scores | None:
    """Describe what a run's cross-validation came to; None where it has none yet. `patients`: case id -> patient."""
    if (found := read_cross_validation(run)) is None:
        return None
    rows, told = found
    dice = {case: fmean(row.values["dice"] for row in rows if row.case == case) for case in {row.case for row in rows}}
    return Scores(
        headline=_headline(told.summary),
        summary=tuple(_summary(label, values, told.tolerance_mm) for label, values in told.summary.items()),
        definitions=tuple(Fact(metric.heading(told.tolerance_mm), metric.meaning) for metric in metrics()),
        interval=" ".join([f"Interval: {told.interval}.", *without_interval(told.patients)]),
        charts=(_by_volume(rows, names), _by_fold(dice, splits, names)),
        agreements=volume_agreements(rows, names),
        intervals=volume_intervals(run, names),
        concordance=tuple(
            figure_table(f"{plain(label)}: predicted and outlined volumes", figures)
            for label, figures in told.agreement.items()
        ),
        confidence=_confidence(run, names),
        certainty=_certainty(run),
        froc=froc(run),
        filters=lesion_filters(run),
        cases=_cases(rows, names, patients, told.tolerance_mm),
        dice=dice,
    )


def _headline(summary: Mapping[str, Mapping[str, MeanScore]]) -> tuple[Fact, ...]:
    values = summary.get(ALL_LABELS) or next(iter(summary.values()))
    facts, units = [], {metric.name: metric.unit for metric in metrics()}
    for name, title, note in _HEADLINE:
        one = values[name]
        interval = between_or_why(one.low_95, one.high_95, one.patients)
        over = f"{counted(one.n, 'scan')} of {counted(one.patients, 'patient')}"
        facts.append(
            Fact(title, f"{shown(one.mean)} {units[name]}".rstrip(), f"{note}; {over}; 95 % interval {interval}")
        )
    return tuple(facts)


def _summary(label: str, values: Mapping[str, MeanScore], tolerance_mm: float) -> Table:
    rows = []
    for metric in metrics():
        one = values[metric.name]
        digits = metric.digits
        interval = between_or_why(one.low_95, one.high_95, one.patients, digits) if one.n else NONE
        scans = f"{one.n} of {one.n + one.n_missing}" if one.n_missing else str(one.n)
        cells = shown(one.mean, digits), interval, shown(one.median, digits), scans, str(one.patients)
        rows.append((metric.heading(tolerance_mm), *cells))
    columns = ("Metric", "Mean over scans", "95 % interval", "Median", "Scans", "Patients")
    return Table(plain(label), columns, tuple(rows))


def _by_volume(rows: Sequence[CaseScore], names: Names) -> Chart:
    there = [row for row in rows if row.values["reference_ml"] > 0]
    dots = tuple(
        Dot(row.values["reference_ml"], row.values["dice"], "first", f"{names.cases[row.case]}: {_dice_words(row)}")
        for row in there
    )
    return Chart(
        "Dice by lesion volume",
        f"Dice of {counted(len(there), 'outline')} over volume: {_thirds(there)}.",
        axis_of("outlined volume (mL)", [dot.x for dot in dots], log=True),
        Axis("Dice", 0.0, 1.0),
        dots=dots,
    )


def _thirds(rows: Sequence[CaseScore]) -> str:
    """Describe the mean Dice of small, middle and large lesions, of those whose volume is known."""
    known = (row for row in rows if isfinite(row.values["reference_ml"]))
    ordered = sorted(known, key=lambda row: row.values["reference_ml"])
    size = len(ordered) // 3
    if not size:
        return "too few to compare small and large lesions"
    parts = ("smallest", ordered[:size]), ("middle", ordered[size:-size]), ("largest", ordered[-size:])
    return ", ".join(f"{shown(fmean(r.values['dice'] for r in part))} in the {name} third" for name, part in parts)


def failures(rows: Sequence[CaseScore]) -> str:
    """Describe where the model fails."""
    missed = {row.case for row in rows if row.values["reference_lesions"] > 0 and row.values["dice"] == 0}
    return f"{counted(len(missed), 'scan')} whose outline the model misses wholly. Mean Dice: {_thirds(rows)}."


def _by_fold(dice: Mapping[str, float], splits: Splits, names: Names) -> Chart:
    dots, lines = [], []
    for number, fold in enumerate(splits.folds):
        own = sorted((dice[case], case) for case in fold.val if case in dice)
        for place, (value, case) in enumerate(own, 1):
            across = number - 0.3 + 0.6 * place / (len(own) + 1)
            dots.append(Dot(across, value, "first", f"{names.cases[case]}: Dice {shown(value)}"))
        if own:
            middle = median(value for value, _ in own)
            lines.append(Line(((number - 0.32, middle), (number + 0.32, middle)), "second"))
    return Chart(
        "Dice by fold; the line is the median",
        "Dice of each fold's validation scans.",
        axis_of("fold", [-0.5, len(splits.folds) - 0.5]),
        Axis("Dice", 0.0, 1.0),
        lines=tuple(lines),
        dots=tuple(dots),
    )


def _confidence(run: Run, names: Names) -> tuple[Chart, str] | None:
    rows = read_confidence(run) if run.confidence.is_file() else []
    require_named(rows, names, run.confidence)
    told = [row for row in rows if isfinite(row["expected_dice"])]
    if not told:
        return None
    inside = sum(row["expected_dice_low"] <= row["dice"] <= row["expected_dice_high"] for row in told)
    words = (
        f"{inside} of {len(told)} scans, of {len({row['patient'] for row in rows})} patients, lie in the interval that "
        "was estimated without their patient; four in five are to be expected there."
    )
    dots = [
        f"{names.cases[row['case']]}: expected {shown(row['expected_dice'])}, found {shown(row['dice'])}"
        for row in told
    ]
    columns = ("expected_dice", "expected_dice_low", "expected_dice_high", "dice")
    chart = expected_dice_chart(np.array([[row[column] for row in told] for column in columns]), dots)
    return chart, words


def _certainty(run: Run) -> tuple[Table, Chart] | None:
    if not run.confidence_figures.is_file():
        return None
    told = read_confidence_figures(run)
    points = tuple((n / len(told.kept_dice), dice) for n, dice in enumerate(told.kept_dice, 1))
    last = points[-1][1]
    words = (
        f"Mean Dice of the most certain scans of {len(points)}: {shown(last)} of all, "
        f"{shown(points[(len(points) - 1) // 2][1])} of the more certain half."
    )
    chart = Chart(
        "Mean Dice of the scans that are kept, the most certain first (risk-coverage curve)",
        words,
        Axis("share of the scans that is kept", 0.0, 1.0),
        Axis("mean Dice", 0.0, 1.0),
        lines=(Line(points, "first"), Line(((0.0, last), (1.0, last)), "second")),
        legend={"line first": f"ordered by certainty ({told.certainty})", "line second": "in no order"},
    )
    return figure_table("What the certainty is worth, all out of fold", told.figures), chart


def _cases(rows: Sequence[CaseScore], names: Names, patients: Mapping[str, str], tolerance_mm: float) -> Table:
    known = {metric.name: metric for metric in metrics()}
    several = len({row.label for row in rows}) > 1
    made = []
    for row in sorted(rows, key=lambda row: row.values["dice"] if isfinite(row.values["dice"]) else nan):
        label = (plain(row.label),) if several else ()
        cells = (shown(row.values[name], known[name].digits) for name in _LISTED)
        made.append((names.cases[row.case], names.patients[patients[row.case]], *label, *cells))
    headings = (known[name].heading(tolerance_mm) for name in _LISTED)
    columns = ("Scan", "Patient", *(["Label"] if several else []), *headings)
    return Table("Every validation scan, the lowest Dice first", columns, tuple(made))


def _dice_words(row: CaseScore) -> str:
    return f"Dice {shown(row.values['dice'])} at {volume(row.values['reference_ml'])} mL"
