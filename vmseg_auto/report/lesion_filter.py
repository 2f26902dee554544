"""What a run's lesion filter is worth on validation scans, in tables and a chart."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.data.runs import Run
from vmseg_auto.figures.charts import Axis, Chart, Dot, Line
from vmseg_auto.report.figures import figure_table
from vmseg_auto.report.render import Table
from vmseg_auto.report.words import plain, shown
from vmseg_auto.selection.lesion_filter_record import LabelFilter, Level
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.run_tables import read_filter_figures

_COLUMNS = (
    "Kept from a probability of", "Components", "of them touch a lesion", "Lesions found", "Precision per lesion",
    "Sensitivity per lesion", "Dice", "Scans left empty",
)  # fmt: skip


@dataclass(frozen=True)
class FilterPart:
    """One label's lesion filter.

    Args:
        words: whether there is one, and what it leaves out.
        levels: what leaving out would come to.
        figures: what the probabilities are worth; None without a filter.
        reliability: probabilities and the shares that came; None without a filter.
    """

    words: str
    levels: Table
    figures: Table | None
    reliability: Chart | None


def lesion_filters(run: Run) -> tuple[FilterPart, ...]:
    """Return a part for each label; none where a run has learnt no filter yet."""
    if not run.lesion_filter.is_file():
        return ()
    return tuple(_part(one) for one in read_filter_figures(run).labels)


def _part(one: LabelFilter) -> FilterPart:
    caption = f"{plain(one.label)}: components by their probability of being a lesion; scores are means over patients"
    figures = figure_table(f"{plain(one.label)}: what p_lesion is worth, all out of fold", one.figures)
    return FilterPart(
        words=f"{one.reason.replace(one.label, plain(one.label), 1)}.",
        levels=Table(caption, _COLUMNS, tuple(_cells(level, one) for level in one.levels)),
        figures=figures if one.figures else None,
        reliability=_chart(one) if one.reliability else None,
    )


def _cells(level: Level, one: LabelFilter) -> tuple[str, ...]:
    chosen = " (chosen)" if level.least == one.chosen else ""
    return (
        f"{level.least:g}{chosen}",
        str(level.components),
        str(level.touching),
        f"{level.lesions_found} of {one.lesions}",
        shown(level.precision, 3),
        shown(level.recall, 3),
        shown(level.dice, 3),
        str(level.emptied),
    )


def _chart(one: LabelFilter) -> Chart:
    dots = tuple(
        Dot(
            bin.probability,
            bin.share,
            "first",
            f"{counted(bin.components, 'component')}: said {shown(bin.probability)}, came {shown(bin.share)}",
        )
        for bin in one.reliability
    )
    return Chart(
        f"Probability that a component is a lesion, and the share that was (reliability curve), {plain(one.label)}",
        "On the line, as many components touch a lesion as was said.",
        Axis("p_lesion, by the other folds' patients", 0.0, 1.0),
        Axis("share that touches a lesion", 0.0, 1.0),
        lines=(
            Line(((0.0, 0.0), (1.0, 1.0)), "second"),
            Line(tuple((bin.probability, bin.share) for bin in one.reliability), "first"),
        ),
        dots=dots,
        legend={"line first": "what came", "line second": "as was said"},
    )
