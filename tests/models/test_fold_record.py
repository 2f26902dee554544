"""What makes a trained fold stale, in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import InputError

RECORD = FoldRecord(TrainingConfig(epochs=5), "abc", train={"a": "1", "b": "2"}, val={"c": "3"})


def test_json_round_trip() -> None:
    assert FoldRecord.from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


def test_the_same_record_has_no_differences() -> None:
    assert RECORD.differences(replace(RECORD)) == []


def test_settings_are_no_difference_of_the_data() -> None:
    other = replace(RECORD, config=TrainingConfig(epochs=6))
    assert RECORD.data_differences(other) == []
    assert RECORD.differences(other) == ["epochs: 5 against 6"]


def test_where_cases_are_held_is_no_difference() -> None:
    """So a training goes on with or without."""
    assert RECORD.differences(replace(RECORD, config=replace(RECORD.config, hold_cases="off"))) == []


def test_every_change_of_the_data_is_said() -> None:
    other = replace(RECORD, plan_hash="def", train={"a": "changed", "d": "4"}, val={"c": "3", "b": "2"})
    assert RECORD.data_differences(other) == [
        "the plan has changed",
        "training cases added: d",
        "training cases removed: b",
        "training cases changed: a",
    ]


def test_cases_validation_make_no_fold_stale() -> None:
    """Weights know nothing of them."""
    assert RECORD.differences(replace(RECORD, val={"c": "changed", "d": "4"})) == []


def test_weights_that_did_best_on_cases_validation_depend_on_them() -> None:
    stopping = replace(RECORD, config=replace(RECORD.config, early_stopping=True))
    assert stopping.data_differences(replace(stopping, val={"c": "changed", "d": "4"})) == [
        "validation cases added: d",
        "validation cases changed: c",
    ]


def test_only_what_may_have_been_seen_is_a_conflict() -> None:
    """A removed case, or a copy, may be a validation case now; added and corrected ones leave the weights honest."""
    assert RECORD.conflicts(replace(RECORD, train={"a": "changed", "b": "2", "d": "4"}, val={})) == []
    other = replace(RECORD, plan_hash="def", train={"a": "1"}, val={"b": "2"})
    assert RECORD.conflicts(other) == ["the plan has changed", "training cases removed: b"]


def test_long_lists_are_cut() -> None:
    other = replace(RECORD, train={f"case_{i:02d}": "x" for i in range(20)})
    (added, removed) = RECORD.data_differences(other)
    assert added == "training cases added: case_00, case_01, case_02, case_03, case_04, case_05 and 14 more"
    assert removed == "training cases removed: a, b"


def test_a_broken_file_is_refused() -> None:
    data = RECORD.to_json()
    del data["plan_hash"]
    with pytest.raises(InputError, match=r"fold_0/fold\.json lacks the field plan_hash"):
        FoldRecord.from_json(data, "fold_0/fold.json")


def test_other_first_weights_are_a_difference_of_the_training_and_not_of_the_data() -> None:
    begun = replace(RECORD, init="1a2b")
    assert begun.differences(RECORD) == ["first weights: 1a2b against random"]
    assert begun.differences(replace(begun, init="3c4d")) == ["first weights: 1a2b against 3c4d"]
    assert begun.data_differences(RECORD) == []


def test_a_record_from_before_first_weights_were_recorded_is_read() -> None:
    data = RECORD.to_json()
    del data["init"]
    assert FoldRecord.from_json(data) == RECORD
