"""The way to the network's grid, and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from raw_dataset import GRID, tiny_image, tiny_mask
from tiny import PLAN

from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.planning.plan import Normalization, Plan
from vmseg_auto.preprocessing.transform import (
    nonzero_box,
    preprocess_image,
    preprocess_mask,
    restore_labels,
    restore_logits,
)
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Axes, Geometry, picked

RAW = replace(PLAN, normalization=(Normalization("none"),), spacing_mm=GRID.spacing_mm)
"""Changes nothing but the crop."""


def turned(plan: Plan, axes: tuple[int, int, int]) -> Plan:
    z, y, x = (plan.spacing_mm[axis] for axis in axes)
    return replace(plan, axes=axes, spacing_mm=(z, y, x))


def test_the_box_holds_what_is_not_zero_in_any_channel() -> None:
    image = np.zeros((2, 5, 6, 7), dtype=np.float32)
    image[0, 1, 2, 3] = -1
    image[1, 3, 2, 6] = 2
    assert nonzero_box(image) == ((1, 4), (2, 3), (3, 7))
    with pytest.raises(InputError, match="the image is empty"):
        nonzero_box(0 * image)


def test_an_image_is_cropped_and_turned() -> None:
    image = np.stack([tiny_image(0), tiny_image(1)])
    plan = turned(replace(RAW, normalization=RAW.normalization * 2), (2, 0, 1))
    preprocessed, box = preprocess_image(image, GRID, plan)
    assert box == ((1, 5), (1, 8), (1, 9))
    np.testing.assert_array_equal(preprocessed, image[:, 1:5, 1:8, 1:9].transpose(0, 3, 1, 2))
    mask = preprocess_mask(tiny_mask(), GRID, box, plan)
    np.testing.assert_array_equal(mask, tiny_mask()[1:5, 1:8, 1:9].transpose(2, 0, 1))
    assert mask.flags.c_contiguous


def test_statistics_are_those_of_the_crop() -> None:
    plan = replace(RAW, normalization=(Normalization("zscore"),))
    preprocessed, _ = preprocess_image(tiny_image()[None], GRID, plan)
    assert abs(float(preprocessed.mean())) < 1e-5
    assert float(preprocessed.std()) == pytest.approx(1, abs=1e-5)


def test_holes_count_as_inside_but_notches_do_not() -> None:
    image = np.full((1, 5, 5, 5), 10, dtype=np.float32)
    image[0, 2, 2, 2] = 0
    image[0, 0, 0, :] = 0
    grid = Geometry((5, 5, 5), (1, 1, 1))
    plan = replace(PLAN, normalization=(Normalization("zscore_in_mask"),), spacing_mm=(1.0, 1.0, 1.0))
    preprocessed, _ = preprocess_image(image, grid, plan)
    np.testing.assert_array_equal(preprocessed[0, 0, 0], 0)
    assert preprocessed[0, 2, 2, 2] < -5
    assert 0 < preprocessed[0, 4, 4, 4] < 1


def test_slices_taken_one_by_one_stay_as_they_are() -> None:
    """In-plane resampling alone, there and back, whatever spacing the plan names across slices."""
    plan = replace(RAW, patch=(1, 16, 16), spacing_mm=(1.5, 0.4, 0.35))
    image = tiny_image()[None]
    preprocessed, box = preprocess_image(image, GRID, plan)
    assert preprocessed.shape == (1, 4, 14, 16)
    for index in range(4):
        alone = image.copy()
        alone[:, [z for z in range(len(alone[0])) if z != 1 + index]] = 0
        (one,) = preprocess_image(alone, GRID, plan)[0][0]
        np.testing.assert_allclose(preprocessed[0, index], one, atol=1e-4)
    assert preprocess_mask(tiny_mask(), GRID, box, plan).shape == (4, 14, 16)
    restored = restore_logits(preprocessed, GRID, box, plan)
    assert restored.shape == (1, 4, 7, 8)


def test_image_and_mask_land_on_the_same_grid() -> None:
    plan = replace(turned(RAW, (1, 2, 0)), spacing_mm=(1.1, 0.4, 2.0))
    preprocessed, box = preprocess_image(tiny_image()[None], GRID, plan)
    mask = preprocess_mask(tiny_mask(), GRID, box, plan)
    assert mask.shape == preprocessed.shape[1:] == (5, 14, 6)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("classes", [2, 3])
def test_labels_are_those_of_the_restored_logits(axes: tuple[int, int, int], classes: int) -> None:
    plan = replace(turned(RAW, axes), spacing_mm=(1.0, 1.3, 0.9))
    preprocessed, box = preprocess_image(tiny_image()[None], GRID, plan)
    logits = np.random.default_rng(0).normal(size=(classes, *preprocessed.shape[1:])).astype(np.float32)
    restored = restore_logits(logits, GRID, box, plan)
    assert restored.shape == (classes, 4, 7, 8)
    values = (0, 7, 9)[:classes]
    found = restore_labels(logits, GRID, box, plan, values)
    np.testing.assert_array_equal(found[1:5, 1:8, 1:9], np.array(values)[restored.argmax(axis=0)])
    outside = np.ones(GRID.shape, dtype=bool)
    outside[1:5, 1:8, 1:9] = False
    assert not found[outside].any()
    assert found.dtype == np.uint8


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)])
@given(flipped=st.sets(st.sampled_from([0, 1, 2])), order=st.sampled_from(list(permutations((0, 1, 2)))))
def test_how_a_scan_is_stored_changes_nothing(axes: tuple[int, int, int], flipped: set[int], order: Axes) -> None:
    """The same scan, whose axes run the other way or come in another order: the same input of the network, and the mask
    turned back."""
    plan = replace(
        turned(RAW, axes),
        spacing_mm=(1.0, 1.3, 0.9),
        left_right=axes.index(2),
        patient_axes=picked(GRID.patient_axes, axes),
    )
    other = _stored_otherwise(GRID, flipped, order)

    def stored(array: NDArray[Any]) -> NDArray[Any]:
        lead = array.ndim - 3
        back = np.flip(array, tuple(lead + axis for axis in flipped))
        return back.transpose(*range(lead), *(lead + axis for axis in order))

    preprocessed, box = preprocess_image(tiny_image()[None], GRID, plan)
    again, other_box = preprocess_image(stored(tiny_image()[None]), other, plan)
    np.testing.assert_array_equal(again, preprocessed)
    labels = preprocess_mask(stored(tiny_mask()), other, other_box, plan)
    np.testing.assert_array_equal(labels, preprocess_mask(tiny_mask(), GRID, box, plan))
    logits = np.random.default_rng(0).normal(size=(2, *preprocessed.shape[1:])).astype(np.float32)
    mask = restore_labels(logits, GRID, box, plan, (0, 1))
    np.testing.assert_array_equal(restore_labels(logits, other, other_box, plan, (0, 1)), stored(mask))
    soft = restore_logits(logits, GRID, box, plan)
    np.testing.assert_array_equal(restore_logits(logits, other, other_box, plan), stored(soft))


def _stored_otherwise(grid: Geometry, flipped: set[int], order: Axes) -> Geometry:
    """A grid whose axes run the other way, and then come in another order."""
    columns = grid.cosines * [-1.0 if axis in flipped else 1.0 for axis in range(3)]
    return replace(
        grid,
        shape=picked(grid.shape, order),
        spacing_mm=picked(grid.spacing_mm, order),
        direction=tuple(columns[:, order][:, ::-1].ravel()),
    )


def test_scans_are_taken_as_stored_where_the_plan_knows_no_left_and_right() -> None:
    other = replace(GRID, direction=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    preprocessed, _ = preprocess_image(tiny_image()[None], other, RAW)
    np.testing.assert_array_equal(preprocessed, preprocess_image(tiny_image()[None], GRID, RAW)[0])


def test_ties_between_classes_go_to_the_first() -> None:
    _, box = preprocess_image(tiny_image()[None], GRID, RAW)
    for classes in (2, 3):
        equal = np.ones((classes, 4, 7, 8), dtype=np.float32)
        assert not restore_labels(equal, GRID, box, RAW, range(classes)).any()


def test_misuse_is_refused() -> None:
    with pytest.raises(InputError, match="the scan has 2 channels, but the plan wants 1"):
        preprocess_image(np.ones((2, *GRID.shape), dtype=np.float32), GRID, RAW)
    with pytest.raises(ValueError, match="3 label values for 2 outputs"):
        restore_labels(np.ones((2, 4, 7, 8), dtype=np.float32), GRID, ((1, 5), (1, 8), (1, 9)), RAW, (0, 1, 2))


@pytest.mark.parametrize(("name", "count"), [("hippocampus53", 3), ("vmsemi53", 2), ("neck_cord", 2)])
def test_real_masks_survive_the_way_there_and_back(shared_data: Path, name: str, count: int) -> None:
    dataset = read_dataset(shared_data / name)
    values = sorted(dataset.labels.values())
    for case in dataset.cases[:count]:
        image, mask, geometry = read_case(case, dataset.labels)
        assert mask is not None
        z, y, x = geometry.spacing_mm
        plan = replace(PLAN, axes=(0, 2, 1), spacing_mm=(z, 0.9 * x, 0.9 * y))
        preprocessed, box = preprocess_image(image, geometry, plan)
        label = preprocess_mask(mask, geometry, box, plan)
        assert label.shape == preprocessed.shape[1:]
        assert abs(float(preprocessed.mean())) < 0.1
        logits = np.stack([label == value for value in values]).astype(np.float32)
        back = restore_labels(logits, geometry, box, plan, values)
        for value in values:
            both = np.count_nonzero((back == value) & (mask == value))
            assert 2 * both > 0.9 * (np.count_nonzero(back == value) + np.count_nonzero(mask == value))
