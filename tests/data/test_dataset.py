"""Folds alike in lesion volume and number of cases, and never a patient on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vmseg_auto.data.dataset import (
    Case,
    Dataset,
    Fold,
    Splits,
    check_splits,
    extend_splits,
    fold_cases,
    split_by_patient,
)
from vmseg_auto.utils.errors import DatasetError, InputError

COHORTS = st.dictionaries(
    st.integers(0, 99).map(lambda n: f"case_{n:02d}"),
    st.integers(0, 9).map(lambda n: f"patient_{n}"),
    min_size=2,
    max_size=30,
).filter(lambda patients: len(set(patients.values())) >= 2)


def volumes_of(patients: dict[str, str]) -> dict[str, float]:
    """Some volume for each case, 0 for a few."""
    return {case: float(int(case[-2:]) ** 2 % 97) for case in patients}


def in_turn(patients: dict[str, str]) -> Splits:
    """Validation patients in turn, where it does not matter which."""
    names = sorted(set(patients.values()))
    folds = []
    for number in range(min(5, len(names))):
        val = sorted(case for case, patient in patients.items() if patient in names[number::5])
        folds.append(Fold(tuple(sorted(set(patients) - set(val))), tuple(val)))
    return Splits(tuple(folds), "in turn")


def cohort(sizes: Sequence[int], seed: int) -> tuple[dict[str, str], dict[str, float]]:
    """Patients with that many cases, and volumes as uneven as those of real lesions."""
    rng = np.random.default_rng(seed)
    patients = {f"p{number:02d}_{scan}": f"p{number:02d}" for number, size in enumerate(sizes) for scan in range(size)}
    return patients, dict(zip(patients, rng.lognormal(2, 1, len(patients)).tolist(), strict=True))


def spread(validation: Iterable[Iterable[str]], volumes: dict[str, float]) -> float:
    """Standard deviation of the folds' volumes, relative to their mean."""
    totals = [sum(volumes[case] for case in side) for side in validation]
    return float(np.std(totals) / np.mean(totals))


def sides(splits: Splits, patients: dict[str, str]) -> list[dict[str, set[str]]]:
    """For each fold, the patients on each side."""
    return [{"train": {patients[c] for c in f.train}, "val": {patients[c] for c in f.val}} for f in splits.folds]


@settings(max_examples=20)
@given(COHORTS)
def test_every_case_is_validation_once_and_no_patient_stands_on_both_sides(patients: dict[str, str]) -> None:
    splits = split_by_patient(patients, volumes_of(patients))
    assert len(splits.folds) == min(5, len(set(patients.values())))
    assert sorted(case for fold in splits.folds for case in fold.val) == sorted(patients)
    for fold, side in zip(splits.folds, sides(splits, patients), strict=True):
        assert sorted([*fold.train, *fold.val]) == sorted(patients)
        assert not side["train"] & side["val"]
    check_splits(splits, patients, "the split")


@settings(max_examples=5)
@given(COHORTS, st.randoms(use_true_random=False))
def test_the_split_depends_on_the_cohort_alone(patients: dict[str, str], random: Random) -> None:
    shuffled = list(patients.items())
    random.shuffle(shuffled)
    volumes = volumes_of(patients)
    assert split_by_patient(dict(shuffled), volumes) == split_by_patient(patients, volumes)


def test_folds_are_alike_in_volume_and_cases() -> None:
    """Against folds of shuffled patients, in five cohorts whose lesions differ as real ones do."""
    balanced, shuffled = [], []
    for seed in range(5):
        patients, volumes = cohort([1] * 53, seed)
        validation = [fold.val for fold in split_by_patient(patients, volumes).folds]
        assert {len(side) for side in validation} <= {10, 11}
        balanced.append(spread(validation, volumes))
        shuffled.append(spread(np.array_split(list(volumes), 5), volumes))
    assert np.mean(balanced) < 0.5 * np.mean(shuffled)


def test_patients_of_unequal_size_are_spread() -> None:
    patients, volumes = cohort([8, 8, 6, 4, 3, 2, 2, 2, 1, 1, 1, 1, 1], seed=0)
    splits = split_by_patient(patients, volumes)
    assert sorted(len(fold.val) for fold in splits.folds) == [7, 7, 8, 9, 9]
    assert spread([fold.val for fold in splits.folds], volumes) < 0.25
    assert splits.source == "by patient, balanced by lesion volume; best of 300 shuffles from seed 12345"


