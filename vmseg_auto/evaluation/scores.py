"""What scores come to over cases: metrics.json."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.figure import Figure
from vmseg_auto.utils.json_codec import Stored


@dataclass(frozen=True)
class MeanScore:
    """One metric of one label, over scans. None stands where there is no value.

    Args:
        mean, median: over the scans that have the score.
        low_95, high_95: interval of the mean; None with few patients, or where all have the same score.
        n, n_missing: scans that have the score and that lack it.
        patients: of the scans that have it.
    """

    mean: float | None
    median: float | None
    low_95: float | None
    high_95: float | None
    n: int
    n_missing: int
    patients: int


@dataclass(frozen=True)
class MetricNote:
    """What a metric is, and what computed it."""

    definition: str
    computed_by: str


@dataclass(frozen=True)
class ScoreSummary(Stored):
    """An evaluation in sum.

    Args:
        summary: label -> metric -> what it comes to; of several labels the mean over them stands last.
        cases, patients: scored.
        tolerance_mm: of the NSD.
        interval: what the intervals are, in words.
        metrics: name -> what it is.
        agreement: label -> how far predicted and reference volumes agree (ICC, CCC).
        empty_masks: how scores of empty masks are counted, in words.
        versions: package -> version.
        notes: what was left out, in words.
    """

    summary: dict[str, dict[str, MeanScore]]
    cases: int
    patients: int
    tolerance_mm: float
    interval: str
    metrics: dict[str, MetricNote]
    agreement: dict[str, tuple[Figure, ...]]
    empty_masks: str
    versions: dict[str, str | None]
    notes: tuple[str, ...]
    schema: int = 2

    def check(self, where: str) -> None:
        if not self.summary:
            raise InputError(f"{where} tells no score", remedy="Score the masks again.")
        for label, values in self.summary.items():
            if lacking := [name for name in self.metrics if name not in values]:
                raise InputError(f"{where} lacks {lacking[0]} of {label}", remedy="Score the masks again.")
