"""What a lesion filter leaves out is decided by patients that it has not learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vmseg_auto.evaluation.component_features import FEATURES
from vmseg_auto.selection.component_filter import (
    DICE,
    LEAST,
    PRECISION,
    RECALL,
    CaseComponents,
    LearntFilter,
    filter_reason,
    lesion_filter,
    out_of_fold,
)
from vmseg_auto.selection.component_tables import filter_figures
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.json_codec import decode, encode

GRID = Geometry((5, 12, 12), (2.0, 1.0, 1.0))


def case(patient: int, fold: int, right: int = 4, wrong: int = 6, told: float = 3.0, seed: int = 0) -> CaseComponents:
    """Components of ten voxels each; the first measure tells the right ones, which lie in a lesion each, by `told`."""
    rng = np.random.default_rng(100 * seed + patient)
    touching = np.arange(right + wrong) < right
    features = rng.normal(size=(right + wrong, len(FEATURES)))
    features[:, 0] += told * touching
    shared = np.zeros((right + wrong, right), dtype=np.int64)
    shared[np.arange(right), np.arange(right)] = 10
    voxels = np.full(right + wrong, 10)
    return CaseComponents(f"c{patient}", f"p{patient}", fold, features, voxels, shared, 10 * right, 0.001)


def cases(number: int = 10, **given: float) -> list[CaseComponents]:
    return [case(patient, patient % 5, **given) for patient in range(number)]  # type: ignore[arg-type]


def test_false_components_are_left_out_where_that_pays() -> None:
    learnt = LearntFilter.of("lesion", cases(told=6.0))
    assert learnt.least > 0
    before, after = learnt.scores.mean(axis=0)[[0, LEAST.index(learnt.least)]]
    assert before == pytest.approx([2 * 4 / (10 + 4), 1.0, 0.4])
    assert after[DICE] > before[DICE] + 0.2
    assert after[RECALL] == 1
    assert after[PRECISION] > 0.8
    assert learnt.nested_gain is not None
    assert learnt.nested_gain.mean() > 0.2
    assert "with p_lesion of at least" in filter_reason(learnt)
    assert lesion_filter([learnt]).least == {"lesion": learnt.least}


def test_nothing_is_left_out_where_lesions_would_be_lost() -> None:
    """The measures tell little, so that whatever is left out costs lesions."""
    learnt = LearntFilter.of("lesion", cases(told=1.5))
    assert learnt.p_lesion is not None
    assert learnt.least == 0
    assert learnt.kept_ml is None
    assert "no component is left out" in filter_reason(learnt)
    assert lesion_filter([learnt]).least == {"lesion": 0.0}  # the probabilities are told all the same


def test_a_component_is_judged_without_its_patient() -> None:
    """Whatever a fold's own patients hold, even the opposite of all others, does not change what is said of others'
    truth: their own probabilities come from the same measures and the other folds alone."""
    made = cases()
    told = out_of_fold(made)
    changed = [replace(one, shared=one.shared[::-1], reference_voxels=7) if one.fold == 2 else one for one in made]
    again = out_of_fold(changed)
    assert told is not None
    assert again is not None
    for one, first, second in zip(made, told, again, strict=True):
        assert np.array_equal(first, second) == (one.fold == 2)


def test_the_nested_choice_never_sees_the_patient_that_it_is_scored_on() -> None:
    """With another truth in fold 2 alone, its patients' kept components under the nested choice stay the same."""
    made = cases(told=6.0)
    learnt = LearntFilter.of("lesion", made)
    own = [replace(one, reference_voxels=one.reference_voxels * 2) if one.fold == 2 else one for one in made]
    other = LearntFilter.of("lesion", own)
    assert learnt.nested_gain is not None
    assert other.nested_gain is not None
    folds = np.arange(10) % 5
    kept = [chances >= LEAST[-1] for chances in learnt.p_lesion or ()]
    assert all(np.array_equal(a, b >= LEAST[-1]) for a, b in zip(kept, other.p_lesion or (), strict=True))
    assert (learnt.nested_gain[folds == 2] != other.nested_gain[folds == 2]).all()
    assert np.array_equal(learnt.nested_gain[folds != 2] > 0, other.nested_gain[folds != 2] > 0)


