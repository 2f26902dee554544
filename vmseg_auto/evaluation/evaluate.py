"""Label maps to scores: predicted masks against reference masks, case by case and summed up."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vmseg_auto.data import mask_folders
from vmseg_auto.data.cases import over_cases, values_in
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import read_grid
from vmseg_auto.data.images.registry import SEGMENTS, ending_of, mask_endings
from vmseg_auto.data.images.segmentations import numbered, read_labels, segment_names
from vmseg_auto.data.mask_files import case_of, recorded
from vmseg_auto.data.naming import missing_in_words, note_unpaired
from vmseg_auto.evaluation.concordance import volume_concordance
from vmseg_auto.evaluation.metrics.metric import PENALTY_MM, TOLERANCE_MM
from vmseg_auto.evaluation.metrics.score import EMPTY_MASKS, Row, metrics, score_case
from vmseg_auto.evaluation.scores import MeanScore, MetricNote, ScoreSummary
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.errors import DatasetError, InputError, NoMaskError, VmsegError
from vmseg_auto.utils.figure import Figure
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE, classes_of, unnamed_labels
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.statistics import INTERVAL, no_interval, summarise_table, without_interval
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.utils.text import counted, listed

_PACKAGES = ("vmseg_auto", "numpy", "scipy", "scikit-image", "SimpleITK")


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of cases.

    Args:
        table: a row a case and label: case, patient, label, then a column a metric.
        summary: a row a label and metric, as utils.statistics.summarise_table makes it: label, metric, mean, median,
            low_95, high_95, n, n_missing, patients.
        tolerance_mm: of the NSD.
        notes: what was left out, in words.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    tolerance_mm: float
    notes: tuple[str, ...] = ()

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Row],
        tolerance_mm: float = TOLERANCE_MM,
        patients: Mapping[str, str] | None = None,
        notes: Iterable[str] = (),
    ) -> Evaluation:
        """Sum up rows of `score_case`, each with its "case" added.

        Args:
            rows: at least one.
            tolerance_mm: that they were scored with.
            patients: case -> patient; a case that is not named is its own patient.
            notes: for the evaluation.
        """
        names = [metric.name for metric in metrics()]
        table = pd.DataFrame(list(rows))
        table["patient"] = [(patients or {}).get(case, case) for case in table["case"]]
        table = table[["case", "patient", "label", *names]]
        return cls(
            table,
            summarise_table(table, {metric.name: metric.bounds for metric in metrics()}),
            tolerance_mm,
            tuple(notes),
        )

    def save(self, path: Path) -> tuple[Path, Path]:
        """Write the table and the summary, each whole or not at all.

        Args:
            path: a .csv file, beside which the .json of the same name comes to lie; else a folder, which gets
                metrics.csv and metrics.json.

        Returns:
            The paths of the table (CSV) and of summary, definitions and versions (JSON).

        Raises:
            VmsegError: the folder can't be written to.
        """
        table = path if path.suffix.lower() == ".csv" else path / "metrics.csv"
        about = table.with_suffix(".json")
        rows = ({str(column): value for column, value in row.items()} for row in self.table.to_dict("records"))
        write_csv(table, list(self.table.columns), rows)
        write_sealed(about, self.about().to_json())
        return table, about

    def about(self) -> ScoreSummary:
        """Return summary, definitions, implementations and versions."""
        summary: dict[str, dict[str, MeanScore]] = {}
        for row in self.summary.to_dict("records"):
            label, metric = str(row.pop("label")), str(row.pop("metric"))
            values = {str(key): plain(value) for key, value in row.items()}
            summary.setdefault(label, {})[metric] = MeanScore(**values)
        return ScoreSummary(
            summary=summary,
            cases=int(self.table["case"].nunique()),
            patients=int(self.table["patient"].nunique()),
            tolerance_mm=self.tolerance_mm,
            interval=INTERVAL,
            metrics={m.name: MetricNote(m.definition, m.computed_by) for m in metrics()},
            agreement=self.agreement(),
            empty_masks=EMPTY_MASKS,
            versions={package: _version(package) for package in _PACKAGES},
            notes=self.notes,
        )

    def agreement(self) -> dict[str, tuple[Figure, ...]]:
        """Return label -> how far predicted and reference volumes agree."""
        return {
            str(label): volume_concordance(
                rows["reference_ml"].to_numpy(float), rows["prediction_ml"].to_numpy(float), list(rows["patient"])
            )
            for label, rows in self.table.groupby("label", sort=False)
        }

    def text(self) -> str:
        """Return a table for the screen: for each label the mean, its interval and the median of what counts most."""
        cases, patients = self.table["case"].nunique(), self.table["patient"].nunique()
        lines = []
        for label, rows in self.summary.groupby("label", sort=False):
            heading = f"{label}: {cases} cases of {patients} patients; means and medians are over cases"
            lines += [heading, f"  {'':<34}{'mean':>9}  {'95 % interval':>19}  {'median':>9}  missing"]
            for metric, row in zip(metrics(), rows.to_dict("records"), strict=True):
                title = metric.heading(self.tolerance_mm)
                if metric.on_screen:
                    lines.append(f"  {title:<34}{_numbers(row, metric.digits)}".rstrip())
            lines += [f"  {one.text()}" for one in self.agreement().get(str(label), ())]
        lines.append(f"All {len(metrics())} metrics are in the files; docs/metrics.md tells what each means.")
        return "\n".join([*lines, *self._without_distance(), *without_interval(patients), *self.notes])

    def _without_distance(self) -> list[str]:
        """Return the sentence on masks without a distance; none where all have one."""
        if not (lacking := int(self.table["hd95_mm"].isna().sum())):
            return []
        return [
            f"{lacking} of {counted(len(self.table), 'mask')} without a distance, as the prediction or the reference "
            f"alone is empty. They are left out of the mean HD95; in the one beside it each counts {PENALTY_MM:g} mm."
        ]


def evaluate(
    predictions: Path,
    references: Path,
    labels: Mapping[str, int] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    patients: Mapping[str, str] | None = None,
    jobs: int = 1,
    progress: Callable[[], object] = lambda: None,
    left: Inventory | None = None,
) -> Evaluation:
    """Score every reference mask's prediction, the file of the same name (endings may differ).

    Args:
        predictions: folder of predicted masks.
        references: folder of reference masks; predictions without one are left out, and noted.
        labels: label name -> value; the references' values unless given. References may hold `ignore`, predictions not.
        tolerance_mm: of the NSD.
        patients: case -> patient; a case that is not named is its own patient.
        jobs: threads.
        progress: called after each case.
        left: what of the folders is not used is noted here; under --strict it ends with that.

    Raises:
        InputError: a folder without masks, two files of one case, or references without a prediction (all are named:
            leaving them out would raise the mean).
        DatasetError: masks that can't be read, lie on different grids or hold values that are no label; all listed.
    """
    if not 0 <= tolerance_mm < math.inf:
        raise InputError(f"the tolerance is {tolerance_mm:g} mm", remedy="Give a number of mm, 0 or above.")
    left = left or Inventory()
    predicted, wanted = find_masks(predictions, left), find_masks(references, left)
    extra = {case: path for case, path in predicted.items() if case not in wanted}
    if missing := sorted(set(wanted) - set(predicted)):
        named = missing_in_words(missing, extra)
        raise InputError(
            f"{len(missing)} of {len(wanted)} references have no prediction: {named}",
            file=predictions,
            remedy="Predict these cases too, rename files that are called otherwise, or take their references out of "
            "the folder.",
        )
    notes = [f"Left out, as they have no reference: {', '.join(sorted(extra))}."] if extra else []
    note_unpaired("prediction", extra, wanted, "without a reference", left)
    left.require_nothing()
    pairs = {case: (predicted[case], wanted[case]) for case in sorted(wanted)}
    return evaluate_pairs(pairs, labels, tolerance_mm, patients, jobs, progress, notes)


def evaluate_pairs(
    pairs: Mapping[str, tuple[Path, Path]],
    labels: Mapping[str, int] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    patients: Mapping[str, str] | None = None,
    jobs: int = 1,
    progress: Callable[[], object] = lambda: None,
    notes: Iterable[str] = (),
    readers: bool = False,
) -> Evaluation:
    """Score pairs of files.

    Args:
        pairs: case -> predicted and reference mask; at least one.
        notes: for the evaluation; the other arguments are those of `evaluate`.
        readers: whether the predictions are a reader's masks, which may hold `ignore` too.

    Raises:
        InputError, DatasetError: as `evaluate`.
    """
    metrics()  # one that an installed package brings may be broken, which is one error and not one a case
    known = labels if labels is not None else infer_labels(reference for _, reference in pairs.values())
    classes = classes_of(known)
    cases = [Case(case, case, (prediction,), reference) for case, (prediction, reference) in pairs.items()]

    read_as: dict[str, list[str]] = {}

    def work(case: Case) -> list[Row]:
        found = read_as.setdefault(case.id, [])
        rows = score_case(*read_pair(case.id, *pairs[case.id], known, found, readers), classes, tolerance_mm)
        return [{"case": case.id, **row} for row in rows]

    scored, errors = over_cases(work, cases, jobs, progress)
    if scans := [error for error in errors if isinstance(error, NoMaskError)]:
        _refuse_scans(scans, pairs)
    if errors:
        different = {str(error): error for error in errors}.values()
        raise errors[0] if len(different) == 1 else DatasetError(f"{len(errors)} cases can't be scored", [*different])
    rows = [row for found in scored.values() for row in found]
    unscored = _never_drawn(rows)
    told = sorted({note for found in read_as.values() for note in found})
    notes = [*notes, *(_of_cases(note, sorted(case for case in read_as if note in read_as[case])) for note in told)]
    if partly := sorted({row["case"] for row in rows if math.isnan(row["reference_ml"])}):
        notes = [*notes, f"Annotated in part, so that they tell no volume: {listed(partly)}."]
    notes = [*notes, *(f"{label}: no reference mask holds it, so it has no score." for label in unscored)]
    return Evaluation.from_rows((row for row in rows if row["label"] not in unscored), tolerance_mm, patients, notes)


def _of_cases(note: str, cases: Sequence[str]) -> str:
    """Say once what holds for several cases."""
    return f"{note[0].upper()}{note[1:]}: {', '.join(cases)}."


def _refuse_scans(errors: Sequence[VmsegError], pairs: Mapping[str, tuple[Path, Path]]) -> None:
    """Refuse scans in the place of masks.

    Raises:
        InputError: some of the files that can't be read as masks are scans.
    """
    for side, (what, option) in enumerate((("predictions", "-p"), ("references", "-r"))):
        files = {pair[side] for pair in pairs.values()}
        if own := [error.file for error in errors if error.file in files]:
            raise InputError(
                f"{len(own)} of {len(files)} {what} look like scans, not like masks: "
                f"{listed([Path(file).name for file in own if file])}",
                file=next(iter(files)).parent,
                remedy=f"Name the folder of masks with {option}, not that of the scans they were drawn on.",
            )


def find_masks(folder: Path, left: Inventory | None = None) -> dict[str, Path]:
    """Find the masks in a folder: case -> file.

    Where a case has several files, it is the one that counts (data/mask_folders.py).

    Args:
        left: what of the folder is not used is noted here.

    Raises:
        InputError: there is no such folder, no mask in it, or two files of one case and nothing decides which counts.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", file=folder, remedy="Name the folder that holds the masks.")
    errors: list[VmsegError] = []
    found = mask_folders.find_masks(folder, errors, left)
    if errors:
        raise errors[0]
    if not found:
        raise InputError("the folder holds no mask", file=folder, remedy=f"Masks end with {', '.join(mask_endings())}.")
    return found


