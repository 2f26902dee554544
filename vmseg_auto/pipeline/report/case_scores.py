"""Rows of a run's cross-validated metrics.csv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmseg_auto.core.runs import Run
from vmseg_auto.io.tables import read_csv
from vmseg_auto.ops.metrics import METRICS
from vmseg_auto.pipeline.report.words import value_of


@dataclass(frozen=True)
class CaseScore:
    """A row of metrics.csv: a case and label."""

    case: str
    patient: str
    label: str
    values: Mapping[str, float]


def read_scores(run: Run) -> list[CaseScore]:
    """The rows of a run's cross-validated metrics.csv.

    Raises:
        InputError: the file can't be read.
    """
    found = []
    for row in read_csv(run.cross_validation / "metrics.csv"):
        values = {metric.name: value_of(row.get(metric.name)) for metric in METRICS}
        found.append(CaseScore(row["case"], row["patient"], row["label"], values))
    return found