def test_what_tells_nothing_of_other_patients_makes_no_filter() -> None:
    """A probability for each component would only look like knowledge."""
    learnt = LearntFilter.of("lesion", cases(told=0.0))
    assert (learnt.classifier, learnt.p_lesion) == (None, None)
    assert "it tells no more of patients that it was not learnt from than how large the share" in learnt.why


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ([], "it takes components of 5 patients, and here are 0"),
        (cases(4), "it takes components of 5 patients, and here are 4"),
        (cases(5), "without the patients of one fold too little is left to learn from"),
        (cases(10, right=1), "it takes 20 components that touch a lesion, and here are 10"),
    ],
)
def test_too_little_to_learn_from_makes_no_filter(made: list[CaseComponents], why: str) -> None:
    learnt = LearntFilter.of("lesion", made)
    assert (learnt.classifier, learnt.p_lesion, learnt.least) == (None, None, 0)
    assert filter_reason(learnt) == f"lesion: no lesion filter: {why}"
    found = lesion_filter([learnt])
    assert (found.classifiers, found.least) == ({}, {})
    assert found.reasons == (f"lesion: no lesion filter: {why}",)


def test_scans_without_components_or_lesions_count_as_in_metrics_csv() -> None:
    none = CaseComponents("c", "p", 0, np.empty((0, len(FEATURES))), np.zeros(0, int), np.zeros((0, 0), int), 0, 1.0)
    assert none.scores(np.zeros(0, dtype=bool)) == (1.0, 1.0, 1.0)
    missed = replace(none, shared=np.zeros((0, 2), int), reference_voxels=5)
    assert missed.scores(np.zeros(0, dtype=bool)) == (0.0, 0.0, 0.0)
    false = replace(case(0, 0, right=0, wrong=2), reference_voxels=0)
    assert false.scores(np.ones(2, dtype=bool)) == (0.0, 0.0, 0.0)
    assert false.scores(np.zeros(2, dtype=bool)) == (1.0, 1.0, 1.0)


def test_a_case_is_described_by_its_masks() -> None:
    predicted, reference = np.zeros((2, *GRID.shape), dtype=bool)
    predicted[1, 1:3, 1:3] = predicted[3, 8, 8] = True
    reference[1, 1:4, 2:4] = True
    soft, image = np.where(predicted, 0.9, 0.1).astype(np.float32), np.ones(GRID.shape, np.float32)
    found = CaseComponents.of(("c", "p", 1), predicted, reference, soft, image, GRID)
    assert (found.case, found.patient, found.fold) == ("c", "p", 1)
    assert found.voxels.tolist() == [4, 1]
    assert found.shared.tolist() == [[2], [0]]
    assert found.touching.tolist() == [True, False]
    assert found.scores(np.array([True, True])) == (2 * 2 / (5 + 6), 1.0, 0.5)


def test_the_figures_tell_how_far_the_probabilities_hold() -> None:
    learnt = LearntFilter.of("lesion", cases(told=6.0))
    figures = filter_figures([learnt])
    (one,) = figures.labels
    assert decode(type(figures), encode(figures), "lesion_filter.json") == figures
    assert (one.lesions, one.levels[0].components, one.levels[0].touching) == (40, 100, 40)
    assert sum(bin.components for bin in one.reliability) == 100
    brier, of_share, pooled, error, auroc = (figure.value for figure in one.figures)
    assert brier is not None
    assert of_share == pytest.approx(0.24)
    assert brier < 0.1
    assert pooled == pytest.approx(brier)  # as all scans have ten
    assert error is not None
    assert error < 0.15
    assert auroc is not None
    assert auroc > 0.95
    assert (one.figures[0].scans, one.figures[0].patients) == (10, 10)
    (without,) = filter_figures([LearntFilter.of("lesion", cases(4))]).labels
    assert (len(without.levels), without.figures, without.reliability) == (1, (), ())


def test_a_cohort_annotated_in_part_teaches_no_filter_and_says_so() -> None:
    """Then no case is left."""
    learnt = LearntFilter.of("lesion", [])
    (told,) = filter_figures([learnt]).labels
    assert (told.levels, told.chosen, told.lesions) == ((), 0, 0)
    assert "no lesion filter: it takes components of 5 patients, and here are 0" in filter_reason(learnt)
