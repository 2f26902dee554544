"""Labels and their names."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import decode, encode
from vmseg_auto.utils.label_masks import label_values, mask_of
from vmseg_auto.utils.labels import (
    Labels,
    check_labels,
    classes_of,
    count_outputs,
    file_part,
    foreground_labels,
    labels_in_words,
    mask_values,
    odd_names,
    output_regions,
    refuse_regions,
    value_names,
    written_values,
)


@given(st.text(min_size=1))
def test_a_name_never_leads_to_another_folder(name: str) -> None:
    assert not set(file_part(name)) & set("/\\:")
    assert file_part(file_part(name)) == file_part(name)
    assert len(file_part(name).encode()) <= 100
    assert file_part(name).strip(". ") == file_part(name) != ""


@pytest.mark.parametrize("name", ["lesion", "vein (left)", "l\xe4sion", "a.b", "metrics_1"])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert file_part(name) == name


def test_a_name_that_no_folder_can_have_gets_another() -> None:
    assert {name: file_part(name).partition("~")[0] for name in (".", "..", "a.", ".a", "con", "a/b")} == {
        ".": "_", "..": "_", "a.": "a_", ".a": "a", "con": "con", "a/b": "a_b",
    }  # fmt: skip
    assert file_part("con") != "con"
    assert odd_names(["a.", "a "]) is not None


@pytest.mark.parametrize("labels", [{"background": 0, "lesion": 1}, {"b": 1, "é / ö": 2, "..": 0}])
def test_labels_that_nnunet_takes_are_taken(labels: dict[str, int]) -> None:
    check_labels(labels, "model.json")
    assert odd_names(labels) is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, "values 0, 1, 2"),
        ({"background": 0}, "values 0, 1, 2"),
        ({"background": 0, "a": 2}, "values 0, 1, 2"),
        ({"background": 0, "a": 1, "b": 1}, "values 0, 1, 2"),
        ({str(number): number for number in range(256)}, "up to 254"),
        ({"background": 0, "lesion": 1, "ignore": 2}, "is no class that a model can have"),
        ({"background": 0, "": 1}, "1 to 100 plain letters"),
        ({"background": 0, "a" * 101: 1}, "1 to 100 plain letters"),
        ({"background": 0, "a\nb": 1}, "1 to 100 plain letters"),
        ({"background": 0, "a/b": 1, "a_b": 2}, "differ only in"),
    ],
)
def test_other_labels_are_refused_with_a_remedy(labels: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=rf"model\.json.*{words}.*Mend the labels"):
        check_labels(labels, "model.json")


KITS = Labels(
    {"background": 0, "kidney": 1, "mass": 3, "tumour": 2}, {"kidney": (1, 2, 3), "mass": (2, 3), "tumour": (2,)}
)


def test_regions_are_listed_in_the_order_of_outputs_and_known_by_the_values_they_hold() -> None:
    assert foreground_labels(KITS) == ["kidney", "mass", "tumour"]
    assert written_values(KITS) == [0, 1, 3, 2]
    assert output_regions(KITS) == ((1, 2, 3), (2, 3), (2,))
    assert (count_outputs(KITS), mask_values(KITS)) == (3, {0, 1, 2, 3})
    assert value_names(KITS) == {1: "kidney", 2: "kidney + mass + tumour", 3: "kidney + mass"}
    assert labels_in_words(KITS) == "kidney 1+2+3, mass 2+3, tumour 2"
    mask = np.array([[[0, 1, 2, 3]]], np.uint8)
    assert mask_of(mask, KITS, "mass").tolist() == [[[False, False, True, True]]]
    assert label_values(mask, KITS) is mask


def test_regions_go_to_json_and_come_back_and_labels_stay_as_they_were() -> None:
    stored = json.loads(json.dumps(encode(KITS)))
    assert stored["mass"] == {"value": 3, "holds": [2, 3]}
    assert decode(Labels, stored, "labels") == KITS
    assert encode(Labels({"background": 0, "lesion": 1})) == {"background": 0, "lesion": 1}
    assert pickle.loads(pickle.dumps(KITS)) == KITS
    with pytest.raises(InputError, match=r"labels\.a must be a whole number"):
        decode(Labels, {"a": "1"}, "labels")
    with pytest.raises(InputError, match="lacks the field holds"):
        decode(Labels, {"a": {"value": 1}}, "labels")


def test_regions_in_another_order_or_of_other_values_are_others() -> None:
    turned = Labels(dict(reversed(KITS.items())), dict(reversed(KITS.regions.items())))
    plain = dict(KITS)
    assert Labels(KITS, KITS.regions) == KITS
    for other in (turned, plain, Labels(KITS), Labels(KITS, {**KITS.regions, "mass": (3,)})):
        assert other != KITS
        assert other != KITS
    assert Labels({"a": 1, "background": 0}) == {"background": 0, "a": 1}
    assert classes_of(Labels({**KITS, "ignore": 4}, KITS.regions)) == KITS


def test_what_can_not_do_regions_refuses_them_by_name() -> None:
    refuse_regions({"background": 0, "lesion": 1}, "a review")
    with pytest.raises(InputError, match=r"a review is not possible yet with labels that are regions \(kidney, mass"):
        refuse_regions(KITS, "a review")
    check_labels(KITS, "model.json")
    with pytest.raises(InputError, match="region mass is written as 1, which is none of its values"):
        check_labels(Labels({**KITS, "mass": 1, "kidney": 3}, KITS.regions), "model.json")
    with pytest.raises(InputError, match="every other label the values that it holds"):
        check_labels(Labels({**KITS, "cyst": 4}, KITS.regions), "model.json")
