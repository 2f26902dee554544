"""Connected components on masks small enough to count by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vmseg_auto.utils.components import (
    apply_postprocessing,
    component_volumes,
    keep_largest,
    label_components,
    mask_box,
)
from vmseg_auto.utils.labels import Labels
from vmseg_auto.utils.postprocessing import PostProcessing

TWO = {"background": 0, "a": 1, "b": 2}
MASKS = arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 2))


def test_corners_join_components() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    mask[3, 3, 3] = True
    numbered, count = label_components(mask)
    assert count == 2
    assert numbered[0, 0, 0] == numbered[1, 1, 1] == 1
    assert numbered[3, 3, 3] == 2
    assert component_volumes(mask) == [2, 1]


def test_empty_mask_has_no_component() -> None:
    empty = np.zeros((2, 3, 4), dtype=bool)
    assert mask_box(empty) is None
    assert label_components(empty)[1] == 0
    assert component_volumes(empty) == []


def test_box_is_tight() -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1, 2, 3] = mask[3, 2, 6] = True
    assert mask_box(mask) == ((1, 4), (2, 3), (3, 7))


def test_only_the_named_labels_are_cleaned() -> None:
    mask = np.zeros((1, 3, 9), dtype=np.uint8)
    mask[0, 0, :3], mask[0, 0, 5:7] = 1, 1
    mask[0, 2, :2], mask[0, 2, 5:9] = 2, 2
    before = mask.copy()
    cleaned = keep_largest(mask, ["a"], TWO)
    assert np.array_equal(mask, before)
    assert cleaned[0, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert np.array_equal(cleaned[0, 2], mask[0, 2])
    labels = {"background": 0, "vein": 1, "node": 2}
    assert np.array_equal(apply_postprocessing(mask, PostProcessing(("vein",)), labels), cleaned)
    assert apply_postprocessing(mask, None, labels) is mask
    assert apply_postprocessing(mask, PostProcessing(), labels) is mask


def test_of_two_equal_components_the_first_stays() -> None:
    assert keep_largest(np.array([[[1, 0, 1]]], dtype=np.uint8), ["a"], TWO).tolist() == [[[1, 0, 0]]]


@given(MASKS)
def test_what_is_kept_is_the_largest_component(mask: np.ndarray) -> None:
    cleaned = keep_largest(mask, ["a"], TWO)
    volumes = component_volumes(mask == 1)
    assert sum(volumes) == np.count_nonzero(mask == 1)
    assert component_volumes(cleaned == 1) == volumes[:1]
    assert np.array_equal(cleaned == 2, mask == 2)
    assert np.array_equal(keep_largest(cleaned, ["a"], TWO), cleaned)


def test_all_labels_together_may_have_one_component_before_each_has_its_own() -> None:
    mask = np.array([[[1, 2, 2, 0, 1, 1, 0, 2]]], dtype=np.uint8)
    cleaned = apply_postprocessing(mask, PostProcessing(together=True), TWO)
    assert cleaned.tolist() == [[[1, 2, 2, 0, 0, 0, 0, 0]]]
    assert apply_postprocessing(mask, PostProcessing(("a",), together=True), TWO).tolist() == cleaned.tolist()
    assert apply_postprocessing(mask, PostProcessing(("a",)), TWO).tolist() == [[[0, 2, 2, 0, 1, 1, 0, 2]]]


def test_a_region_has_the_components_of_all_its_values() -> None:
    nested = Labels({"background": 0, "whole": 1, "core": 2}, {"whole": (1, 2), "core": (2,)})
    mask = np.array([[[1, 2, 1, 0, 1, 1, 0, 2]]], dtype=np.uint8)
    assert keep_largest(mask, ["whole"], nested).tolist() == [[[1, 2, 1, 0, 0, 0, 0, 0]]]
    assert keep_largest(mask, ["core"], nested).tolist() == [[[1, 2, 1, 0, 1, 1, 0, 1]]]
