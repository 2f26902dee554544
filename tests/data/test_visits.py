"""Visits are told from patients by marks in case names, and by nothing else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.data.visits import suggest_visits


@pytest.mark.parametrize(
    ("first", "second", "stem"),
    [
        ("anna_v1", "anna_v2", "anna"),
        ("anna-v01", "anna-v02", "anna"),
        ("sub-03_ses-01", "sub-03_ses-02", "sub-03"),
        ("sub-03_ses-pre_T2w", "sub-03_ses-post_T2w", "sub-03_T2w"),
        ("neck_10062Ses1", "neck_10062Ses2", "neck_10062"),
        ("anna_visit1", "anna_visit_2", "anna"),
        ("annaVisit1", "annaVisit2", "anna"),
        ("visit1_03", "visit2_03", "03"),
        ("anna_tp1", "anna-tp2", "anna"),
        ("anna_timepoint1", "anna_time_point_2", "anna"),
        ("anna_baseline", "anna_followup", "anna"),
        ("anna", "anna_fu1", "anna"),
        ("anna", "anna_follow-up", "anna"),
        ("anna_20210503", "anna_20211224", "anna"),
        ("anna_2021-05-03", "anna_03.05.2022", "anna"),
        ("anna_v1_20210503", "anna_v2_20211224", "anna"),
        ("anna_v1_t2", "anna_v2_t2", "anna_t2"),
    ],
)
def test_visits_are_suggested(first: str, second: str, stem: str) -> None:
    assert suggest_visits([second, first, "bert_v1", "case_17"]) == {stem: tuple(sorted([first, second]))}


@pytest.mark.parametrize(
    "cases",
    [
        ["anna_t1", "anna_t2"],
        ["case_01", "case_02"],
        ["anna_2019", "anna_2021"],
        ["anna_20211403", "anna_20211503"],  # no month 14
        ["anna_202105031", "anna_202105032"],
        ["anna_v1a", "anna_v1b"],
        ["anna_fungus", "anna_fuzzy"],
        ["annases1", "annases2"],
        ["anna_v1", "bert_v1"],
        ["Anna_v1", "anna_v2"],
        ["case_v1", "case_v2", "case_v3"],
        ["vm_20210503", "vm_20211224"],
        ["visit1", "visit2"],
        ["20210503", "20211224"],
    ],
    ids=lambda cases: cases[0],
)
def test_others_are_patients_of_their_own(cases: list[str]) -> None:
    assert suggest_visits([*cases, "zoe"]) == {}


def test_a_whole_cohort_is_not_one_patient() -> None:
    assert suggest_visits(["anna_v1", "anna_v2", "anna_v3"]) == {}


NAMES = st.from_regex(r"[a-z]{3,8}_?[0-9]{0,4}(_v[1-9]|Ses[1-9]|_20210503)?", fullmatch=True)


@given(st.lists(NAMES, unique=True), st.randoms(use_true_random=False))
def test_no_case_is_suggested_twice_and_order_is_no_matter(names: list[str], random: Random) -> None:
    found = suggest_visits(names)
    suggested = [case for group in found.values() for case in group]
    assert len(set(suggested)) == len(suggested)
    assert set(suggested) <= set(names)
    assert all(len(group) > 1 for group in found.values())
    random.shuffle(names)
    assert suggest_visits(names) == found
