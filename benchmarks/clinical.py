"""What volumes, traffic lights and warnings are worth on validation cases: docs/clinical.md and its picture.

python -m benchmarks.clinical -w WORKSPACE    (of vmsemi53, with all folds trained)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.clinical_report import Facts, Lit, Piece, write_clinical_report
from benchmarks.compare import ROOT
from vmseg_auto.data.cases import read_case
from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.probabilities import read_probabilities
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.confidence import Light
from vmseg_auto.evaluation.expected_quality import INTERVAL_COLUMNS
from vmseg_auto.evaluation.volumetry import measure
from vmseg_auto.inference.thresholds import classify, from_bytes
from vmseg_auto.inference.uncertainty import undecided
from vmseg_auto.planning.fingerprint import ScanRange
from vmseg_auto.preprocessing.extract_fingerprint import analyse
from vmseg_auto.preprocessing.normalise import intensity_profiles
from vmseg_auto.preprocessing.transform import box_slices, nonzero_box
from vmseg_auto.utils.components import label_components
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.ensemble import choose_runs
from vmseg_auto.workflows.paths import places
from vmseg_auto.workflows.run_tables import read_filter_figures
from vmseg_auto.workflows.staleness import read_standing

Image = NDArray[np.float32]
SHARES = (0.01, 0.05)
"""Of a scan's voxels, the most undecided ones."""


@dataclass(frozen=True)
class ValidationRecord:
    """A cohort, and what a run says of each case of which its network knew no scan of the patient."""

    run: Run
    dataset: Dataset
    fold_of: dict[str, int]

    def cases(self) -> Iterator[tuple[Case, Image, NDArray[np.bool_], Geometry]]:
        """Each case with its probabilities [K, Z, Y, X] and its reference [Z, Y, X]."""
        classes = len(self.dataset.labels) - 1
        for case in self.dataset.cases:
            _, reference, geometry = read_case(case, self.dataset.labels)
            assert reference is not None
            path = self.run.fold(self.fold_of[case.id]).probabilities(case.id)
            soft = from_bytes(read_probabilities(path, case.id, classes, geometry.shape))
            yield case, soft, reference > 0, geometry


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clinical", description=__doc__.partition("\n")[0])
    parser.add_argument("-w", "--workspace", type=Path, required=True, metavar="WORKSPACE", help="of a trained cohort")
    parser.add_argument("-d", "--dataset", type=Path, metavar="DATASET", help="its dataset (default: where it was)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "clinical.md", metavar="FILE", help="the report")
    arguments = parser.parse_args(argv)
    try:
        held = open_workspace(arguments.workspace, arguments.dataset)
        write_clinical_report(gather(held), arguments.out)
    except VmsegError as error:
        print(f"benchmarks.clinical: {error}", file=sys.stderr)
        return 2
    return 0


def open_workspace(workspace: Path, dataset: Path | None) -> ValidationRecord:
    """The run that the workspace predicts with; of several the best.

    Raises:
        InputError: nothing is trained or selected there.
    """
    folder, space = places(dataset, workspace)
    (run, *_), _ = choose_runs(space, Silent())
    standing = read_standing(folder, space, Inventory())
    folds = enumerate(standing.splits.folds)
    return ValidationRecord(run, standing.dataset, {case: number for number, fold in folds for case in fold.val})


def gather(held: ValidationRecord) -> Facts:
    """Everything that the report tells."""
    pieces, errors, shares = [], [], []
    for _, soft, reference, geometry in held.cases():
        mask = classify(soft) > 0
        pieces += list(pieces_of(mask, reference, geometry))
        if (mask != reference).any():
            errors.append(chance_of_order(undecided(soft), mask != reference))
            shares.append(found_among(undecided(soft), mask != reference))
    return Facts(
        volumes=[row for row in read_csv(held.run.volumes) if row[INTERVAL_COLUMNS[0]]],
        lights=list(lights(held.run)),
        pieces=pieces,
        order=float(np.mean(errors)),
        shares=dict(zip(SHARES, np.mean(shares, axis=0).tolist(), strict=True)),
        warnings=warnings(held.dataset),
        filters=read_filter_figures(held.run).labels,
    )


def lights(run: Run) -> Iterator[Lit]:
    """Of every validation case, the light that the other patients' cases led to, and its Dice."""
    for row in read_csv(run.confidence):
        if row["traffic_light"] in get_args(Light):
            yield Lit(row["traffic_light"], float(row["dice"]))


def pieces_of(mask: NDArray[np.bool_], reference: NDArray[np.bool_], geometry: Geometry) -> Iterator[Piece]:
    """Each connected piece of a predicted mask: its volume, and that of the lesions that it touches."""
    numbered, count = label_components(reference)
    volumes = np.bincount(numbered.ravel(), minlength=count + 1) * geometry.voxel_ml
    for piece in measure(mask, geometry)[1]:
        touched = np.unique(numbered[piece.lesion.slices][piece.lesion.mask])
        yield Piece(piece.size.volume_ml, float(volumes[touched[touched > 0]].sum()))


def chance_of_order(doubt: Image, wrong: NDArray[np.bool_]) -> float:
    """How often a wrong voxel is more in doubt than a right one (the area under the ROC curve; ties count half)."""
    levels, at = np.unique(doubt, return_inverse=True)
    bad = np.bincount(at.ravel(), wrong.ravel(), len(levels))
    good = np.bincount(at.ravel(), ~wrong.ravel(), len(levels))
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (bad.sum() * good.sum()))


