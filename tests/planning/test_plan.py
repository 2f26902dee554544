"""A plan survives its file, notices edits, and refuses those that can't work."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tiny import PLAN, tiny_plan

from vmseg_auto.planning.plan import Normalization, Plan
from vmseg_auto.utils.errors import DatasetError, InputError


def edited(**changes: Any) -> Any:
    """PLAN's JSON with fields changed; those of the network by "network_NAME"."""
    data = json.loads(json.dumps(PLAN.to_json()))
    for name, value in changes.items():
        where, key = (data["network"], name.removeprefix("network_")) if name.startswith("network_") else (data, name)
        where[key] = value
    return data


def test_json_round_trip() -> None:
    plan = tiny_plan(normalization=(Normalization("ct", 40.5, 12.0, -10.0, 200.0), Normalization("zscore_in_mask")))
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.content_hash == plan.content_hash
    assert again.voxels_hash == plan.voxels_hash


def test_a_plan_of_slices_leaves_their_thickness() -> None:
    slices = tiny_plan(
        patch=(1, 16, 16), spacing_mm=(5.0, 0.8, 0.7), strides=((1, 1, 1), (1, 2, 2)), kernels=((1, 3, 3),) * 2
    )
    slices.check()
    assert slices.by_slice
    assert not PLAN.by_slice
    assert slices.target_spacing((3.0, 1.0, 1.0)) == (3.0, 0.8, 0.7)
    assert PLAN.target_spacing((3.0, 1.0, 1.0)) == (1.0, 1.0, 1.0)
    assert (slices.spacing_text(), PLAN.spacing_text()) == ("0.8 x 0.7 mm in the slices", "1 x 1 x 1 mm")
    assert slices.voxels_hash == replace(slices, spacing_mm=(4.0, 0.8, 0.7)).voxels_hash
    assert slices.voxels_hash != replace(slices, patch=(8, 16, 16)).voxels_hash


def test_a_sealed_plan_notices_edits() -> None:
    assert not PLAN.edited
    assert Plan.from_json(edited(batch_size=3)).edited
    assert not Plan.from_json(edited(batch_size=3)).sealed().edited
    assert replace(PLAN, planned_hash="").edited


@pytest.mark.parametrize(
    "change",
    [
        {"reasons": ["other words"]}, {"trainer": "quick"}, {"fingerprint_hash": "f" * 16}, {"memory_gb": 4.0},
    ],
)  # fmt: skip
def test_what_changes_no_result_is_no_edit(change: dict[str, Any]) -> None:
    assert Plan.from_json(edited(**change)).content_hash == PLAN.content_hash


@pytest.mark.parametrize(
    ("change", "voxels_too"),
    [
        ({"batch_size": 4}, False),
        ({"patch": [8, 16, 32]}, False),
        ({"network_features": [4, 16]}, False),
        ({"network_deep_supervision": False}, False),
        ({"spacing_mm": [2.0, 1.0, 1.0]}, True),
        ({"axes": [1, 0, 2]}, True),
        ({"normalization": [{"scheme": "none"}]}, True),
        ({"left_right": 2}, True),
        ({"left_right": 2, "patient_axes": [2, 1, 0]}, True),
        ({"first_stage": "lowres"}, False),
    ],
)
def test_hashes_tell_what_must_be_done_again(change: dict[str, Any], voxels_too: bool) -> None:
    plan = Plan.from_json(edited(**change))
    assert plan.content_hash != PLAN.content_hash
    assert (plan.voxels_hash != PLAN.voxels_hash) == voxels_too


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": [0, 1, 1]}, "axes (0, 1, 1) is no order of 0, 1, 2"),
        ({"patient_axes": [0, 1, 1]}, "patient_axes (0, 1, 1) is no order of 0, 1, 2"),
        ({"patient_axes": [2, 1, 0], "left_right": 1}, "left_right 1 is not where patient_axes (2, 1, 0) has 0"),
        ({"spacing_mm": [0.0, 1.0, 1.0]}, "spacing (0.0, 1.0, 1.0) mm must be above 0"),
        ({"spacing_mm": [1.0, -1.0, 1.0]}, "must be above 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"batch_size": 5000}, "batch_size 5000"),
        ({"patch": [9, 16, 16]}, "patch (9, 16, 16) is no multiple of the strides' product 2 on axis 0"),
        ({"patch": [8, 16, 0]}, "product 2 on axis 2"),
        ({"patch": [8, -16, 16]}, "product 2 on axis 1"),
        ({"patch": [4096, 16, 16]}, "larger than 2048"),
        ({"patch": [2, 2, 2]}, "a single voxel"),
        ({"patch": [1024, 1024, 1024]}, "has 4.3e+09 values in a layer, more than 2.1e+09"),
        ({"network_strides": [[1, 1, 1]]}, "network.strides has 1 entries, but 2 features want 2"),
        ({"network_strides": []}, "network.strides has 0 entries"),
        ({"network_kernels": [[3, 3, 3]] * 3}, "network.kernels has 3 entries"),
        ({"network_blocks": [1]}, "network.blocks has 1 entries"),
        ({"network_decoder_blocks": [1, 1]}, "network.decoder_blocks has 2 entries, but 2 features want 1"),
        ({"network_features": [4]}, "1 stages"),
        ({"network_features": [4, 0]}, "network.features must be 1 to 4096"),
        ({"network_blocks": [1, 0]}, "blocks 1 to 64"),
        ({"network_kernels": [[3, 3, 3], [2, 3, 3]]}, "network.kernels must be odd"),
        ({"network_strides": [[1, 1, 1], [3, 1, 1]]}, "network.strides must be 1, 2 or 4"),
        ({"network_strides": [[1, 1, 1], [0, 2, 2]]}, "network.strides must be 1, 2 or 4"),
        ({"network_strides": [[2, 2, 2], [2, 2, 2]]}, "network.strides must begin with (1, 1, 1)"),
        ({"normalization": [{"scheme": "zscore", "std": 0.0}]}, "normalization.std"),
        ({"normalization": [{"scheme": "ct", "lower": 5.0, "upper": 1.0}]}, "normalization.lower"),
        ({"normalization": [{"scheme": "ct", "lower": 5.0, "upper": 5.0}]}, "normalization.lower"),
    ],
)
def test_an_impossible_edit_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        Plan.from_json(edited(**change), "my plan.json")
    text = str(caught.value)
    assert text.startswith("my plan.json: this plan can't work. Mend these values, or delete the file to plan anew.")
    assert words in text


def test_all_impossible_edits_are_listed_at_once() -> None:
    with pytest.raises(DatasetError) as caught:
        Plan.from_json(edited(batch_size=0, axes=[0, 0, 0], patch=[7, 16, 16]))
    assert len(caught.value.errors) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": [8, 16]}, r"plan\.json: patch must be a list of 3 values"),
        ({"patch": [8.5, 16, 16]}, r"plan\.json: patch\[0\] must be a whole number"),
        ({"network_depth": 3}, r"plan\.json: network has an unknown field: depth"),
        ({"network_builder": None}, r"plan\.json: network: builder must be a text"),
        ({"normalization": [{"scheme": "histogram"}]}, r"normalization\[0\]: scheme is 'histogram'.*zscore"),
    ],
)
def test_a_wrong_type_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Plan.from_json(edited(**change), "plan.json")


def test_a_good_plan_passes() -> None:
    PLAN.check()
    tiny_plan(patch=(2, 2, 4)).check()
