"""Scores against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vmseg_auto.evaluation.label_check import contradiction
from vmseg_auto.evaluation.metrics.metric import PENALTY_MM
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.evaluation.metrics.score import metrics, score, score_case
from vmseg_auto.evaluation.surfaces import annotated_surface
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.labels import IGNORE

Mask = NDArray[np.bool_]
UNIT = (1.0, 1.0, 1.0)
SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
LIKENESS = (
    "dice", "iou", "precision", "recall", "specificity", "nsd", "lesion_precision", "lesion_recall", "lesion_f1",
    "recognition_quality", "panoptic_quality", "lesionwise_dice",
)  # fmt: skip
"""Scores that are 1 where both masks are the same."""
DISTANCES = (
    "hd_mm", "hd95_mm", "assd_mm", "masd_mm", "hd95_penalised_mm", "assd_penalised_mm", "lesionwise_hd95_mm",
)  # fmt: skip
"""Scores that are 0 there."""
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


def cube(shape: tuple[int, int, int], start: tuple[int, int, int], edge: int = 4) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    z, y, x = start
    mask[z : z + edge, y : y + edge, x : x + edge] = True
    return mask


def test_overlap_by_hand() -> None:
    prediction, reference = np.zeros((1, 2, 10), dtype=bool), np.zeros((1, 2, 10), dtype=bool)
    prediction[0, 0, :4] = True  # 4 voxels
    reference[0, 0, 1:7] = True  # 6 voxels, 3 in common
    scores = score(prediction, reference, UNIT)
    assert scores["dice"] == pytest.approx(2 * 3 / (4 + 6))
    assert scores["iou"] == pytest.approx(3 / 7)
    assert scores["precision"] == pytest.approx(3 / 4)
    assert scores["recall"] == pytest.approx(3 / 6)
    assert scores["specificity"] == pytest.approx(13 / 14)


def test_volumes_in_ml() -> None:
    reference, prediction = cube((8, 8, 8), (0, 0, 0)), cube((8, 8, 8), (0, 0, 0), edge=2)
    scores = score(prediction, reference, (5.0, 2.0, 1.0))
    assert scores["reference_ml"] == pytest.approx(0.64)
    assert scores["prediction_ml"] == pytest.approx(0.08)
    assert scores["volume_error_ml"] == pytest.approx(-0.56)
    assert scores["volume_error_abs_ml"] == pytest.approx(0.56)
    assert scores["volume_error_percent"] == pytest.approx(-87.5)


@pytest.mark.parametrize(("axis", "spacing_mm"), [(0, (2.0, 1.0, 1.0)), (1, (1.0, 2.0, 3.0)), (2, (5.0, 1.0, 0.5))])
def test_slabs_at_a_known_distance(axis: int, spacing_mm: Spacing) -> None:
    """Two slabs across the whole image, one moved by 3 voxels: both of its faces lie 3 voxels off."""
    reference, prediction = np.zeros((30, 30, 30), dtype=bool), np.zeros((30, 30, 30), dtype=bool)
    np.moveaxis(reference, axis, 0)[5:15] = True
    np.moveaxis(prediction, axis, 0)[8:18] = True
    scores = score(prediction, reference, spacing_mm, tolerance_mm=0.01)
    assert scores["hd95_mm"] == pytest.approx(3 * spacing_mm[axis])
    # the faces count; of the rim, 7 of 10 voxels coincide
    assert 0 < scores["nsd"] < 1
    assert scores["nsd"] < score(prediction, reference, spacing_mm, 3 * spacing_mm[axis])["nsd"] == 1
    assert 0 < scores["assd_mm"] < 3 * spacing_mm[axis]


def test_far_cubes() -> None:
    """Equal cubes 10 voxels apart: the surfaces are 6 to 10 voxels from each other."""
    reference, prediction = cube((10, 10, 30), (3, 3, 2)), cube((10, 10, 30), (3, 3, 12))
    scores = score(prediction, reference, (1.0, 1.0, 2.0), tolerance_mm=11.5)
    assert scores["dice"] == 0
    assert scores["nsd"] == 0
    assert 11.5 <= scores["assd_mm"] <= scores["hd95_mm"] <= scores["hd_mm"] <= 20.5
    assert score(prediction, reference, (1.0, 1.0, 2.0), tolerance_mm=20.5)["nsd"] == 1


def test_perfect_prediction() -> None:
    mask = cube((9, 9, 9), (2, 3, 4))
    scores = score(mask, mask, (3.0, 0.7, 0.7), tolerance_mm=0.0)
    assert all(scores[name] == 1 for name in LIKENESS)
    assert all(scores[name] == 0 for name in DISTANCES)
    zeros = (
        "volume_error_ml",
        "volume_error_abs_ml",
        "volume_error_percent",
        "lesions_missed",
        "false_positive_lesions",
    )
    assert all(scores[name] == 0 for name in zeros)
    assert (scores["reference_lesions"], scores["lesions_found"], scores["segmentation_quality"]) == (1, 1, 1)


def test_lesions_by_hand() -> None:
    reference, prediction = np.zeros((1, 9, 9), dtype=bool), np.zeros((1, 9, 9), dtype=bool)
    reference[0, 0, :3] = reference[0, 4, :3] = reference[0, 8, :3] = True  # three lesions
    prediction[0, 0, 2:5] = True  # hits the first by one voxel
    prediction[0, 6, 6] = True  # hits none
    scores = score(prediction, reference, UNIT)
    assert scores["lesion_precision"] == pytest.approx(1 / 2)
    assert scores["lesion_recall"] == pytest.approx(1 / 3)
    assert scores["lesion_f1"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))


def test_one_blob_finds_two_lesions() -> None:
    reference, prediction = np.zeros((1, 1, 7), dtype=bool), np.ones((1, 1, 7), dtype=bool)
    reference[0, 0, [0, 6]] = True
    scores = score(prediction, reference, UNIT)
    assert (scores["lesion_precision"], scores["lesion_recall"]) == (1, 1)


def test_both_empty() -> None:
    empty = np.zeros((3, 4, 5), dtype=bool)
    scores = score(empty, empty, UNIT)
    assert {name for name, value in scores.items() if value == 1} == set(LIKENESS)
    assert math.isnan(scores.pop("segmentation_quality"))  # there is no pair
    assert all(value == 0 for name, value in scores.items() if name not in LIKENESS)


@pytest.mark.parametrize("prediction_empty", [True, False])
def test_one_empty(prediction_empty: bool) -> None:
    empty, full = np.zeros((6, 6, 6), dtype=bool), cube((6, 6, 6), (1, 1, 1), edge=2)
    scores = score(empty, full, UNIT) if prediction_empty else score(full, empty, UNIT)
    assert all(scores[name] == 0 for name in LIKENESS if name != "specificity")
    assert all(np.isnan(scores[name]) for name in ("hd_mm", "hd95_mm", "assd_mm", "masd_mm", "segmentation_quality"))
    penalised = ("hd95_penalised_mm", "assd_penalised_mm", "lesionwise_hd95_mm")
    assert all(scores[name] == PENALTY_MM for name in penalised)
    if prediction_empty:
        assert scores["volume_error_percent"] == -100
        assert scores["specificity"] == 1
    else:
        assert np.isnan(scores["volume_error_percent"])
        assert scores["specificity"] == pytest.approx(1 - 8 / 216)


def test_reference_that_fills_the_image() -> None:
    assert score(np.ones((2, 2, 2), dtype=bool), np.ones((2, 2, 2), dtype=bool), UNIT)["specificity"] == 1


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="a prediction of"):
        score(np.ones((2, 2, 2), dtype=bool), np.ones((2, 2, 3), dtype=bool), UNIT)


@settings(deadline=None, max_examples=50)
@given(PAIRS)
def test_laws(pair: tuple[Mask, Mask]) -> None:
    prediction, reference = pair
    spacing_mm = (3.0, 0.7, 0.9)
    scores, swapped = score(prediction, reference, spacing_mm), score(reference, prediction, spacing_mm)
    assert list(scores) == [metric.name for metric in metrics()]
    assert scores["dice"] == pytest.approx(2 * scores["iou"] / (1 + scores["iou"]))
    same = ("dice", "iou", "nsd", "hd_mm", "hd95_mm", "assd_mm", "masd_mm", "lesion_f1", "panoptic_quality")
    for name in same:
        assert scores[name] == pytest.approx(swapped[name], nan_ok=True)
    assert scores["precision"] == swapped["recall"]
    assert scores["lesion_precision"] == swapped["lesion_recall"]
    assert scores["volume_error_ml"] == pytest.approx(-swapped["volume_error_ml"])
    for one in metrics():
        value = scores[one.name]
        assert one.low <= value <= one.high or (one.may_lack and math.isnan(value))
    margin = ((2, 1), (0, 3), (1, 2))
    padded = score(np.pad(prediction, margin), np.pad(reference, margin), spacing_mm)
    assert {**padded, "specificity": 0} == pytest.approx({**scores, "specificity": 0}, nan_ok=True)


def test_a_row_a_label() -> None:
    reference = np.zeros((4, 4, 4), dtype=np.uint8)
    reference[0], reference[3] = 1, 2
    rows = score_case(
        np.where(reference == 2, 2, 0).astype(np.uint8),
        reference,
        Geometry((4, 4, 4), UNIT),
        {"background": 0, "vein": 1, "node": 2},
    )
    assert [(row["label"], row["dice"]) for row in rows] == [("vein", 0), ("node", 1)]


GRID = Geometry((6, 7, 8), (2.0, 1.0, 0.5))
VALUES = st.sampled_from([0, 0, 1, 2])
SPARSE_PAIRS = st.tuples(
    arrays(np.uint8, GRID.shape, elements=VALUES),
    arrays(np.uint8, GRID.shape, elements=VALUES),
    arrays(np.uint8, GRID.shape, elements=VALUES),
    arrays(bool, (6, 1, 1)) | arrays(bool, GRID.shape),
)


@settings(deadline=None, max_examples=30)
@given(SPARSE_PAIRS)
def test_what_is_predicted_where_nobody_has_annotated_changes_no_score(
    drawn: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], Mask],
) -> None:
    prediction, other, reference, unseen = drawn
    reference = np.where(unseen, np.uint8(IGNORE), reference)
    changed = np.where(reference == IGNORE, other, prediction)
    labels = {"background": 0, "lesion": 1, "vein": 2}
    rows = [score_case(mask, reference, GRID, labels) for mask in (prediction, changed)]
    np.testing.assert_equal(rows[0], rows[1])
    assert mean_dice(prediction, reference, labels) == mean_dice(changed, reference, labels)
    assert contradiction(prediction, reference, GRID, labels) == contradiction(changed, reference, GRID, labels)


def test_a_case_annotated_in_part_is_scored_in_that_part_and_tells_no_volume() -> None:
    reference, prediction = np.zeros((2, 6, 10, 10), dtype=np.uint8)
    reference[1:5, 2:7, 2:7] = 1
    prediction[1:5, 2:7, 3:7] = 1
    (whole,) = score_case(prediction, reference, Geometry((6, 10, 10), UNIT), {"lesion": 1})
    reference[::2] = IGNORE
    (part,) = score_case(prediction, reference, Geometry((6, 10, 10), UNIT), {"lesion": 1})
    for name in ("dice", "iou", "precision", "recall"):
        assert part[name] == pytest.approx(whole[name])
    assert part["reference_lesions"] == 2
    for name in ("reference_ml", "prediction_ml", "volume_error_ml", "volume_error_abs_percent"):
        assert math.isnan(part[name])
    assert part["specificity"] == 1


def test_the_end_of_the_annotation_is_no_surface() -> None:
    """A lesion of which one slice in three is outlined: too large a disc is wrong at its rim alone."""
    discs = [np.hypot(*np.mgrid[-15:16, -15:16]) <= radius for radius in (8, 10)]
    reference, prediction = (np.repeat(disc[None], 9, axis=0).astype(np.uint8) for disc in discs)
    reference[np.arange(9) % 3 != 1] = IGNORE
    (found,) = score_case(prediction, reference, Geometry((9, 31, 31), (3.0, 1.0, 1.0)), {"lesion": 1})
    assert found["nsd"] == 0, "faces above and below would agree"
    assert found["hd95_mm"] == pytest.approx(2, abs=0.5)
    assert found["assd_mm"] == pytest.approx(2, abs=0.3)
    (same,) = score_case(reference, reference, Geometry((9, 31, 31), (3.0, 1.0, 1.0)), {"lesion": 1})
    assert (same["nsd"], same["hd_mm"]) == (1, 0)


def test_the_rim_of_a_slice_that_is_annotated_alone_is_as_that_of_a_long_lesion() -> None:
    """A cylinder of radius 8 mm: 2 pi r over a slice's thickness."""
    disc = np.hypot(*np.mgrid[-12:13, -12:13]) <= 8
    mask = np.zeros((9, 25, 25), dtype=bool)
    mask[4] = disc
    ignored = np.ones_like(mask)
    ignored[4] = False
    surface = annotated_surface(mask, ignored, (3.0, 1.0, 1.0))
    assert surface.areas.sum() == pytest.approx(2 * math.pi * 8 * 3, rel=0.05)
    assert set(surface.components.tolist()) == {1}
