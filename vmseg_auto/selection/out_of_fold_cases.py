"""The cases of a cross-validation that a fold leaves out: one pass over them, and means of their patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import over_cases
from vmseg_auto.data.dataset import Case, Dataset, Splits
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import DatasetError

Values = NDArray[np.float64]
Found = TypeVar("Found")


@dataclass(frozen=True)
class OutOfFoldCases:
    """The cases that a fold has left out.

    Args:
        cases: in the order of the cohort; each has a reference.
        folds: case -> the first fold that left it out.
    """

    cases: tuple[Case, ...]
    folds: Mapping[str, int]

    @classmethod
    def of(cls, splits: Splits, dataset: Dataset) -> OutOfFoldCases:
        """Return the validation cases of a dataset's splits."""
        folds = {case: number for number, fold in reversed([*enumerate(splits.folds)]) for case in fold.val}
        return cls(tuple(case for case in dataset.cases if case.id in folds and case.label is not None), folds)

    def over(self, work: Callable[[Case, int], Found], jobs: int, console: Console, title: str) -> list[Found]:
        """Return what `work` finds of each case and its fold, in the order of the cases.

        Args:
            work: reads a case and computes.
            jobs: threads, and so the number of cases in memory at once.
            console: where progress goes.
            title: of the progress.

        Raises:
            DatasetError, InputError: files of some cases are missing or damaged.
        """
        with console.progress(title, len(self.cases)) as progress:
            found, errors = over_cases(lambda case: work(case, self.folds[case.id]), self.cases, jobs, progress.advance)
        if errors:
            raise (
                errors[0]
                if len(errors) == 1
                else DatasetError(f"{len(errors)} validation cases can't be read or scored", errors)
            )
        return [found[case.id] for case in self.cases]


def folds_of_patients(patients: Sequence[str], folds: Sequence[int]) -> dict[str, int]:
    """Return the patients of cases, each once in their order, and the fold of each (the first, where it has several).

    >>> folds_of_patients(["b", "a", "b"], [1, 0, 0])
    {'b': 0, 'a': 0}
    """
    found: dict[str, int] = {}
    for patient, fold in zip(patients, folds, strict=True):
        found[patient] = min(fold, found.get(patient, fold))
    return found


def patient_means(patients: Sequence[str], values: Sequence[Values]) -> Values:
    """Return the mean of each patient's cases [patients, ...], in the order of `folds_of_patients`.

    >>> patient_means(["b", "a", "b"], [np.array([0.0]), np.array([5.0]), np.array([1.0])])
    array([[0.5],
           [5. ]])
    """
    found: dict[str, list[Values]] = {}
    for patient, value in zip(patients, values, strict=True):
        found.setdefault(patient, []).append(value)
    return np.stack([np.mean(own, axis=0) for own in found.values()])
