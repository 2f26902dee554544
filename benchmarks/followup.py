"""What vmseg_followup says of pairs whose change is known: `python -m benchmarks.followup -w WORKSPACE -o OUT`.

Each held-out case of a trained workspace gets a second scan for each of CHANGES (followup_pairs.py: synthetic). Those
are compared by the true masks; and, for the first case of each patient, by the masks of the one fold that knew no scan
of the patient, with intervals from the other patients' cases. OUT/pairs.csv holds every pair.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.followup_pairs import Image, Mask, Pair, make_pair
from vmseg_auto.core.dataset import Case
from vmseg_auto.core.followup import FollowUp
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.core.response import Change, Volume, response_to
from vmseg_auto.core.trust import VolumeError
from vmseg_auto.core.workspace import Run
from vmseg_auto.io.cases import read_case
from vmseg_auto.io.tables import read_csv, write_csv
from vmseg_auto.ops.calibration import volume_errors_without
from vmseg_auto.ops.rigid import placed
from vmseg_auto.pipeline.places import places, read_cohort, read_splits
from vmseg_auto.stages.followup import Visit, compare
from vmseg_auto.stages.predict import Predictor

CHANGES = (-60, -30, -15, 0, 20)
READER_ERROR = 5.0
"""Per cent, of the true masks' volumes."""
COLUMNS = (
    "case", "patient", "true_percent", "expected", "aligned", "error_mm", "percent", "response", "model_percent",
    "model_low_percent", "model_high_percent", "model_response",
)  # fmt: skip


@dataclass(frozen=True)
class HeldOut:
    """A case as its fold measured it before: the volume, and how far such volumes are off in other patients."""

    fold: int
    volume_ml: float
    error: VolumeError | None

    def volume(self, ml: float) -> Volume:
        return Volume(ml, *self.error.interval(ml)) if self.error else Volume(ml)


@dataclass(frozen=True)
class Row:
    """One pair: what the true masks and, where it was asked, what the model's masks led to."""

    case: Case
    true_percent: int
    found: FollowUp
    error_mm: float
    model: Change | None

    @property
    def seen(self) -> Change:
        return self.found.changes["lesion"]

    def cells(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "case": self.case.id,
            "patient": self.case.patient,
            "true_percent": self.true_percent,
            "expected": response_to(self.true_percent),
            "aligned": not self.found.alignment.problems,
            "error_mm": self.error_mm,
            "percent": self.seen.percent,
            "response": self.seen.response,
        }
        if self.model:
            own |= {
                "model_percent": self.model.percent,
                "model_low_percent": self.model.low_percent,
                "model_high_percent": self.model.high_percent,
                "model_response": self.model.response,
            }
        return own


def rows_of(workspace: Path) -> Iterator[Row]:
    """Each held-out case with each change."""
    folder, space = places(None, workspace)
    dataset, splits = read_cohort(folder, space), read_splits(space)
    (run,) = space.runs()
    held_out = _held_out(run, {name: number for number, fold in enumerate(splits.folds) for name in fold.val})
    asked: set[str] = set()
    for case in dataset.cases:
        predictor = None
        if case.patient not in asked:
            asked.add(case.patient)
            predictor = Predictor.load(run.folder, folds=[held_out[case.id].fold], device="cpu")
        image, mask, geometry = read_case(case, dataset.labels)
        assert mask is not None
        for percent in CHANGES:
            pair = make_pair(image[0], mask, geometry, percent, _rng(case.id, percent))
            if pair is None:
                print(f"{case.id} {percent:+d} %: no movement keeps the lesions in view", flush=True)
                continue
            found = _compare(case.id, image[0], mask, geometry, pair)
            model = _by_model(predictor, held_out[case.id], pair) if predictor else None
            row = Row(case, percent, found, _error_mm(found, mask, geometry, pair), model)
            print(row.cells(), flush=True)
            yield row


def _held_out(run: Run, folds: Mapping[str, int]) -> dict[str, HeldOut]:
    """What each case's fold measured, from the table of the cross-validation."""
    rows = read_csv(run.cross_validation / "metrics.csv")
    measured, true = (np.array([float(row[name]) for row in rows]) for name in ("prediction_ml", "reference_ml"))
    errors = volume_errors_without(measured, true, [row["patient"] for row in rows])
    return {
        row["case"]: HeldOut(folds[row["case"]], float(row["prediction_ml"]), error)
        for row, error in zip(rows, errors, strict=True)
    }


def _compare(name: str, image: Image, mask: Mask, geometry: Geometry, pair: Pair) -> FollowUp:
    before = Visit(name, image, mask, geometry, {"lesion": _read_volume(mask, geometry)})
    after = Visit(name, pair.image, pair.mask, pair.geometry, {"lesion": _read_volume(pair.mask, pair.geometry)})
    with TemporaryDirectory() as folder:
        return compare(name, before, after, {"lesion": 1}, Path(folder) / "picture.png")


def _read_volume(mask: NDArray[np.uint8], geometry: Geometry) -> Volume:
    return Volume.within(np.count_nonzero(mask) * geometry.voxel_ml, READER_ERROR)


def _by_model(predictor: Predictor, held_out: HeldOut, pair: Pair) -> Change:
    later_ml = np.count_nonzero(predictor.predict(pair.image, pair.geometry).mask) * pair.geometry.voxel_ml
    return Change.between(held_out.volume(held_out.volume_ml), held_out.volume(float(later_ml)))


def _error_mm(found: FollowUp, mask: Mask, geometry: Geometry, pair: Pair) -> float:
    """How far the lesions lie at most from where they were brought."""
    if found.alignment.movement is None:
        return float("nan")
    here, there = (placed(np.argwhere(mask), geometry, how) for how in (found.alignment.movement, pair.movement))
    return float(np.linalg.norm(here - there, axis=1).max())


def summary(rows: Sequence[Row]) -> str:
    """A table in Markdown: a row for each true change."""
    lines = [
        "| true change | pairs | aligned | off by at most (mm) | class right | pairs of the model | its change, median "
        "| class right | not beyond its error | another class |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for percent in CHANGES:
        expected = response_to(percent)
        chosen = [row for row in rows if row.true_percent == percent]
        models = [row.model for row in chosen if row.model]
        counts = Counter(
            "right" if model.response == expected else "within" if model.beyond_error is False else "other"
            for model in models
        )
        aligned = [row for row in chosen if not row.found.alignment.problems]
        off = max((row.error_mm for row in aligned), default=float("nan"))
        right = sum(row.seen.response == expected for row in chosen)
        median = np.median([model.percent for model in models if model.percent is not None])
        lines.append(
            f"| {percent:+d} % ({expected}) | {len(chosen)} | {len(aligned)} | {off:.2f} | {right} | {len(models)} | "
            f"{median:+.0f} % | {counts['right']} | {counts['within']} | {counts['other']} |"
        )
    return "\n".join(lines)


def _rng(case: str, percent: int) -> np.random.Generator:
    return np.random.default_rng([*case.encode(), percent + 100])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workspace", type=Path, required=True, help="a trained workspace with a single run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for pairs.csv")
    arguments = parser.parse_args()
    rows = list(rows_of(arguments.workspace))
    write_csv(arguments.output / "pairs.csv", COLUMNS, (row.cells() for row in rows))
    print(summary(rows))


if __name__ == "__main__":
    main()
