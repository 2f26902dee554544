"""Two readers and a model: how far each agrees with each other, on the same cases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vmseg_auto.evaluation.bland_altman import FEWEST_FOR_ERROR, reading_error
from vmseg_auto.evaluation.evaluate import Evaluation, evaluate_pairs, find_masks, infer_labels, plain
from vmseg_auto.evaluation.metrics.metric import Metric
from vmseg_auto.evaluation.metrics.score import metrics
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.statistics import FEWEST_PATIENTS, no_interval, summarise_table, without_interval
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.utils.text import UNKNOWN, decimal, with_interval

FIRST, SECOND, BETWEEN = "model, reader 1", "model, reader 2", "reader 2, reader 1"
"""What is compared with what; the latter counts as the reference."""
_SHOWN = ("dice", "nsd", "hd95_mm", "volume_error_ml", "volume_error_abs_ml", "volume_error_percent")


@dataclass(frozen=True)
class Readers:
    """The three comparisons.

    Args:
        comparisons: FIRST, SECOND and BETWEEN, each with the cases that both readers have outlined.
        differences: a row a label, comparison of the model and metric: how much larger a case's value is than between
            the readers; as utils.statistics.summarise_table makes it, with the comparison.
    """

    comparisons: dict[str, Evaluation]
    differences: pd.DataFrame

    def save(self, table: Path) -> tuple[Path, Path]:
        """Write every case of all comparisons (CSV), and summaries and differences (JSON) beside the model's table.

        Args:
            table: the CSV of the model's scores; `_readers` is added to its name.

        Raises:
            VmsegError: a file can't be written.
        """
        cases = table.with_name(f"{table.stem}_readers.csv")
        about = cases.with_suffix(".json")
        rows = [
            {"comparison": name} | {str(column): value for column, value in row.items()}
            for name, one in self.comparisons.items()
            for row in one.table.to_dict("records")
        ]
        write_csv(cases, list(rows[0]), rows)
        write_json(about, self.to_json())
        return cases, about

    def to_json(self) -> dict[str, Any]:
        """Return summaries of the comparisons as those of an evaluation, then the differences."""
        rows = self.differences.to_dict("records")
        return {
            "comparisons": {name: one.about().to_json() for name, one in self.comparisons.items()},
            "differences": {
                "definition": f"value of the comparison minus that of '{BETWEEN}', case by case",
                "rows": [{str(key): plain(value) for key, value in row.items()} for row in rows],
            },
            "measurement_error_percent": self.measurement_errors(),
        }

    def measurement_errors(self) -> dict[str, float | None]:
        """Return label -> per cent by which nine volumes in ten of one reader are off at most; see `reading_error`."""
        return {
            str(label): reading_error(*(list(rows[name]) for name in ("reference_ml", "prediction_ml", "patient")))
            for label, rows in self.comparisons[BETWEEN].table.groupby("label", sort=False)
        }

    def _errors_in_words(self) -> Iterator[str]:
        table = self.comparisons[BETWEEN].table
        for label, error in self.measurement_errors().items():
            rows = table[(table["label"] == label) & ((table["reference_ml"] > 0) | (table["prediction_ml"] > 0))]
            cases, patients = len(rows), rows["patient"].nunique()
            if error is not None:
                yield (
                    f"{label}: by the readers, nine volumes in ten are measured with an error of at most {error:.0f} % "
                    f"({cases} cases of {patients} patients; for masks drawn by hand: vmseg_followup --error "
                    f"{math.ceil(error)})."
                )
            elif cases < FEWEST_FOR_ERROR or patients < FEWEST_PATIENTS:
                yield (
                    f"{label}: no measurement error is given: it takes {FEWEST_FOR_ERROR} cases of {FEWEST_PATIENTS} "
                    f"patients in which a reader outlined it, and here are {cases} of {patients}."
                )
            else:
                yield f"{label}: no measurement error is given: in too many of {cases} cases one reader alone saw it."

    def text(self) -> str:
        """Return a table for the screen: each label's and metric's means, and the differences with intervals."""
        shown = [metric for metric in metrics() if metric.name in _SHOWN]
        between = self.comparisons[BETWEEN]
        cases, patients = between.table["case"].nunique(), between.table["patient"].nunique()
        lines = []
        for label in dict.fromkeys(between.summary["label"]):
            lines.append(f"{label}: {cases} cases of {patients} patients that both readers outlined")
            lines.append(
                f"  {'mean over cases':<28}{FIRST:>17}{SECOND:>17}{'readers':>10}  model minus readers (95 % interval)"
            )
            for metric in shown:
                digits = metric.digits
                means = [_cell(one.summary, label, metric.name)["mean"] for one in self.comparisons.values()]
                apart = [_cell(self.differences, label, metric.name, name) for name in (FIRST, SECOND)]
                told = " | ".join(_mean(row, digits) for row in apart)
                cells = [decimal(mean, digits) for mean in means]
                lines.append(f"  {metric.title:<28}{cells[0]:>17}{cells[1]:>17}{cells[2]:>10}  {told}")
            lines += [
                f"  {name}: {one.text()}"
                for name, compared in self.comparisons.items()
                for one in compared.agreement().get(label, ())
            ]
        lines += without_interval(patients)
        return "\n".join([*lines, *self._errors_in_words()])


def compare_readers(
    predictions: Path,
    references: Path,
    second: Path,
    labels: Mapping[str, int] | None,
    tolerance_mm: float,
    patients: Mapping[str, str],
    jobs: int,
) -> Readers:
    """Compare model and readers on the cases that both readers have outlined.

    Args:
        predictions, references, second: folders of masks of the model and of either reader.
        labels, tolerance_mm, patients, jobs: as for `evaluation.evaluate.evaluate`.

    Raises:
        InputError: no case that both readers and the model have, and as `evaluation.evaluate.evaluate`.
        DatasetError: masks that can't be read, lie on different grids or hold values that are no label; all listed.
    """
    model, one, two = find_masks(predictions), find_masks(references), find_masks(second)
    common = sorted(set(model) & set(one) & set(two))
    if not common:
        raise InputError(
            "none of these masks is of a case that the first reader and the model have",
            file=second,
            remedy="Name the second reader's masks as the first one's.",
        )
    left = sorted(set(one) - set(two))
    notes = [f"The second reader has not outlined: {', '.join(left)}."] if left else []
    known = labels if labels is not None else infer_labels(masks[case] for masks in (one, two) for case in common)
    pairs = {FIRST: (model, one), SECOND: (model, two), BETWEEN: (two, one)}
    found = {
        name: evaluate_pairs(
            {case: (mine[case], other[case]) for case in common},
            known,
            tolerance_mm,
            patients,
            jobs,
            notes=notes,
            readers=name == BETWEEN,
        )
        for name, (mine, other) in pairs.items()
    }
    return Readers(found, _differences(found))


def _differences(found: Mapping[str, Evaluation]) -> pd.DataFrame:
    keys = ["label", "case", "patient"]
    bounds = {metric.name: _change(metric) for metric in metrics()}
    between = found[BETWEEN].table.set_index(keys)[list(bounds)]
    tables = []
    for comparison in (FIRST, SECOND):
        apart = (found[comparison].table.set_index(keys)[list(bounds)] - between).reset_index()
        tables.append(summarise_table(apart, bounds).assign(comparison=comparison))
    return pd.concat(tables, ignore_index=True)


def _change(metric: Metric) -> tuple[float, float]:
    """Return the ends of a difference of two of its values."""
    return metric.low - metric.high, metric.high - metric.low


def _cell(table: pd.DataFrame, label: str, metric: str, comparison: str | None = None) -> dict[str, Any]:
    chosen = table[(table["label"] == label) & (table["metric"] == metric)]
    if comparison is not None:
        chosen = chosen[chosen["comparison"] == comparison]
    return {str(key): value for key, value in chosen.iloc[0].items()}


def _mean(row: Mapping[str, Any], digits: int) -> str:
    """Write a mean difference with its interval, or why there is none."""
    if math.isnan(row["mean"]):
        return UNKNOWN
    return with_interval(row["mean"], row["low_95"], row["high_95"], no_interval(row["patients"]), digits, sign=True)
