"""docs/followup.md: what vmseg_followup says of pairs whose change is known.

    python -m benchmarks.followup -w WORKSPACE

Validation cases of a trained workspace get a second scan for each of CHANGES (followup_pairs.py: synthetic). All them
are compared by the true masks; the first case of each patient also by the masks of the one fold that knew no scan of
the patient, with intervals from the other patients' cases.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare import ROOT
from benchmarks.followup_pairs import Image, Pair, make_pair
from benchmarks.followup_report import write_report
from vmseg_auto.data.cases import read_case
from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.calibration import volume_confidence_without
from vmseg_auto.evaluation.confidence import Confidence, VolumeConfidence
from vmseg_auto.followup.compare import Visit, align
from vmseg_auto.followup.response import Change, Volume
from vmseg_auto.followup.rigid import placed
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv, write_csv
from vmseg_auto.workflows.ensemble import choose_runs
from vmseg_auto.workflows.paths import places
from vmseg_auto.workflows.staleness import read_standing

CHANGES = (-60, -30, -15, 0, 20)
READER_ERROR = 5.0
"""Per cent, of the true masks' volumes."""
COLUMNS = (
    "case", "patient", "true_percent", "percent", "low_percent", "high_percent", "beyond_error", "response", "aligned",
    "off_mm",
)  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True)
class ValidationRecord:
    """A case: the fold that validates on it, its confidence, and how far volumes are off in other patients."""

    fold: int
    confidence: Confidence
    told: VolumeConfidence

    def volume(self, ml: float) -> Volume:
        return Volume(ml, *(self.told.interval(ml, self.confidence) or ()))


def by_true_masks(dataset: Dataset) -> Iterator[Row]:
    """Every case with each change, by the masks that are known."""
    for case in dataset.cases:
        yield from (_seen(case, percent, pair) for percent, pair in _pairs(case, dataset))


def by_model(dataset: Dataset, run: Run, folds: Mapping[str, int]) -> Iterator[Row]:
    """One case of each patient with each change, by the masks of the fold that held it out, without mirroring."""
    validation = _validation(run, folds)
    for case in {case.patient: case for case in reversed(dataset.cases)}.values():
        held = validation[case.id]
        predictor = Predictor.load(run.folder, folds=[held.fold], device="cpu", tta=False)
        image, _, geometry = read_case(case)
        before = held.volume(_measured_ml(predictor, image[0], geometry))
        for percent, pair in _pairs(case, dataset):
            after = held.volume(_measured_ml(predictor, pair.image, pair.geometry))
            yield _told(case, percent, Change.between(before, after))


def _measured_ml(predictor: Predictor, image: Image, geometry: Geometry) -> float:
    return int(np.count_nonzero(predictor.predict(image, geometry).mask)) * geometry.voxel_ml


def _pairs(case: Case, dataset: Dataset) -> Iterator[tuple[int, Pair]]:
    image, mask, geometry = read_case(case, dataset.labels)
    assert mask is not None
    for percent in CHANGES:
        rng = np.random.default_rng([*case.id.encode(), percent + 100])
        if pair := make_pair(image[0], mask, geometry, percent, rng):
            yield percent, pair
        else:
            print(f"{case.id} {percent:+d} %: no transform keeps the lesions in view", flush=True)


def _seen(case: Case, percent: int, pair: Pair) -> Row:
    image, mask, geometry = read_case(case)
    assert mask is not None
    before = Visit(case.id, image[0], mask, geometry, {"lesion": read_volume(mask, geometry)})
    after = Visit(case.id, pair.image, pair.mask, pair.geometry, {"lesion": read_volume(pair.mask, pair.geometry)})
    alignment = align(before, after)
    off = float("nan")
    if alignment.transform is not None:
        here, there = (placed(np.argwhere(mask), geometry, how) for how in (alignment.transform, pair.transform))
        off = float(np.linalg.norm(here - there, axis=1).max())
    change = Change.between(before.volumes["lesion"], after.volumes["lesion"])
    return _told(case, percent, change) | {"aligned": not alignment.problems, "off_mm": off}


def read_volume(mask: NDArray[np.uint8], geometry: Geometry) -> Volume:
    return Volume.within(int(np.count_nonzero(mask)) * geometry.voxel_ml, READER_ERROR)


def _told(case: Case, percent: int, change: Change) -> Row:
    row = {
        "case": case.id,
        "patient": case.patient,
        "true_percent": percent,
        "percent": change.percent,
        "low_percent": change.low_percent,
        "high_percent": change.high_percent,
        "beyond_error": change.beyond_error,
        "response": change.response,
    }
    print(row, flush=True)
    return row


def _validation(run: Run, folds: Mapping[str, int]) -> dict[str, ValidationRecord]:
    """Each validation case, from the table of the cross-validation."""
    rows = read_csv(run.cross_validation / "metrics.csv")
    known = {
        row["case"]: Confidence(float(row["uncertainty"]), float(row["scatter"]), True)
        for row in read_csv(run.confidence)
    }
    confidence = [known[row["case"]] for row in rows]
    measured, true = (np.array([float(row[name]) for row in rows]) for name in ("prediction_ml", "reference_ml"))
    told = volume_confidence_without(measured, true, confidence, [row["patient"] for row in rows])
    found = zip(rows, confidence, told, strict=True)
    return {row["case"]: ValidationRecord(folds[row["case"]], judged, others) for row, judged, others in found}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workspace", type=Path, required=True, help="of a trained cohort")
    parser.add_argument("-o", "--output", type=Path, default=Path("followup_pairs"), help="for tables")
    parser.add_argument("--masks", nargs="*", choices=("true", "model"), default=("true", "model"), help="to work on")
    arguments = parser.parse_args(argv)
    folder, space = places(None, arguments.workspace)
    standing = read_standing(folder, space, Inventory())
    dataset, splits = standing.dataset, standing.splits
    (run, *_), _ = choose_runs(space, Silent())
    folds = {name: number for number, fold in enumerate(splits.folds) for name in fold.val}
    tables = {kind: arguments.output / f"{kind}.csv" for kind in ("true", "model")}
    if "true" in arguments.masks:
        write_csv(tables["true"], COLUMNS, list(by_true_masks(dataset)))
    if "model" in arguments.masks:
        write_csv(tables["model"], COLUMNS, list(by_model(dataset, run, folds)))
    if all(table.is_file() for table in tables.values()):
        write_report(read_csv(tables["true"]), read_csv(tables["model"]), ROOT / "docs" / "followup.md")


if __name__ == "__main__":
    main()
