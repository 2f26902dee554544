"""The scores of runs, and of ensembles of runs, on the validation cases of their folds, under every setting."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.probabilities import read_probabilities
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.confidence import Confidence
from vmseg_auto.evaluation.evaluate import read_pair
from vmseg_auto.models.selection_record import THRESHOLDS
from vmseg_auto.selection.choose import Runs, Setting, Values
from vmseg_auto.selection.component_filter import LearntFilter
from vmseg_auto.selection.out_of_fold_cases import OutOfFoldCases, folds_of_patients, patient_means
from vmseg_auto.selection.settings import VOXELS, score_settings
from vmseg_auto.selection.validation_volumes import ValidationVolumes
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.label_masks import mask_of
from vmseg_auto.utils.labels import IGNORE, foreground_labels

MOST_FOR_PAIRS = 4
"""Runs, beyond which only the ensemble of all is tried: pairs would be many, and the best of many is luck."""


@dataclass(frozen=True)
class Candidates:
    """What cross-validation says of each candidate.

    Args:
        patients: in the order of the arrays.
        folds: the fold that holds each patient out.
        scores: runs' names -> [patients, THRESHOLDS, labels, 3, 2] (selection.settings); single runs first.
        cases: id and patient of each case.
        reference_ml: volumes of the labels as they were outlined [cases, labels]; NaN of masks annotated in part.
        measured_ml: runs' names -> as they were predicted [cases, THRESHOLDS, labels, 2], with all components and with
            the largest alone.
    """

    patients: tuple[str, ...]
    folds: NDArray[np.int64]
    scores: dict[Runs, Values]
    cases: tuple[tuple[str, str], ...]
    reference_ml: Values
    measured_ml: dict[Runs, Values]

    def volumes(
        self,
        names: Runs,
        setting: Setting,
        labels: Sequence[str],
        confidence: Mapping[str, Confidence],
        learnt: Sequence[LearntFilter] = (),
    ) -> ValidationVolumes:
        """Return the volumes that a candidate measures under a setting, with the `confidence` of each case.

        Cases whose masks are annotated in part tell no volume, and are left out by name.

        Args:
            names: of the candidate.
            setting: threshold and post-processing.
            labels: names.
            confidence: of each case.
            learnt: the lesion filters of the labels; of each case, what filters of other patients leave counts.
        """
        at = self.measured_ml[names][:, THRESHOLDS.index(setting.threshold)]
        told = np.asarray(np.isfinite(self.reference_ml).all(axis=1))
        measured = np.where(setting.keep_largest, at[..., 1], at[..., 0])[told]
        cases = tuple(compress(self.cases, told))
        for column, one in enumerate(learnt):
            if (kept_ml := one.kept_ml) is not None:
                measured[:, column] = [kept_ml[case] for case, _ in cases]
        judged = tuple(confidence[case] for case, _ in cases)
        partly = tuple(case for case, _ in compress(self.cases, ~told))
        return ValidationVolumes(tuple(labels), cases, self.reference_ml[told], measured, judged, partly)


def score_candidates(
    runs: Sequence[Run], cases: OutOfFoldCases, dataset: Dataset, jobs: int, console: Console
) -> Candidates:
    """Score single runs, all pairs of up to MOST_FOR_PAIRS runs, and the ensemble of all.

    Args:
        runs: wholly cross-validated.
        cases, dataset: of the workspace.
        jobs: threads, and so the number of cases in memory at once.

    Raises:
        DatasetError, InputError: files of some cases are missing or damaged.
    """
    ensembles = _ensembles(len(runs))

    def work(case: Case, fold: int) -> _Scored:
        return _score_case(case, fold, runs, ensembles, dataset)

    found = cases.over(work, jobs, console, "Comparing validation cases")
    owners = [case.patient for case in cases.cases]
    folds = folds_of_patients(owners, [cases.folds[case.id] for case in cases.cases])
    names = [tuple(runs[member].name for member in members) for members in ensembles]
    table = np.moveaxis(patient_means(owners, [one.scores for one in found]), 1, 0)
    measured = np.stack([one.measured_ml for one in found], axis=1)
    return Candidates(
        patients=tuple(folds),
        folds=np.array(list(folds.values())),
        scores=dict(zip(names, table, strict=True)),
        cases=tuple((case.id, case.patient) for case in cases.cases),
        reference_ml=np.stack([one.reference_ml for one in found]),
        measured_ml=dict(zip(names, measured, strict=True)),
    )


@dataclass(frozen=True)
class _Scored:
    """A case: its scores [candidates, THRESHOLDS, labels, 3, 2], and the labels' volumes as they were outlined; NaN of
    a mask annotated in part.
    """

    scores: Values
    reference_ml: Values
    voxel_ml: float

    @property
    def measured_ml(self) -> Values:
        """[candidates, THRESHOLDS, labels, 2]"""
        volumes: Values = self.scores[:, :, :, VOXELS] * self.voxel_ml
        return volumes


def _ensembles(runs: int) -> list[tuple[int, ...]]:
    sizes = sorted({1, *([2] if 2 <= runs <= MOST_FOR_PAIRS else []), runs})
    return [members for size in sizes for members in itertools.combinations(range(runs), size)]


def _score_case(
    case: Case, fold: int, runs: Sequence[Run], ensembles: Sequence[tuple[int, ...]], dataset: Dataset
) -> _Scored:
    assert case.label is not None
    mask = runs[0].fold(fold).mask(case.id, dataset.file_ending)
    _, reference, geometry = read_pair(case.id, mask, case.label, dataset.mask_labels)
    labels = dataset.labels
    names = foreground_labels(labels)
    validation = [
        read_probabilities(run.fold(fold).probabilities(case.id), case.id, len(names), geometry.shape) for run in runs
    ]
    outlined = np.array([np.count_nonzero(mask_of(reference, labels, name)) for name in names], dtype=float)
    if (reference == IGNORE).any():
        outlined[:] = np.nan
    scores = score_settings(validation, reference, labels, ensembles)
    return _Scored(scores, outlined * geometry.voxel_ml, geometry.voxel_ml)