def found_among(doubt: Image, wrong: NDArray[np.bool_]) -> list[float]:
    """Share of the wrong voxels among the most undecided SHARES of all voxels."""
    order = np.argsort(-doubt, axis=None, kind="stable")
    sorted_wrong = wrong.ravel()[order]
    return [float(sorted_wrong[: round(share * wrong.size)].sum() / wrong.sum()) for share in SHARES]


def warnings(dataset: Dataset) -> dict[str, tuple[int, int]]:
    """Change -> how many of a cohort's scans are then told to be unlike the other patients', and of how many."""
    fingerprint, _ = analyse(dataset)
    counts = dict.fromkeys(CHANGES, 0)
    for case in dataset.cases:
        others = {name: one for name, one in fingerprint.cases.items() if dataset.patients[name] != case.patient}
        known = replace(fingerprint, cases=others).scans
        image, _, geometry = read_case(case)
        for name, change in CHANGES.items():
            counts[name] += is_unlike(known, *change(image[0], geometry))
    return {name: (count, len(dataset.cases)) for name, count in counts.items()}


def is_unlike(known: ScanRange, image: Image, geometry: Geometry) -> bool:
    """Whether a scan [Z, Y, X] of one channel would be flagged."""
    inside = image[box_slices(nonzero_box(image[None]))]
    return bool(known.unlike(geometry, intensity_profiles(inside[None].astype(np.float32))))


def _stretched(image: Image, grid: Geometry) -> tuple[Image, Geometry]:
    _, y, x = grid.spacing_mm
    return image, replace(grid, spacing_mm=(10.0, y, x))


def _cut(image: Image, grid: Geometry) -> tuple[Image, Geometry]:
    z, y, x = grid.shape
    return image[: z // 3], replace(grid, shape=(z // 3, y, x))


CHANGES: dict[str, Callable[[Image, Geometry], tuple[Image, Geometry]]] = {
    "nothing": lambda image, grid: (image, grid),
    "intensities times 1000, plus 50": lambda image, grid: (1000 * image + 50, grid),
    "dark and bright exchanged": lambda image, grid: (image.max() - image, grid),
    "all tissue alike, as in CT": lambda image, grid: (np.tanh(6 * image / np.percentile(image, 99)), grid),
    "slices 10 mm apart": _stretched,
    "a third of the slices": _cut,
}
"""What is done to scans of patients from whom the range was not taken."""


if __name__ == "__main__":
    sys.exit(main())
