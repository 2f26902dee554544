"""Folds as callers name them."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.data.runs import chosen_folds
from vmseg_auto.utils.errors import InputError


def test_each_fold_counts_once_whatever_names_it() -> None:
    assert chosen_folds(number for number in (1, 0, 1)) == [1, 0]
    assert chosen_folds(np.array([2, 3])) == [2, 3]
    assert chosen_folds(["0", 0, "all"]) == [0, "all"]


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ([], "no fold is named"),
        (iter(()), "no fold is named"),
        (0, "folds is 0, and a list is wanted"),
        ("all", "folds is 'all', and a list is wanted"),
        ([-1], "-1 is no fold"),
        ([1.5], "1.5 is no fold"),
        ([True], "True is no fold"),
        (["first"], "'first' is no fold"),
    ],
)
def test_what_names_no_fold_is_refused_in_words(folds: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        chosen_folds(folds)  # type: ignore[arg-type]
