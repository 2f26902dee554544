"""The reader's loop on a cohort whose masks are known: annotate a few, train, correct some more, train again.

    python -m benchmarks.readers --dataset COHORT --work WORK

A simulated reader outlines the first cases as the cohort's own masks do, and corrects predictions to these masks. Which
ones are corrected is decided in several orders: at random, by uncertainty, by how unlike they are, and as `vmseg_review
--next` does, by both. Prints for each order the Dice on patients of no training set, and the voxels that the reader had
to change; rows.csv in WORK holds a row for each seed and order, and the next run goes on from there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

import vmseg_auto
from benchmarks.sparse import fold_zero
from vmseg_auto.cli.common import positive_int
from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.preprocessing.duplicates import signature
from vmseg_auto.report.predictions import read_prediction_record
from vmseg_auto.review.next_scans import most_worth_first
from vmseg_auto.utils.atomic import new_folder, read_json, write_json
from vmseg_auto.utils.tables import read_csv, write_csv

Order = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], Sequence[int]]
COLUMNS = ("seed", "order", "cases", "dice", "voxels_changed")
MEMORY_GB = 0.1


def orders(seed: int) -> dict[str, Order]:
    """Return name -> the places of new scans in an order, by uncertainty [N], new and known scans [N, D], [M, D]."""
    shuffled = np.random.default_rng(seed)
    return {
        "random": lambda doubts, new, known: shuffled.permutation(len(doubts)).tolist(),
        "uncertain": lambda doubts, new, known: np.argsort(-doubts, kind="stable").tolist(),
        "unlike": lambda doubts, new, known: most_worth_first(np.ones(len(doubts)), new, known),
        "both": most_worth_first,
    }


def subset(source: Path, target: Path, cases: Sequence[Case]) -> Path:
    """Write a dataset of some cases of another, unless it is there; gives its folder."""
    if not target.is_dir():
        with new_folder(target) as folder:
            for part in ("imagesTr", "labelsTr"):
                (folder / part).mkdir()
            for case in cases:
                assert case.label is not None
                for image in case.images:
                    assert isinstance(image, Path)
                    shutil.copy(image, folder / "imagesTr")
                shutil.copy(case.label, folder / "labelsTr")
            write_json(folder / "dataset.json", {**read_json(source / "dataset.json"), "numTraining": len(cases)})
    return target


def predicted(
    source: Path, work: Path, trained: Sequence[Case], asked: Sequence[Case], settings: Sequence[str]
) -> Path:
    """Train on some cases and predict others, as far as that is not done; gives the folder of the masks."""
    data, masks = subset(source, work / "data", trained), work / "masks"
    scans = subset(source, work / "asked", asked) / "imagesTr"
    vmseg_auto.plan_and_preprocess(data, memory_gb=MEMORY_GB)
    vmseg_auto.train(["all"], dataset=data, trainer="quick", settings=settings, device="cpu")
    (run,) = Workspace(data / "vmseg").runs()
    vmseg_auto.predict(scans, masks, model=run.folder, device="cpu")
    return masks


def against_truth(data: Dataset, masks: Path, case: Case) -> tuple[float, int]:
    """Return the Dice of a predicted mask, and in how many voxels it is wrong."""
    assert case.label is not None
    truth, mask = read_mask(case.label)[0], read_mask(masks / case.label.name)[0]
    labels = {name: value for name, value in data.labels.items() if value}
    return mean_dice(mask, truth, labels), int(np.count_nonzero(mask != truth))


def scans_as_vectors(cases: Sequence[Case]) -> NDArray[np.float64]:
    return np.stack([signature(read_case(case)[0][:1]).blocks[0] for case in cases]).astype(np.float64)


def run_seed(source: Path, work: Path, seed: int, sizes: tuple[int, int], settings: Sequence[str]) -> None:
    """Go through the loop for each order of one seed, and write a row each into rows.csv."""
    data, table = read_dataset(source), work / "rows.csv"
    fold = fold_zero(data)
    by_id = {case.id: case for case in data.cases}
    tests = [by_id[name] for name in fold.val]
    pool = [by_id[str(name)] for name in np.random.default_rng(seed).permutation(sorted(fold.train))]
    first, rest = pool[: sizes[0]], pool[sizes[0] :]
    masks = predicted(source, work / f"{seed}_first", first, [*rest, *tests], settings)
    known, new = scans_as_vectors(first), scans_as_vectors(rest)
    doubts = np.array([read_prediction_record(masks, case.id).judgement.confidence.uncertainty for case in rest])
    nothing: dict[str, list[int]] = {"none": []}
    chosen = nothing | {name: list(by(doubts, new, known))[: sizes[1]] for name, by in orders(seed).items()}
    for name, places in chosen.items():
        rows = read_csv(table) if table.is_file() else []
        if any((row["seed"], row["order"]) == (str(seed), name) for row in rows):
            continue
        more = [rest[place] for place in places]
        changed = sum(against_truth(data, masks, case)[1] for case in more)
        own = predicted(source, work / f"{seed}_{name}", [*first, *more], tests, settings) if more else masks
        dice = fmean(against_truth(data, own, case)[0] for case in tests)
        row = dict(zip(COLUMNS, (seed, name, len(first) + len(more), dice, changed), strict=True))
        write_csv(table, COLUMNS, [*rows, row])


def summary(rows: Sequence[dict[str, str]]) -> str:
    """Return the means over seeds as a table."""
    lines = ["| order | seeds | cases | Dice | voxels changed |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(row["order"] for row in rows):
        own = [row for row in rows if row["order"] == name]
        dice, changed = fmean(float(row["dice"]) for row in own), fmean(float(row["voxels_changed"]) for row in own)
        lines.append(f"| {name} | {len(own)} | {own[0]['cases']} | {dice:.3f} | {changed:.0f} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.readers", description=__doc__.partition("\n")[0])
    made.add_argument("--dataset", required=True, type=Path, help="a cohort with masks")
    made.add_argument("--work", required=True, type=Path, help="where datasets, models and rows.csv go")
    made.add_argument("--first", type=positive_int, default=5, metavar="N", help="cases that are annotated first")
    made.add_argument("--then", type=positive_int, default=20, metavar="N", help="cases that are corrected then")
    made.add_argument("--seeds", type=positive_int, default=3, metavar="N", help="of the first cases and the networks")
    made.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="settings of the training")
    arguments = made.parse_args(argv)
    os.nice(5)
    for seed in range(arguments.seeds):
        own = [*arguments.set, f"seed={seed}"]
        run_seed(arguments.dataset, arguments.work, seed, (arguments.first, arguments.then), own)
        print(summary(read_csv(arguments.work / "rows.csv")), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