def test_equal_volumes_leave_the_number_of_cases() -> None:
    patients = {f"case_{n:02d}": f"case_{n:02d}" for n in range(12)}
    splits = split_by_patient(patients, dict.fromkeys(patients, 0.0))
    assert sorted(len(fold.val) for fold in splits.folds) == [2, 2, 2, 3, 3]


@settings(max_examples=20)
@given(COHORTS)
def test_every_fold_holds_some_patient_out(patients: dict[str, str]) -> None:
    """Also where one patient has most of the cases, and all volumes are 0."""
    crowded = {**patients, **{f"more_{n}": min(patients.values()) for n in range(30)}}
    splits = split_by_patient(crowded, dict.fromkeys(crowded, 0.0))
    assert all(fold.val and fold.train for fold in splits.folds)


def test_a_split_never_changes() -> None:
    """The very folds of one cohort: whoever computes them anew, with whatever versions, gets these."""
    patients, volumes = {}, {}
    for number in range(9):
        for scan in range(1 + number % 2):
            patients[f"case_{number}{scan}"], volumes[f"case_{number}{scan}"] = f"p{number}", float(number**2 + scan)
    validation = [fold.val for fold in split_by_patient(patients, volumes).folds]
    assert validation == [
        ("case_30", "case_31"),
        ("case_00", "case_70", "case_71"),
        ("case_20", "case_80"),
        ("case_50", "case_51", "case_60"),
        ("case_10", "case_11", "case_40"),
    ]


def test_one_patient_alone_is_refused() -> None:
    with pytest.raises(InputError, match=r"1 patient, .* at least 2.*`patients` in dataset\.json"):
        split_by_patient({"a": "p", "b": "p"}, {"a": 1.0, "b": 2.0})


@given(COHORTS, COHORTS)
def test_a_changed_cohort_keeps_old_cases_on_their_sides(old: dict[str, str], new: dict[str, str]) -> None:
    new = {**new, **{case: patient for case, patient in old.items() if case in new}}
    assume(len(set(new.values())) >= 2)
    before = in_turn(old)
    after = extend_splits(before, new)
    assert len(after.folds) == len(before.folds)
    for was, now, side in zip(before.folds, after.folds, sides(after, new), strict=True):
        assert set(now.train) & set(old) == set(was.train) & set(new)
        assert set(now.val) & set(old) == set(was.val) & set(new)
        assert sorted([*now.train, *now.val]) == sorted(new)
        assert not side["train"] & side["val"]
    assert sorted(case for fold in after.folds for case in fold.val) == sorted(new)


@given(COHORTS)
def test_an_unchanged_cohort_keeps_its_split(patients: dict[str, str]) -> None:
    splits = in_turn(patients)
    assert extend_splits(splits, patients) == splits


def test_a_new_case_joins_its_patient_and_a_new_patient_the_fold_with_the_fewest_cases() -> None:
    splits = Splits((Fold(("b", "c"), ("a",)), Fold(("a",), ("b", "c"))), "by hand")
    patients = {"a": "A", "b": "B", "c": "C", "a2": "A", "d": "D"}
    after = extend_splits(splits, patients)
    assert after.folds == (Fold(("b", "c"), ("a", "a2", "d")), Fold(("a", "a2", "d"), ("b", "c")))
    assert after.source == "by hand"


def test_a_case_left_out_of_one_fold_by_hand_stays_out_of_it() -> None:
    splits = Splits((Fold(("b",), ("a",)), Fold(("a",), ("b", "c"))), "by hand")
    assert extend_splits(splits, {"a": "A", "b": "B", "c": "C"}) == splits


def test_no_fold_at_all_is_left_to_the_check() -> None:
    empty = Splits((), "by hand")
    assert extend_splits(empty, {"a": "A", "b": "B"}) == empty


