"""Which patients of a cohort both tools learn from, and which they are tested on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.split import of_dataset
from benchmarks.tools import SetupError
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Dataset, Fold, split_by_patient

Folds = tuple[Fold, ...]
"""Each is trained on all its training cases, and tested on those that it holds out."""


@dataclass(frozen=True)
class Experiment:
    """One cohort, and how it is split.

    Args:
        name: begins with the cohort's, which is its folder's in the test data.
        title: in words, for the table.
        split: folder of the dataset -> its folds.
        millimetres: whether voxel sizes are known; without them there is no surface Dice.
        lesions: whether its labels are lesions, which are counted.
        reserved: whether no choice may have seen what it is tested on: it is run for what was chosen elsewhere alone.
        tests: of the dataset's folders, images and labels, those of the cases that it is tested on: "Tr" or "Ts".
    """

    name: str
    title: str
    split: Callable[[Path], Folds]
    millimetres: bool = True
    lesions: bool = True
    reserved: bool = False
    tests: str = "Tr"

    @property
    def cohort(self) -> str:
        return self.name.partition("_")[0]


def cross_validated(folder: Path, begins: str = "") -> Folds:
    """Folds by patient, alike in volume, of the cases whose names begin so."""
    patients, volumes = of_dataset(folder)
    chosen = {case: patient for case, patient in patients.items() if case.startswith(begins)}
    return split_by_patient(chosen, volumes).folds


def from_to(folder: Path, train: str, test: str) -> Folds:
    """One fold: from the patients whose names begin with `train` to those that begin with `test`.

    Raises:
        SetupError: there is none of a kind.
    """
    patients = read_dataset(folder).patients
    sides = [sorted(case for case, patient in patients.items() if patient.startswith(kind)) for kind in (train, test)]
    if not all(sides):
        raise SetupError(f"{folder} holds no patients {train}... or none {test}...")
    return (Fold(tuple(sides[0]), tuple(sides[1])),)


def given_tests(folder: Path) -> Folds:
    """One fold: from imagesTr to imagesTs."""
    data = read_dataset(folder)
    return (Fold(tuple(case.id for case in data.cases), tuple(case.id for case in data.test_cases)),)


EXPERIMENTS = (
    Experiment(
        "lgg53_du", "lgg53 (brain tumours), hospital DU, cross-validated", lambda data: cross_validated(data, "DU_"),
        millimetres=False,
    ),
    Experiment(
        "lgg53_du_to_cs", "lgg53 (brain tumours), trained on hospital DU, tested on hospital CS",
        lambda data: from_to(data, "DU_", "CS_"), millimetres=False, reserved=True,
    ),
    Experiment("vmsemi53_all", "vmsemi53 (synthetic lesions), cross-validated", cross_validated),
    Experiment(
        "vmsemi53_ms_to_neck", "vmsemi53 (synthetic lesions), trained on ms_ patients, tested on neck_ patients",
        lambda data: from_to(data, "ms_", "neck_"),
    ),
    Experiment(
        "vmsemi53_neck_to_ms", "vmsemi53 (synthetic lesions), trained on neck_ patients, tested on ms_ patients",
        lambda data: from_to(data, "neck_", "ms_"),
    ),
    Experiment(
        "hippocampus53", "hippocampus53 (two parts of the brain), its 47 test cases", given_tests,
        lesions=False, tests="Ts",
    ),
)  # fmt: skip


def folds_of(experiment: Experiment, data: Path, limit: int | None = None) -> Folds:
    """An experiment's folds; no patient stands on both sides of one.

    Args:
        data: folder of the test data.
        limit: take only one case each of so many training patients, and so many test cases, to try it out.

    Raises:
        SetupError: a patient stands on both sides.
    """
    folder = data / experiment.cohort
    if not folder.is_dir():
        raise SetupError(f"{folder} isn't there: give --data or set VMSEG_TEST_DATA")
    patients = patients_of(read_dataset(folder))
    folds = experiment.split(folder)
    for number, fold in enumerate(folds):
        if both := {patients[case] for case in fold.train} & {patients[case] for case in fold.val}:
            raise SetupError(f"{experiment.name}, fold {number}: {', '.join(sorted(both))} on both sides")
    return folds if limit is None else tuple(_limited(fold, patients, limit) for fold in folds)


def patients_of(data: Dataset) -> dict[str, str]:
    """Case -> patient, of training and test cases."""
    return {case.id: case.patient for case in (*data.cases, *data.test_cases)}


def _limited(fold: Fold, patients: dict[str, str], limit: int) -> Fold:
    firsts: Sequence[str] = list({patients[case]: case for case in reversed(fold.train)}.values())[::-1]
    return Fold(tuple(sorted(firsts)[:limit]), fold.val[:limit])
