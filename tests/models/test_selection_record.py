"""The choice on disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tiny import PLAN

from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import Candidate, Estimate, Selection, Worth
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.postprocessing import PostProcessing

ONE = Candidate(
    ("p/a",), 0.5, PostProcessing(), Estimate(0.6, 0.5, 0.7, 12), Estimate(0.6, 0.5, 0.7, 12), ("as it is",)
)
BOTH = replace(ONE, runs=("p/a", "p/b"), threshold=0.4)
SELECTION = Selection(
    runs=BOTH.runs,
    reasons=("better",),
    candidates=(ONE, BOTH),
    worth=Worth("p/a", Estimate(0.6, None, None, 12), Estimate(0.1, 0.0, 0.2, 12), None, None),
    patients=5,
    left_out={"p/c": "not trained"},
    made_from={"p/a": "0", "p/b": "1"},
)


def test_json_and_back() -> None:
    assert Selection.from_json(SELECTION.to_json()) == SELECTION
    assert SELECTION.chosen == BOTH
    assert BOTH.name == "p/a + p/b"


@pytest.mark.parametrize("runs", [[], ["p/b"]])
def test_a_choice_that_was_not_compared_is_refused(runs: list[str]) -> None:
    with pytest.raises(InputError, match=r"did not compare.*vmseg_select"):
        Selection.from_json({**SELECTION.to_json(), "runs": runs})


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.3, 7.0])
def test_impossible_thresholds_are_refused(threshold: float) -> None:
    candidates: list[Any] = [replace(candidate, threshold=threshold) for candidate in SELECTION.candidates]
    with pytest.raises(InputError, match="between 0 and 1"):
        Selection.from_json(replace(SELECTION, candidates=tuple(candidates)).to_json())
    info = ModelInfo("t", "d", ("T2",), {"background": 0, "lesion": 1}, PLAN, threshold=threshold)
    with pytest.raises(InputError, match=r"model\.json: threshold.*between 0 and 1"):
        ModelInfo.from_json(info.to_json(), "model.json")


def test_a_model_from_before_thresholds_has_the_plain_one() -> None:
    data = ModelInfo("t", "d", ("T2",), {"background": 0, "lesion": 1}, PLAN, threshold=0.4).to_json()
    assert ModelInfo.from_json(data).threshold == 0.4
    del data["threshold"]
    assert ModelInfo.from_json(data).threshold == 0.5


def test_an_earlier_versions_calibration_is_left_out_and_a_newer_ones_refused() -> None:
    info = ModelInfo("t", "d", ("T2",), {"background": 0, "lesion": 1}, PLAN)
    data = info.to_json() | {"calibration": {"best": 0.9, "cases": 53, "schema": 1}}
    assert ModelInfo.from_json(data) == info
    with pytest.raises(InputError, match=r"calibration has schema 3.*newer version"):
        ModelInfo.from_json(data | {"calibration": {"best": 0.9, "schema": 3}})


def test_an_earlier_versions_choice_says_how_it_is_made_anew() -> None:
    with pytest.raises(InputError, match=r"schema 1.*Run `vmseg_select`"):
        Selection.from_json({**SELECTION.to_json(), "schema": 1})
