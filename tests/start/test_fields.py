"""Answers: nothing is taken that was not offered, and nothing that a command would take for a path or an option."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.start.fields import Field, checked
from vmseg_auto.utils.errors import InputError

FIELDS = (
    Field("scans", "Scans", "choice", "export", options=(("export", ""), ("new", ""))),
    Field("dataset", "Name", "name", "mine"),
    Field("hours", "Hours", "number"),
    Field("epochs", "Epochs", "whole"),
    Field("reader", "Reader", "text"),
    Field("fresh", "Anew", "tick"),
)


def test_what_is_not_answered_is_as_usual() -> None:
    usual = {"scans": "export", "dataset": "mine", "hours": "", "epochs": "", "reader": "", "fresh": ""}
    assert checked(FIELDS, {}) == usual
    given = {"scans": "new", "dataset": " a_b-2 ", "hours": "0.5", "epochs": "3", "reader": "Dr Ådå", "fresh": "yes"}
    assert checked(FIELDS, given) == {**given, "dataset": "a_b-2"}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("scans", "masks"), ("scans", "../export"), ("scans", "export/"), ("scans", ""), ("scans", 3),
        ("dataset", ""), ("dataset", "a/b"), ("dataset", ".."), ("dataset", "-o"), ("dataset", "a b"), ("dataset", "ß"),
        ("hours", "-1"), ("hours", "1e9"), ("hours", "1 --fresh"), ("epochs", "0"), ("epochs", "2.5"), ("fresh", "no"),
        ("reader", "--port=1"), ("reader", "a\nb"), ("reader", "\ud800"), ("reader", "a" * 501), ("other", ""),
    ],
)  # fmt: skip
def test_what_can_not_be_an_answer_is_refused(name: str, answer: object) -> None:
    with pytest.raises(InputError):
        checked(FIELDS, {name: answer})


@given(st.text())
def test_a_new_name_never_leads_elsewhere(answer: str) -> None:
    try:
        name = checked(FIELDS, {"dataset": answer})["dataset"]
    except InputError:
        return
    assert re.fullmatch(r"\w[\w.-]*", name)
    assert name != ".."
    assert "/" not in name
    assert "\\" not in name
