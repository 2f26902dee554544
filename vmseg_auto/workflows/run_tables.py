"""The tables of a run, and of predictions: what their columns hold, for all who read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.evaluation.confidence import Light
from vmseg_auto.evaluation.confidence_record import ConfidenceFigures
from vmseg_auto.evaluation.metrics.score import metrics
from vmseg_auto.evaluation.scores import ScoreSummary
from vmseg_auto.selection.froc import FROC_THRESHOLDS
from vmseg_auto.selection.lesion_filter_record import FilterFigures
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import Column, Number, Text, Whole, read_table

_SUM_UP = "Delete the folder cross_validation: `vmseg_train` with all folds sums it up again."
_PREDICT = "Run `vmseg_predict` again with the same options: it writes the table anew and predicts nothing twice."
_SELECT = "Run `vmseg_select`, which writes it again."
_SHARE, _NO_SHARE = Number(0, 1), Number(0, 1, optional=True)
_ML, _NO_ML = Number(0), Number(0, optional=True)
_ANY = Number(optional=True)
_LIGHT = Text(optional=True, among=get_args(Light))

Row = Mapping[str, Any]


@dataclass(frozen=True)
class CaseScore:
    """A row of metrics.csv: a case and label."""

    case: str
    patient: str
    label: str
    values: Mapping[str, float]


def read_scores(table: Path, remedy: str = _SUM_UP) -> list[CaseScore]:
    """Read the rows of metrics.csv.

    Args:
        table: the file.
        remedy: what to do where it is damaged.

    Raises:
        InputError: the table is missing or damaged, or holds no row.
    """
    scores: dict[str, Column] = {metric.name: Number(*metric.bounds, metric.may_lack) for metric in metrics()}
    columns: dict[str, Column] = {"case": Text(), "patient": Text(), "label": Text(), **scores}
    rows = read_table(table, columns, key=("case", "label"), remedy=remedy)
    if not rows:
        raise InputError("the table holds no case", file=table, remedy=remedy)
    return [CaseScore(row["case"], row["patient"], row["label"], {name: row[name] for name in scores}) for row in rows]


def read_summary(path: Path) -> ScoreSummary:
    """Read metrics.json; it holds every metric of this version.

    Raises:
        InputError: the file is missing or damaged.
    """
    told = read_stored(ScoreSummary, path, remedy=_SUM_UP)
    if lacking := [metric.name for metric in metrics() if metric.name not in told.metrics]:
        raise InputError(f"it lacks the metric {lacking[0]}", file=path, remedy=_SUM_UP)
    return told


def read_cross_validation(run: Run) -> tuple[list[CaseScore], ScoreSummary] | None:
    """Read the scores of all validation cases, and their summary; None before there is a cross-validation.

    Raises:
        InputError: a file is damaged, or they speak of different cases.
    """
    table, about = run.cross_validation / "metrics.csv", run.cross_validation / "metrics.json"
    if not (table.is_file() and about.is_file()):
        return None
    rows, told = read_scores(table), read_summary(about)
    cases = len({row.case for row in rows})
    if cases != told.cases:
        problem = f"it holds {cases} cases, and {about.name} beside it speaks of {told.cases}"
        raise InputError(problem, file=table, remedy=_SUM_UP)
    return rows, told


def unlike_folds(run: Run) -> list[str]:
    """Return the cases whose scores in a run's cross-validation are not those of its folds as they are: a fold was
    trained or scored anew since it was summed up, or is gone.

    None where there is no cross-validation, and where no fold keeps its scores, as in a model that was copied without.

    Raises:
        InputError: a table is damaged.
    """
    folds = [fold for fold in run.folds() if fold.name != "all"]
    tables = [table for fold in folds if (table := fold.validation / "metrics.csv").is_file()]
    table = run.cross_validation / "metrics.csv"
    if not tables or not table.is_file():
        return []
    summed_up, now = _by_case([table]), _by_case(tables)
    return sorted(case for case in summed_up if summed_up[case] != now.get(case))


def _by_case(tables: Iterable[Path]) -> dict[str, set[str]]:
    """Return case -> its rows of tables of scores, as texts."""
    found: dict[str, set[str]] = {}
    for row in (row for table in tables for row in read_scores(table)):
        found.setdefault(row.case, set()).add(f"{row.label}: {sorted(row.values.items())}")
    return found


def read_history(fold: FoldFolder) -> list[dict[str, float]]:
    """Read the rows of history.csv; NaN where a cell is empty.

    Raises:
        InputError: the table is missing or damaged, or its epochs don't ascend.
    """
    columns: dict[str, Column] = {
        "epoch": Whole(1), "train_loss": _ANY, "val_loss": _ANY, "val_dice": _NO_SHARE, "gap_train_dice": _NO_SHARE,
        "gap_val_dice": _NO_SHARE,
    }  # fmt: skip
    remedy = "Restore it, or train the fold again with --fresh."
    rows = read_table(fold.history, columns, key=("epoch",), remedy=remedy)
    epochs = [row["epoch"] for row in rows]
    if epochs != sorted(epochs):
        raise InputError("the epochs do not stand in their order", file=fold.history, remedy=remedy)
    return rows


def read_confidence(run: Run) -> list[dict[str, Any]]:
    """Read the rows of confidence.csv: each validation case with the Dice that was to be expected (NaN where none was).

    Raises:
        InputError: the table is missing or damaged.
    """
    columns: dict[str, Column] = {
        "rank": Whole(1), "case": Text(), "patient": Text(), "uncertainty": Number(), "scatter": Number(),
        "expected_dice": _NO_SHARE, "expected_dice_low": _NO_SHARE, "expected_dice_high": _NO_SHARE,
        "traffic_light": _LIGHT, "dice": _SHARE,
    }  # fmt: skip
    return read_table(run.confidence, columns, key=("case",), remedy=_SUM_UP)


def read_confidence_figures(run: Run) -> ConfidenceFigures:
    """Read confidence.json.

    Raises:
        InputError: the file is missing or damaged.
    """
    return read_stored(ConfidenceFigures, run.confidence_figures, remedy=_SUM_UP)


def read_filter_figures(run: Run) -> FilterFigures:
    """Read lesion_filter.json.

    Raises:
        InputError: the file is missing or damaged.
    """
    return read_stored(FilterFigures, run.lesion_filter, remedy=_SELECT)


def read_froc(run: Run) -> list[dict[str, Any]]:
    """Read the rows of froc.csv: a label and threshold; NaN where there is no lesion, or no interval.

    Raises:
        InputError: the table is missing or damaged, or a label lacks a threshold.
    """
    columns: dict[str, Column] = {
        "label": Text(), "threshold": _SHARE, "lesions": Whole(), "found": Whole(), "sensitivity": _NO_SHARE,
        "sensitivity_low": _NO_SHARE, "sensitivity_high": _NO_SHARE, "lesion_patients": Whole(),
        "no_sensitivity_interval": Text(optional=True), "false_positives": Whole(), "scans": Whole(1),
        "false_positives_per_scan": Number(0), "false_positives_per_scan_low": Number(0, optional=True),
        "false_positives_per_scan_high": Number(0, optional=True), "patients": Whole(1),
        "no_false_positives_interval": Text(optional=True),
    }  # fmt: skip
    rows = read_table(run.froc, columns, key=("label", "threshold"), remedy=_SUM_UP)
    for label in {row["label"] for row in rows}:
        thresholds = tuple(row["threshold"] for row in rows if row["label"] == label)
        if thresholds != FROC_THRESHOLDS:
            told = ", ".join(f"{threshold:g}" for threshold in thresholds)
            problem = f"the label {label} has the thresholds {told}, and not 0.1 to 0.9 in their order"
            raise InputError(problem, file=run.froc, remedy=_SUM_UP)
    return rows


def read_label_check(run: Run) -> list[dict[str, Any]]:
    """Read the rows of label_check.csv; the slice is None where prediction and mask agree.

    Raises:
        InputError: the table is missing or damaged.
    """
    columns: dict[str, Column] = {
        "rank": Whole(1), "case": Text(), "patient": Text(), "dice": _SHARE, "expected_dice": _NO_SHARE,
        "slice": Whole(1, optional=True), "outlined_ml": _ML, "predicted_ml": _ML, "what": Text(),
    }  # fmt: skip
    return read_table(run.label_check, columns, key=("case",), remedy=_SUM_UP)


def read_validation_volumes(run: Run) -> list[dict[str, Any]]:
    """Read the rows of a cross-validation's volumes.csv; the interval is NaN where none is known.

    Raises:
        InputError: the table is missing or damaged.
    """
    columns: dict[str, Column] = {
        "case": Text(), "patient": Text(), "label": Text(), "reference_ml": _ML, "volume_ml": _ML,
        "volume_low_ml": _NO_ML, "volume_high_ml": _NO_ML, "based_on_patients": _NO_ML,
    }  # fmt: skip
    return read_table(run.volumes, columns, key=("case", "label"), remedy=_SELECT)


def read_volumes(table: Path, only: Sequence[str] = (), remedy: str = _PREDICT) -> list[dict[str, Any]]:
    """Read the rows of the volumes.csv beside masks; NaN where a cell is empty.

    Args:
        table: the file.
        only: the columns that are needed; the table may lack the others. All, unless given.
        remedy: what to do where it is damaged.

    Raises:
        InputError: the table is missing or damaged.
    """
    sizes = ("longest_diameter_mm", "extent_rl_mm", "extent_ap_mm", "extent_si_mm")
    shares = (
        "expected_dice", "expected_dice_low", "expected_dice_high", "fold_agreement", "lesion_probability",
        "lesion_probability_low", "lesion_probability_high", "p_lesion", "left_out_p_lesion",
    )  # fmt: skip
    counts = ("based_on_scans", "based_on_patients", "expected_dice_scans", "expected_dice_patients", "left_out")
    columns: dict[str, Column] = {
        "case": Text(), "label": Text(), "component": Text(), "volume_ml": _ML, "voxels": Whole(),
        **dict.fromkeys(sizes, _NO_ML), "volume_low_ml": _NO_ML, "volume_high_ml": _NO_ML,
        **dict.fromkeys(shares, _NO_SHARE), "traffic_light": _LIGHT, **dict.fromkeys(counts, Whole(optional=True)),
        "largest_missed_ml": _NO_ML, "left_out_ml": _NO_ML, "no_interval": Text(optional=True),
    }  # fmt: skip
    key = ("case", "label", "component")
    wanted = {name: column for name, column in columns.items() if not only or name in (*key, *only)}
    return read_table(table, wanted, key=key, remedy=remedy)
