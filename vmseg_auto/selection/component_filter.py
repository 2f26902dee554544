"""Learns a model's lesion filter from its validation cases, and decides by patients left out what it leaves out.

A component is judged by a classifier that has seen no component of its patient: that of the other folds' patients. What
is left out is chosen as thresholds are (selection/choose.py): only where the mean Dice gains more than noise and no
smaller share of the lesions is found, and only where the same choice, made and learnt without each fold in turn, pays
on that fold's patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import read_case
from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.probabilities import read_probabilities
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.component_classifier import ComponentClassifier, fit_classifier
from vmseg_auto.evaluation.component_features import FEATURES, describe_components
from vmseg_auto.evaluation.lesion_filter import LesionFilter
from vmseg_auto.evaluation.metrics.overlap import ratio
from vmseg_auto.inference.thresholds import from_bytes, mask_from
from vmseg_auto.selection.choose import Setting, gains_enough
from vmseg_auto.selection.out_of_fold_cases import OutOfFoldCases, folds_of_patients, patient_means
from vmseg_auto.utils.components import keep_largest, label_components
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.label_masks import mask_of
from vmseg_auto.utils.labels import IGNORE, foreground_labels, regions_of
from vmseg_auto.utils.text import listed

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Probabilities below which components may be left out; 0 keeps all."""
DICE, RECALL, PRECISION = 0, 1, 2
"""Of the last axis of scores."""


@dataclass(frozen=True)
class CaseComponents:
    """The components of one label that were predicted in a validation case, and the lesions of its reference.

    Args:
        case, patient: whose they are.
        fold: that left the patient out.
        features: [N, FEATURES], the largest component first.
        voxels: of each component [N].
        shared: voxels that each component shares with each lesion of the reference [N, M].
        reference_voxels: of all lesions of the reference.
        voxel_ml: volume of a voxel.
    """

    case: str
    patient: str
    fold: int
    features: Values
    voxels: NDArray[np.int64]
    shared: NDArray[np.int64]
    reference_voxels: int
    voxel_ml: float

    @classmethod
    def of(
        cls,
        names: tuple[str, str, int],
        predicted: Mask,
        reference: Mask,
        probability: NDArray[np.float32],
        image: NDArray[np.float32],
        geometry: Geometry,
    ) -> CaseComponents:
        """Describe a case.

        Args:
            names: case, patient and fold.
            predicted, reference: masks of the label (Z, Y, X).
            probability: of the label (Z, Y, X).
            image: the scan's first channel (Z, Y, X).
            geometry: the grid of all.
        """
        found = describe_components(predicted, probability, image, geometry)
        numbered, lesions = label_components(reference)
        shared = [np.bincount(numbered[one.slices][one.mask], minlength=lesions + 1)[1:] for one in found.lesions]
        return cls(
            *names,
            features=found.features,
            voxels=np.array([np.count_nonzero(one.mask) for one in found.lesions], dtype=np.int64),
            shared=np.array(shared, dtype=np.int64).reshape(len(found.lesions), lesions),
            reference_voxels=int(np.count_nonzero(reference)),
            voxel_ml=geometry.voxel_ml,
        )

    @property
    def touching(self) -> Mask:
        """Whether each component touches a lesion."""
        return np.asarray((self.shared > 0).any(axis=1))

    def scores(self, kept: Mask) -> tuple[float, float, float]:
        """Return Dice, lesion recall and lesion precision (evaluation/metrics) of the components that are kept."""
        voxels, lesions = int(self.voxels[kept].sum()), self.shared.shape[1]
        nothing = float(not kept.any() and not lesions)
        dice = ratio(2 * int(self.shared[kept].sum()), voxels + self.reference_voxels, nothing)
        found = int((self.shared[kept] > 0).any(axis=0).sum())
        return dice, ratio(found, lesions, nothing), ratio(int(self.touching[kept].sum()), int(kept.sum()), nothing)


