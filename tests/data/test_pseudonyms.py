"""Pseudonyms tell nothing, differ, and stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.data.pseudonyms import pseudonyms, true_names

PATIENTS = {"anna_1": "anna", "anna_2": "anna", "bert": "bert", "carl": "carl"}


def test_scans_of_one_patient_share_a_number() -> None:
    named = pseudonyms(PATIENTS, {})
    assert sorted(named.patients.values()) == ["P01", "P02", "P03"]
    assert named.cases["bert"] == named.patients["bert"]
    anna = named.patients["anna"]
    assert [named.cases["anna_1"], named.cases["anna_2"]] == [f"{anna}-1", f"{anna}-2"]


def test_numbers_do_not_follow_the_alphabet() -> None:
    patients = {chr(ord("a") + n): chr(ord("a") + n) for n in range(20)}
    order = [pseudonyms(patients, {}).cases[case] for case in sorted(patients)]
    assert order != sorted(order)


def test_known_names_stay_when_patients_and_scans_come() -> None:
    before = pseudonyms({"bert": "bert", "carl": "carl"}, {})
    after = pseudonyms({**PATIENTS, "bert_2": "bert"}, before.cases)
    assert {case: after.cases[case] for case in before.cases} == dict(before.cases)
    assert after.cases["bert_2"] == f"{before.cases['bert']}-2"
    assert len(set(after.cases.values())) == 5


@given(st.dictionaries(st.text(max_size=4), st.sampled_from("abcd"), max_size=12), st.data())
def test_names_are_different_whatever_was_known(patients: dict[str, str], data: st.DataObject) -> None:
    some = data.draw(st.sets(st.sampled_from(sorted(patients)))) if patients else set()
    before = pseudonyms({case: patients[case] for case in some}, {})
    after = pseudonyms(patients, before.cases)
    assert set(after.cases) == set(patients)
    assert len(set(after.cases.values())) == len(patients)
    assert all(after.cases[case] == name for case, name in before.cases.items())


def test_true_names_are_left() -> None:
    assert true_names(PATIENTS).cases["anna_1"] == "anna_1"


def test_patients_that_bear_pseudonyms_keep_their_numbers() -> None:
    patients = {"a": "patient_07", "b": "patient_02", "c": "Sommer"}
    assert pseudonyms(patients, {}).patients == {"patient_07": "P07", "patient_02": "P02", "Sommer": "P08"}
    assert pseudonyms({"x": "patient_02"}, {"b": "P02"}).patients == {"patient_02": "P03"}  # that number is taken