def infer_labels(masks: Iterable[Path]) -> dict[str, int]:
    """Return labels by the names of segments in .seg.nrrd files and DICOM objects, else by the values in masks.

    Values are named as in a dataset without dataset.json.

    Masks that can't be read are passed over: scoring them names what is wrong with them.
    """
    named: list[tuple[str, int]] = []
    others: list[Path] = []
    for path in masks:
        if ending_of(path.name) not in (SEGMENTS, None):
            others.append(path)
            continue
        with contextlib.suppress(InputError):
            named += segment_names(path)
    return numbered(named) if named else unnamed_labels(values_in(others))


def read_pair(
    case: str,
    prediction: Path,
    reference: Path,
    labels: Mapping[str, int],
    notes: list[str] | None = None,
    readers: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Geometry]:
    """Read a predicted mask and its reference, and make sure that they can be compared.

    With one label of value 1, a mask of 0 and 255 is read as 0 and 1, and `notes` gets that in words.

    Args:
        labels: label name -> value; where `ignore` is one of them, the reference may hold it, and the prediction not.
        readers: whether the prediction may hold it too, as it is a reader's mask.

    Returns:
        Prediction and reference (Z, Y, X), and their grid. The reference holds IGNORE where one of them does.

    Raises:
        InputError: a file is no mask, holds a value that is no label, or they do not lie on the same grid.
    """
    target = _common_grid(prediction, reference, case)
    mask, own_grid = read_labels(prediction, labels if readers else classes_of(labels), target, case, notes)
    wanted, grid = read_labels(reference, labels, target, case, notes)
    if differences := own_grid.differences(grid):
        raise InputError(
            f"it does not lie on the grid of its reference {reference}: {'; '.join(differences)}",
            case=case,
            file=prediction,
            remedy="Compare masks on the same grid; resample one of them with nearest-neighbour interpolation.",
        )
    return mask, np.where(mask == IGNORE, mask, wanted) if readers else wanted, grid


