"""How even the folds of the patient split are in lesion volume and number of cases, on the cohorts of the test data.

python -m benchmarks.split [DATA] [--phantoms COUNT] [--jobs N]

Beside it stands what shuffling the patients and cutting the row into as many pieces gives, over 300 shuffles.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import split_by_patient
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.demo.phantom.phantom import make_phantom
from vmseg_auto.utils.workers import Workers

COHORTS = ("hippocampus53", "vmsemi53", "lgg53")
SHUFFLES = 300
Cohort = tuple[Mapping[str, str], Mapping[str, float]]
"""Case -> patient, and case -> foreground in mL."""


def of_dataset(folder: Path) -> Cohort:
    """The training cases of a dataset."""
    data = read_dataset(folder)
    volumes = {}
    for case in data.cases:
        assert case.label is not None
        mask, geometry = read_mask(case.label, case.id)
        volumes[case.id] = np.count_nonzero(mask) * float(np.prod(geometry.spacing_mm)) / 1000
    return data.patients, volumes


def of_phantoms(count: int, jobs: int) -> Cohort:
    """The demo's patients, one scan each."""
    with Workers(jobs) as pool:
        volumes = dict(enumerate(pool.map(partial(_phantom_ml, 0), range(count))))
    return {f"{n:03d}": f"{n:03d}" for n in volumes}, {f"{n:03d}": ml for n, ml in volumes.items()}


def unevenness(validation: Iterable[Iterable[str]], amounts: Mapping[str, float]) -> float:
    """The largest relative distance of a fold's amount from the mean of all folds."""
    sums = np.array([sum(amounts[case] for case in side) for side in validation])
    return float(np.abs(sums / sums.mean() - 1).max())


def shuffled(patients: Mapping[str, str], seed: int, folds: int) -> list[list[str]]:
    """The cases that each of so many folds of shuffled patients holds out."""
    names = np.random.default_rng(seed).permutation(sorted(set(patients.values())))
    return [[case for case, patient in patients.items() if patient in side] for side in np.array_split(names, folds)]


def row(name: str, patients: Mapping[str, str], volumes: Mapping[str, float]) -> str:
    """A line of the table."""
    ones = dict.fromkeys(patients, 1.0)
    validation: Sequence[Sequence[str]] = [fold.val for fold in split_by_patient(patients, volumes).folds]
    others = [shuffled(patients, seed, len(validation)) for seed in range(SHUFFLES)]
    cells = [
        name,
        str(len(patients)),
        str(len(set(patients.values()))),
        " ".join(str(len(side)) for side in validation),
    ]
    for amounts in (volumes, ones):
        usual = float(np.median([unevenness(other, amounts) for other in others]))
        cells += [f"{unevenness(validation, amounts):.1%}", f"{usual:.0%}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("VMSEG_TEST_DATA", "."))
    parser.add_argument("--phantoms", type=int, default=53, help="how many of the demo's patients (default: 53)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    print(
        "| cohort | cases | patients | validation in each fold | volume | volume, shuffled | cases | cases, shuffled |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in COHORTS:
        print(row(name, *of_dataset(Path(arguments.data) / name)), flush=True)
    print(row("phantoms", *of_phantoms(arguments.phantoms, arguments.jobs)))


def _phantom_ml(seed: int, number: int) -> float:
    scan = make_phantom(seed, number)
    return np.count_nonzero(scan.mask) * float(np.prod(scan.geometry.spacing_mm)) / 1000


if __name__ == "__main__":
    main()
