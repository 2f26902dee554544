"""What outlining every fifth slice costs: vmsemi53 (synthetic lesions), one fold, tested on whole outlines.

    python -m benchmarks.sparse --work WORK

Prints a table of three trainings with the same plan and steps: on all slices of all training patients, on every fifth
slice of the same patients, and on all slices of so few of them that as many slices are outlined.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

import vmseg_auto
from benchmarks.ablation_results import read_scores
from benchmarks.compare import add_places
from vmseg_auto.cli.common import positive_int
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Dataset, Fold, split_by_patient
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.data.outlined_slices import OutlinedSlices
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.atomic import new_folder, read_json, write_json

COHORT = "vmsemi53"
EVERY = 5
ALL, SPARSE, FEW = "all slices", f"every {EVERY}th slice, as many patients", f"all slices, {EVERY} times fewer"


def sparse_masks(source: Path, target: Path, cases: Sequence[str]) -> None:
    """Copy a dataset with masks of these cases of which every fifth slice alone is annotated, from the third on."""
    data = read_dataset(source)
    _copy(source, target)
    ignored = max(data.labels.values()) + 1
    seen = OutlinedSlices(EVERY // 2 + 1, EVERY)
    for case in data.cases:
        if case.id in cases and case.label is not None:
            mask, geometry = read_mask(case.label)
            mask[~seen.among(len(mask))] = ignored
            write_mask(target / "labelsTr" / case.label.name, mask, geometry)
    stated = read_json(target / "dataset.json")
    write_json(target / "dataset.json", {**stated, "labels": {**data.labels, "ignore": ignored}})


def _copy(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("vmseg", "splits_final.json")
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


def fewer(patients: Mapping[str, str], slices: Mapping[str, int], seed: int = 0) -> tuple[str, ...]:
    """Return the cases of patients in random order, as many as hold a fifth of all slices best.

    Args:
        patients: case -> patient, of the training side.
        slices: case -> how many its scan has.
    """
    wanted = sum(slices[case] for case in patients) / EVERY
    chosen: list[str] = []
    for patient in np.random.default_rng(seed).permutation(sorted(set(patients.values()))):
        own = [case for case, owner in patients.items() if owner == patient]
        before, after = (sum(slices[case] for case in cases) for cases in (chosen, [*chosen, *own]))
        if chosen and abs(after - wanted) >= abs(before - wanted):
            break
        chosen += own
    return tuple(sorted(chosen))


def fold_zero(data: Dataset) -> Fold:
    """Return the first fold of the patients, balanced by the lesions' voxels."""
    volumes = {case.id: float(np.count_nonzero(read_mask(case.label)[0])) for case in data.cases if case.label}
    return split_by_patient(data.patients, volumes).folds[0]


def trained(dataset: Path, workspace: Path, fold: Fold, memory: float, settings: Sequence[str]) -> float:
    """Train the fold of a dataset, if it is not trained yet; gives the mean Dice of its validation cases."""
    write_json(dataset / "splits_final.json", [{"train": list(fold.train), "val": list(fold.val)}])
    space = Workspace(workspace)
    vmseg_auto.plan_and_preprocess(dataset, workspace, memory_gb=memory)
    vmseg_auto.train([0], dataset=dataset, workspace=workspace, settings=settings, device="cpu")
    (run,) = space.runs()
    return fmean(read_scores(run.fold(0)).dice.values())


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=__doc__.partition("\n")[0])
    add_places(made)
    made.add_argument(
        "--memory", type=float, default=0.1, metavar="GB", help="the plan's budget (default: %(default)s)"
    )
    made.add_argument("--epochs", type=positive_int, default=20, metavar="N", help="default: %(default)s")
    made.add_argument(
        "--steps", type=positive_int, default=15, metavar="N", help="of each epoch (default: %(default)s)"
    )
    arguments = made.parse_args(argv)
    os.nice(5)
    source, work = arguments.data / COHORT, arguments.work / "sparse"
    data = read_dataset(source)
    fold = fold_zero(data)
    slices = {case.id: len(read_mask(case.label)[0]) for case in data.cases if case.label}
    few = Fold(fewer({case: data.patients[case] for case in fold.train}, slices), fold.val)
    whole, sparse = work / "whole", work / "every_fifth"
    if not whole.is_dir():
        with new_folder(whole) as folder:
            _copy(source, folder)
    if not sparse.is_dir():
        with new_folder(sparse) as folder:
            sparse_masks(source, folder, fold.train)
    settings = [f"epochs={arguments.epochs}", f"iterations_per_epoch={arguments.steps}"]
    print("| trained on | patients | scans | outlined slices | Dice |\n|---|---|---|---|---|")
    for name, dataset, own in ((ALL, whole, fold), (SPARSE, sparse, fold), (FEW, whole, few)):
        place = work / name.replace(" ", "_").replace(",", "")
        dice = trained(dataset, place, own, arguments.memory, settings)
        outlined = sum(slices[case] for case in own.train) // (EVERY if dataset == sparse else 1)
        patients = len({data.patients[case] for case in own.train})
        print(f"| {name} | {patients} | {len(own.train)} | {outlined} | {dice:.3f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
