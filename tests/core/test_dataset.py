"""Folds: nnU-Net's own where every case is a patient's only one, and never a patient on both sides."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vmseg_auto.core.dataset import (
    Case,
    Dataset,
    Fold,
    Splits,
    check_splits,
    extend_splits,
    fold_cases,
    split_by_patient,
)
from vmseg_auto.core.errors import DatasetError, InputError

# scikit-learn 1.9.1: [test.tolist() for _, test in KFold(5, shuffle=True, random_state=12345).split(range(53))]
KFOLD_53 = [
    [6, 12, 25, 26, 28, 30, 35, 38, 39, 45, 48],
    [2, 3, 5, 8, 19, 20, 21, 22, 31, 33, 42],
    [0, 4, 7, 15, 23, 24, 32, 40, 43, 44, 46],
    [9, 10, 11, 13, 14, 16, 17, 18, 27, 47],
    [1, 29, 34, 36, 37, 41, 49, 50, 51, 52],
]
# The same for range(7).
KFOLD_7 = [[3, 6], [0, 4], [1], [5], [2]]

COHORTS = st.dictionaries(
    st.integers(0, 99).map(lambda n: f"case_{n:02d}"),
    st.integers(0, 9).map(lambda n: f"patient_{n}"),
    min_size=2,
    max_size=30,
).filter(lambda patients: len(set(patients.values())) >= 2)


def sides(splits: Splits, patients: dict[str, str]) -> list[dict[str, set[str]]]:
    """For each fold, the patients on each side."""
    return [{"train": {patients[c] for c in f.train}, "val": {patients[c] for c in f.val}} for f in splits.folds]


@pytest.mark.parametrize("golden", [KFOLD_53, KFOLD_7], ids=len)
def test_folds_are_those_of_nnunet(golden: list[list[int]]) -> None:
    count = sum(map(len, golden))
    ids = [f"case_{i:03d}" for i in range(count)]
    splits = split_by_patient({case: case for case in reversed(ids)})
    assert [list(fold.val) for fold in splits.folds] == [[ids[i] for i in chunk] for chunk in golden]
    for fold in splits.folds:
        assert list(fold.train) == sorted(set(ids) - set(fold.val))


@given(COHORTS)
def test_every_case_is_held_out_once_and_no_patient_stands_on_both_sides(patients: dict[str, str]) -> None:
    splits = split_by_patient(patients)
    assert len(splits.folds) == min(5, len(set(patients.values())))
    assert sorted(case for fold in splits.folds for case in fold.val) == sorted(patients)
    for fold, side in zip(splits.folds, sides(splits, patients), strict=True):
        assert sorted([*fold.train, *fold.val]) == sorted(patients)
        assert not side["train"] & side["val"]
    check_splits(splits, patients, "the split")


def test_one_patient_alone_is_refused() -> None:
    with pytest.raises(InputError, match=r"1 patient, .* at least 2.*`patients` in dataset\.json"):
        split_by_patient({"a": "p", "b": "p"})


@given(COHORTS, COHORTS)
def test_a_changed_cohort_keeps_old_cases_on_their_sides(old: dict[str, str], new: dict[str, str]) -> None:
    new = {**new, **{case: patient for case, patient in old.items() if case in new}}
    assume(len(set(new.values())) >= 2)
    before = split_by_patient(old)
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
    splits = split_by_patient(patients)
    assert extend_splits(splits, patients) == splits


def test_a_new_case_joins_its_patient_and_a_new_patient_the_smallest_fold() -> None:
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


def test_no_fold_is_refused() -> None:
    with pytest.raises(DatasetError, match="there is no fold"):
        check_splits(Splits((), "s"), {"a": "A"}, "splits.json")


@given(COHORTS)
def test_json_round_trip(patients: dict[str, str]) -> None:
    splits = split_by_patient(patients)
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
    with pytest.raises(InputError, match=f"no fold {fold}: .* folds 0 to 1.*`all`"):
        fold_cases(splits, fold, ["a", "b"])


def test_patients_of_a_dataset() -> None:
    cases = (Case("a", "P", (), None), Case("b", "P", (), None))
    held_out = (Case("t", "Q", (), None),)
    dataset = Dataset("d", ("T2",), {"background": 0}, cases, held_out, ".nii.gz")
    assert dataset.patients == {"a": "P", "b": "P"}