@dataclass(frozen=True)
class LearntFilter:
    """What the validation cases' components of one label tell.

    Args:
        label: its name.
        cases: in the order of the cohort.
        p_lesion: of each component of each case, by the other folds' patients; None where these are too few.
        classifier: by all patients; None where there is no `p_lesion`.
        why: in words, why there is none; empty where there is one.
    """

    label: str
    cases: tuple[CaseComponents, ...]
    p_lesion: tuple[Values, ...] | None
    classifier: ComponentClassifier | None
    why: str

    @classmethod
    def of(cls, label: str, cases: Sequence[CaseComponents]) -> LearntFilter:
        """Learn a filter of a label; none where components or patients are too few, of all folds or without one."""
        classifier, why = _fit(cases)
        p_lesion = None if why else out_of_fold(cases)
        if p_lesion is not None:
            why = _no_better_than_the_share(cases, p_lesion)
        elif not why:
            why = "without the patients of one fold too little is left to learn from"
        return cls(label, tuple(cases), None, None, why) if why else cls(label, tuple(cases), p_lesion, classifier, "")

    @cached_property
    def scores(self) -> Values:
        """Scores of each patient, the mean over its cases [patients, LEAST, 3]."""
        assert self.p_lesion is not None
        return _scores(self.cases, self.p_lesion)

    @cached_property
    def least(self) -> float:
        """The probability below which components are left out: one of LEAST."""
        if self.p_lesion is None:
            return LEAST[0]
        chosen = best_least(self.scores)
        nested = self.nested_gain if chosen else None
        return LEAST[chosen] if nested is not None and nested.mean() > 0 else LEAST[0]

    @cached_property
    def nested_gain(self) -> Values | None:
        """Change of each patient's Dice where classifier and choice are those of the other folds' patients [patients].

        None where these are too few.
        """
        assert self.p_lesion is not None
        owners = [one.patient for one in self.cases]
        folds = np.array(list(folds_of_patients(owners, [one.fold for one in self.cases]).values()))
        gain = np.empty(len(folds))
        for fold in np.unique(folds):
            others = [one for one in self.cases if one.fold != fold]
            inner = out_of_fold(others)
            if inner is None:
                return None
            chosen = best_least(_scores(others, inner))
            own = folds == fold
            gain[own] = self.scores[own, chosen, DICE] - self.scores[own, 0, DICE]
        return gain

    @property
    def kept_ml(self) -> dict[str, float] | None:
        """Case -> the volume that is left of the label; None where nothing is left out."""
        if self.p_lesion is None or not self.least:
            return None
        judged = zip(self.cases, self.p_lesion, strict=True)
        return {one.case: float(one.voxels[chances >= self.least].sum()) * one.voxel_ml for one, chances in judged}


def learn_filters(
    runs: Sequence[Run], setting: Setting, cases: OutOfFoldCases, dataset: Dataset, jobs: int, console: Console
) -> list[LearntFilter]:
    """Learn the filter of each label of a run, or of an ensemble of runs, under a setting.

    Cases whose masks are annotated in part are left out: whether a component touches a lesion is not known there.

    Args:
        runs: wholly cross-validated; the mean of their probabilities counts.
        setting: threshold and post-processing of the masks whose components are judged.
        cases, dataset: of the workspace.
        jobs: threads, and so the number of cases in memory at once.
        console: where progress goes.

    Raises:
        DatasetError, InputError: files of some cases are missing or damaged.
    """

    def work(case: Case, fold: int) -> list[CaseComponents] | None:
        return _components(case, fold, runs, setting, dataset)

    found = cases.over(work, jobs, console, "Describing components")
    labels = foreground_labels(dataset.labels)
    if partly := [case.id for case, one in zip(cases.cases, found, strict=True) if one is None]:
        console.say(f"Nothing is learnt of components where masks are annotated in part: {listed(partly)}.")
    told = [one for one in found if one is not None]
    return [LearntFilter.of(label, [one[index] for one in told]) for index, label in enumerate(labels)]


def _components(
    case: Case, fold: int, runs: Sequence[Run], setting: Setting, dataset: Dataset
) -> list[CaseComponents] | None:
    """Describe the components of each label in a case; None where its mask is annotated in part."""
    image, reference, geometry = read_case(case, dataset.mask_labels)
    assert reference is not None
    if (reference == IGNORE).any():
        return None
    labels, names = dataset.labels, foreground_labels(dataset.labels)
    kept = (
        read_probabilities(run.fold(fold).probabilities(case.id), case.id, len(names), geometry.shape) for run in runs
    )
    soft = [from_bytes(one, bool(regions_of(labels))) for one in kept]
    mean = sum(soft[1:], soft[0]) / np.float32(len(soft))
    largest = [name for name, keep in zip(names, setting.keep_largest, strict=True) if keep]
    mask = keep_largest(mask_from(mean, labels, setting.threshold), largest, labels)
    whose = case.id, case.patient, fold
    return [
        CaseComponents.of(
            whose, mask_of(mask, labels, name), mask_of(reference, labels, name), mean[index], image[0], geometry
        )
        for index, name in enumerate(names, 1)
    ]


def lesion_filter(learnt: Sequence[LearntFilter]) -> LesionFilter:
    """Return what a model keeps of what was learnt of its labels."""
    known = {one.label: one for one in learnt if one.classifier is not None}
    return LesionFilter(
        classifiers={label: one.classifier for label, one in known.items() if one.classifier is not None},
        least={label: one.least for label, one in known.items()},
        reasons=tuple(filter_reason(one) for one in learnt),
    )


