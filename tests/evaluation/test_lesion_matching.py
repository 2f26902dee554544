"""Lesions found, missed and false; pairs; and the rules of BraTS."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.evaluation.lesion_matching import Lesions
from vmseg_auto.evaluation.metrics.lesions import lesionwise, overlapping_lesions, panoptic_quality
from vmseg_auto.evaluation.metrics.metric import PENALTY_MM
from vmseg_auto.evaluation.metrics.score import score
from vmseg_auto.evaluation.surfaces import surface_of

Mask = NDArray[np.bool_]
UNIT = (1.0, 1.0, 1.0)
SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


def row(*runs: tuple[int, int], length: int = 40) -> Mask:
    """Runs of voxels on a line."""
    mask = np.zeros((1, 1, length), bool)
    for start, stop in runs:
        mask[0, 0, start:stop] = True
    return mask


def brats(prediction: Mask, reference: Mask, **rules: float) -> dict[str, float]:
    surfaces = surface_of(prediction, UNIT), surface_of(reference, UNIT)
    return lesionwise(Lesions.of(prediction, reference), *surfaces, **rules)  # type: ignore[arg-type]


def test_a_mask_that_fills_the_image_is_no_good_detection() -> None:
    """By overlap alone it finds all lesions and is right everywhere."""
    reference = row((2, 4), (10, 12), (20, 22))
    scores = score(np.ones_like(reference), reference, UNIT)
    assert scores["lesion_f1"] == 1
    assert scores["panoptic_quality"] == scores["recognition_quality"] == 0
    assert scores["lesionwise_dice"] < 0.3


def test_numbers_and_volumes_by_hand() -> None:
    reference, prediction = row((0, 4), (8, 10), (14, 15)), row((2, 5), (20, 25), (30, 31))
    counted = overlapping_lesions(Lesions.of(prediction, reference), voxel_ml=0.5)
    assert counted["reference_lesions"] == 3
    assert (counted["lesions_found"], counted["lesions_missed"], counted["lesions_missed_ml"]) == (1, 2, 1.5)
    assert (counted["false_positive_lesions"], counted["false_positive_lesions_ml"]) == (2, 3.0)
    assert counted["lesion_recall"] == counted["lesion_precision"] == pytest.approx(1 / 3)


def test_pairs_need_more_than_half() -> None:
    """IoU 2/3 makes a pair, 1/2 does not."""
    assert panoptic_quality(Lesions.of(row((0, 4)), row((0, 6))))["panoptic_quality"] == pytest.approx(2 / 3)
    assert panoptic_quality(Lesions.of(row((0, 3)), row((0, 6))))["panoptic_quality"] == 0
    two = panoptic_quality(Lesions.of(row((0, 4), (10, 12)), row((0, 6), (20, 23))))
    assert (two["recognition_quality"], two["segmentation_quality"]) == pytest.approx((0.5, 2 / 3))
    assert two["panoptic_quality"] == pytest.approx(1 / 3)


def test_where_nothing_is() -> None:
    nothing = np.zeros((1, 1, 5), bool)
    scores = panoptic_quality(Lesions.of(nothing, nothing))
    assert (scores["panoptic_quality"], scores["recognition_quality"]) == (1, 1)
    assert math.isnan(scores["segmentation_quality"])
    assert brats(nothing, nothing) == {"lesionwise_dice": 1, "lesionwise_hd95_mm": 0}
    assert brats(row((0, 3)), row()) == {"lesionwise_dice": 0, "lesionwise_hd95_mm": PENALTY_MM}
    assert brats(row(), row((0, 3))) == {"lesionwise_dice": 0, "lesionwise_hd95_mm": PENALTY_MM}


def test_rules_of_brats_by_hand() -> None:
    """One lesion right, one missed, one false: the mean of 1, 0 and 0."""
    found = brats(row((0, 4), (30, 34)), row((0, 4), (20, 24)))
    assert found["lesionwise_dice"] == pytest.approx(1 / 3)
    assert found["lesionwise_hd95_mm"] == pytest.approx(2 * PENALTY_MM / 3)


def test_lesions_that_touch_once_dilated_are_one() -> None:
    """Two lesions 2 voxels apart: one prediction of the first is that of both."""
    reference, prediction = row((0, 4), (6, 10)), row((0, 4))
    assert brats(prediction, reference)["lesionwise_dice"] == pytest.approx(2 * 4 / 12)
    assert brats(prediction, reference, dilation=0)["lesionwise_dice"] == pytest.approx(1 / 2)


def test_small_lesions_of_the_reference_can_be_left_out() -> None:
    reference, prediction = row((0, 4), (20, 22)), row((0, 4))
    assert brats(prediction, reference, smallest_mm3=2)["lesionwise_dice"] == 1
    assert brats(prediction, reference, smallest_mm3=1.9)["lesionwise_dice"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("seed", "voxels", "expected"),
    [
        (0, (1208, 1301), (0.204938, 0.282062, 0.175926)),
        (1, (896, 896), (0.339257, 0.313233, 0.157107)),
        (2, (1355, 1270), (0.305657, 0.307663, 0.259938)),
        (3, (1293, 1239), (0.4145, 0.304864, 0.369583)),
        (4, (1515, 1512), (0.277604, 0.281983, 0.170971)),
        (5, (1651, 1656), (0.222532, 0.191169, 0.237398)),
    ],
)
def test_rules_of_brats_on_many_lesions(seed: int, voxels: tuple[int, int], expected: Sequence[float]) -> None:
    """Numbers that a plain loop over lesions gave, written from the published rules, with components by cc3d 3.29."""
    rng = np.random.default_rng(seed)

    def noise() -> NDArray[np.float64]:
        return np.asarray(ndimage.gaussian_filter(rng.normal(size=(12, 30, 30)), 1.5))

    one = noise()
    other = 0.7 * one + 0.5 * noise()
    reference, prediction = one > one.std() * 1.2, other > other.std() * 1.2
    assert (prediction.sum(), reference.sum()) == voxels
    rules: tuple[dict[str, float], ...] = {"dilation": 1}, {"dilation": 3}, {"dilation": 1, "smallest_mm3": 50}
    found = [brats(prediction, reference, **rule)["lesionwise_dice"] for rule in rules]
    assert found == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(PAIRS)
def test_counts_add_up(pair: tuple[Mask, Mask]) -> None:
    prediction, reference = pair
    lesions = Lesions.of(prediction, reference)
    counted = overlapping_lesions(lesions, 1.0)
    assert counted["lesions_found"] + counted["lesions_missed"] == counted["reference_lesions"]
    assert counted["lesions_missed_ml"] <= (reference & ~prediction).sum()
    assert counted["false_positive_lesions_ml"] <= (prediction & ~reference).sum()
    assert lesions.predicted_voxels.sum() == prediction.sum()
    assert lesions.wanted_voxels.sum() == reference.sum()
    pairs = panoptic_quality(lesions)
    assert pairs["panoptic_quality"] <= pairs["recognition_quality"] <= counted["lesion_f1"] + 1e-12
    for measure in (panoptic_quality, _dice):
        same: Callable[[Lesions], dict[str, float]] = measure
        assert set(same(Lesions.of(reference, reference)).values()) <= {1.0} or not reference.any()


def _dice(lesions: Lesions) -> dict[str, float]:
    nothing = surface_of(np.zeros((1, 1, 1), bool), UNIT)
    return {"lesionwise_dice": lesionwise(lesions, nothing, nothing)["lesionwise_dice"]}