def test_every_fault_of_a_split_is_listed() -> None:
    patients = {"a": "A", "a2": "A", "b": "B"}
    folds = (Fold(("a",), ("a2",)), Fold(("b", "x"), ("a",)), Fold((), ("a", "a2", "b")), Fold(("a",), ()))
    with pytest.raises(DatasetError) as caught:
        check_splits(Splits(folds, "by hand"), patients, "splits.json")
    text = str(caught.value)
    assert text.startswith("splits.json: this split can't be used. Mend it")
    assert "fold 0 has patients on both sides: A" in text
    assert "fold 1 names cases that the dataset lacks: x" in text
    assert "fold 2 has no training case" in text
    assert "fold 3 has no validation case" in text
    assert len(caught.value.errors) == 4


@pytest.mark.parametrize("as_list", [True, False])
def test_cases_are_called_as_their_files_whatever_the_unicode_form(as_list: bool) -> None:
    composed, apart = "J\u00f6rg", "Jo\u0308rg"
    folds = [{"train": [apart], "val": ["b"]}, {"train": ["b"], "val": [composed]}]
    data = folds if as_list else {"folds": folds, "source": "by hand", "schema": 1}
    read = Splits.from_json(data)
    assert read.folds == (Fold((composed,), ("b",)), Fold(("b",), (composed,)))
    check_splits(read, {composed: "A", "b": "B"}, "splits.json")


def test_a_case_that_a_side_names_twice_is_refused() -> None:
    read = Splits.from_json([{"train": ["J\u00f6rg", "Jo\u0308rg"], "val": ["b"]}])
    with pytest.raises(DatasetError, match="fold 0 names cases twice on one side: J\u00f6rg"):
        check_splits(read, {"J\u00f6rg": "A", "b": "B"}, "splits.json")


def test_no_fold_is_refused() -> None:
    with pytest.raises(DatasetError, match="there is no fold"):
        check_splits(Splits((), "s"), {"a": "A"}, "splits.json")


@given(COHORTS)
def test_json_round_trip(patients: dict[str, str]) -> None:
    splits = in_turn(patients)
    assert Splits.from_json(splits.to_json()) == splits


def test_the_bare_list_of_nnunet_is_read() -> None:
    splits = Splits.from_json([{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a", "b"]}])
    assert splits.folds == (Fold(("a", "b"), ("c",)), Fold(("c",), ("a", "b")))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([{"train": ["a"]}], r"splits_final\.json\[0\] lacks the field val"),
        ([{"train": "a", "val": []}], r"splits_final\.json\[0\]: train must be a list"),
        (
            {"folds": [{"train": [1], "val": []}], "source": ""},
            r"splits_final\.json: folds\[0\]: train\[0\] must be a text",
        ),
        ("a", r"splits_final\.json must be an object"),
    ],
)
def test_a_broken_split_file_is_refused(data: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Splits.from_json(data, "splits_final.json")


def test_cases_of_a_fold() -> None:
    splits = Splits((Fold(("b",), ("a",)), Fold(("a",), ("b",))), "s")
    assert fold_cases(splits, 1, ["a", "b"]) == Fold(("a",), ("b",))
    assert fold_cases(splits, "all", ["a", "b", "c"]) == Fold(("a", "b", "c"), ())


@pytest.mark.parametrize("fold", [2, -1, "0", "none"])
def test_an_unknown_fold_is_refused(fold: int | str) -> None:
    splits = Splits((Fold(("b",), ("a",)), Fold(("a",), ("b",))), "s")
    with pytest.raises(InputError, match=f"no fold {fold}: .* has 2 folds, 0 to 1.*`all`"):
        fold_cases(splits, fold, ["a", "b"])


def test_patients_of_a_dataset() -> None:
    cases = (Case("a", "P", (), None), Case("b", "P", (), None))
    validation = (Case("t", "Q", (), None),)
    dataset = Dataset("d", ("T2",), {"background": 0}, cases, validation, ".nii.gz")
    assert dataset.patients == {"a": "P", "b": "P"}


def test_patients_are_taken_over_where_the_owner_names_none() -> None:
    cases = (Case("a", "P", (), None), Case("b", "b", (), None))
    validation = (Case("t", "t", (), None),)
    dataset = Dataset("d", ("T2",), {"background": 0}, cases, validation, ".nii.gz", stated=frozenset("a"))
    changed = dataset.with_patients({"a": "Q", "b": "Q", "t": "T", "gone": "G"})
    assert changed.patients == {"a": "P", "b": "Q"}
    assert [case.patient for case in changed.test_cases] == ["T"]