def out_of_fold(cases: Sequence[CaseComponents]) -> tuple[Values, ...] | None:
    """Return the probability of each case's components by a classifier of the other folds' patients.

    None where these are too few for one.
    """
    found: dict[int, ComponentClassifier] = {}
    for fold in {one.fold for one in cases}:
        classifier, _ = _fit([one for one in cases if one.fold != fold])
        if classifier is None:
            return None
        found[fold] = classifier
    return tuple(found[one.fold].probability(one.features) for one in cases)


def best_least(scores: Values) -> int:
    """Return which of LEAST these patients' scores [patients, LEAST, 3] speak for; 0 where none gains enough."""
    gain = scores[..., DICE] - scores[:, :1, DICE]
    recall = scores[..., RECALL].mean(axis=0)
    allowed = [n for n in range(1, len(LEAST)) if recall[n] >= recall[0] and gains_enough(gain[:, n])]
    return max(allowed, key=lambda n: float(gain[:, n].mean()), default=0)


def filter_reason(learnt: LearntFilter) -> str:
    """Describe in a sentence whether there is a filter, and what it leaves out."""
    if learnt.p_lesion is None:
        return f"{learnt.label}: no lesion filter: {learnt.why}"
    mean = learnt.scores.mean(axis=0)
    before, chosen = mean[0], LEAST.index(learnt.least)
    wanted = chosen or best_least(learnt.scores) or int(1 + np.argmax(mean[1:, DICE]))
    after = mean[wanted]
    told = (
        f"with p_lesion of at least {LEAST[wanted]:g} alone, mean Dice goes from {before[DICE]:.4f} to "
        f"{after[DICE]:.4f}, lesion precision from {before[PRECISION]:.3f} to {after[PRECISION]:.3f} and lesion recall "
        f"from {before[RECALL]:.3f} to {after[RECALL]:.3f}"
    )
    if chosen:
        assert learnt.nested_gain is not None
        nested = learnt.nested_gain.mean()
        return f"{learnt.label}: {told}; learnt and chosen without each fold in turn, its Dice changes by {nested:+.4f}"
    return f"{learnt.label}: no component is left out; {told}, {_why_not(learnt, wanted)}"


def _why_not(learnt: LearntFilter, wanted: int) -> str:
    if best_least(learnt.scores):
        nested = learnt.nested_gain
        if nested is None:
            return "but the patients are too few to confirm it without each fold in turn"
        return f"but learnt and chosen without each fold in turn, its Dice changes by {nested.mean():+.4f}"
    if gains_enough(learnt.scores[:, wanted, DICE] - learnt.scores[:, 0, DICE]):
        return "which finds a smaller share of the lesions"
    return "too little a gain"


def brier_scores(cases: Sequence[CaseComponents], p_lesion: Sequence[Values]) -> tuple[Values, Values]:
    """Return the Brier score of each scan with components, and that of the share of components that touch a lesion.

    All scans count the same in that share.
    """
    judged = [(one.touching, chances) for one, chances in zip(cases, p_lesion, strict=True) if len(chances)]
    share = np.mean([touching.mean() for touching, _ in judged])
    scores = [(np.mean((chances - touching) ** 2), np.mean((share - touching) ** 2)) for touching, chances in judged]
    told, plain = np.array(scores).T
    return told, plain


def _no_better_than_the_share(cases: Sequence[CaseComponents], p_lesion: Sequence[Values]) -> str:
    told, plain = (scores.mean() for scores in brier_scores(cases, p_lesion))
    if told < plain:
        return ""
    scores = f"Brier score {told:.3f}, and {plain:.3f} of the share alone"
    return f"it tells no more of patients that it was not learnt from than how large the share of lesions is ({scores})"


def _fit(cases: Sequence[CaseComponents]) -> tuple[ComponentClassifier | None, str]:
    features = np.concatenate([np.empty((0, len(FEATURES))), *(one.features for one in cases)])
    touching = np.concatenate([np.zeros(0, dtype=bool), *(one.touching for one in cases)])
    owners = [one for one in cases for _ in range(len(one.voxels))]
    return fit_classifier(features, touching, [one.patient for one in owners], [one.case for one in owners])


def _scores(cases: Sequence[CaseComponents], p_lesion: Sequence[Values]) -> Values:
    each = [
        np.array([one.scores(chances >= least) for least in LEAST])
        for one, chances in zip(cases, p_lesion, strict=True)
    ]
    return patient_means([one.patient for one in cases], each)
