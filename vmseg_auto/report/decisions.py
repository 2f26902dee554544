"""What readers have decided on predictions, month by month: whether the model still fits its hospital."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import get_args

from vmseg_auto.data.reviews import Decision, Review
from vmseg_auto.report.render import NONE, Table
from vmseg_auto.report.words import shown
from vmseg_auto.workflows.prediction_record import PredictionRecord

_COLUMNS = (
    "Month", "Cases", *(decision.capitalize() for decision in get_args(Decision)), "Dice of those corrected (median)",
    "Minutes (median)",
)  # fmt: skip


def decisions_table(records: Sequence[PredictionRecord]) -> Table:
    """Return a row a month with the latest decision on each case; no row where nobody has decided.

    The Dice is that of the prediction with the mask that a reader made of it.
    """
    latest = [record.reviews[-1] for record in records if record.reviews]
    months = sorted({review.when[:7] for review in latest})
    rows = tuple(_row(month, [review for review in latest if review.when.startswith(month)]) for month in months)
    return Table("Decisions of readers by month", _COLUMNS, rows)


def _row(month: str, reviews: Sequence[Review]) -> tuple[str, ...]:
    counts = (sum(review.decision == decision for review in reviews) for decision in get_args(Decision))
    dice = [review.dice for review in reviews if review.decision == "corrected" and review.dice is not None]
    minutes = median(review.minutes for review in reviews)
    middle = shown(median(dice)) if dice else NONE
    return (month, str(len(reviews)), *map(str, counts), middle, shown(minutes, 1))