def _common_grid(prediction: Path, reference: Path, case: str) -> Geometry | None:
    """Return the grid to compare on where one is a .seg.nrrd, which may hold a part of the scan, or a DICOM object,
    which tells none; else None.

    It is that of the other, or the larger of two. That of a predicted DICOM object is known by the record beside it.

    Raises:
        InputError: none of them tells a grid.
    """
    both = {path: ending_of(path.name) for path in (prediction, reference)}
    if not {SEGMENTS, None} & set(both.values()):
        return None
    whole = [read_grid(path, case) for path, ending in both.items() if ending not in (SEGMENTS, None)]
    records = (recorded(path.parent, case_of(path)) for path, ending in both.items() if ending is None)
    whole += [record.grid for record in records if record]
    known = whole or [read_grid(path, case, layers=True) for path, ending in both.items() if ending == SEGMENTS]
    if not known:
        problem = "neither this mask nor the other one tells the voxels of its scan"
        raise InputError(problem, case=case, file=reference, remedy="Give one of them as an image file (.nii.gz).")
    return max(known, key=lambda grid: math.prod(grid.shape))


def _never_drawn(rows: Iterable[Row]) -> list[str]:
    """Return the labels that no reference holds, where one holds others.

    Their overlap would be 1 wherever nothing is found.
    """
    drawn: dict[str, float] = {}
    for row in rows:
        label = str(row["label"])
        drawn[label] = drawn.get(label, 0.0) + float(row["reference_lesions"])
    return [label for label, lesions in drawn.items() if not lesions] if any(drawn.values()) else []


def _numbers(row: Mapping[Any, Any], digits: int) -> str:
    def shown(name: str) -> str:
        return "-" if math.isnan(row[name]) else f"{row[name]:.{digits}f}"

    told = f"{shown('low_95')} to {shown('high_95')}"
    interval = no_interval(row["patients"]) if math.isnan(row["low_95"]) else told
    return f"{shown('mean'):>9}  {interval:>19}  {shown('median'):>9}  {row['n_missing'] or ''}"


def plain(value: Any) -> Any:
    """Return a value for JSON, which has no NaN.

    Example:
        >>> plain(math.nan) is None, plain(0.5)
        (True, 0.5)
    """
    return None if isinstance(value, float) and math.isnan(value) else value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
