"""Metrics beside what others give. Numbers are those that their own test suites expect:

MONAI 1.6 (tests/metrics), panoptica 2.1 (unit_tests/test_golden_values.py, test_panoptic_evaluator.py) and
MetricsReloaded (test/test_metrics, test/test_processes). Where conventions differ, the test says how.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vmseg_auto.evaluation.metrics.score import score
from vmseg_auto.utils.geometry import Spacing

Mask = NDArray[np.bool_]
UNIT = (1.0, 1.0, 1.0)


def boxes(shape: tuple[int, int], *corners: tuple[int, int, int, int]) -> Mask:
    """Rectangles (rows from, to, columns from, to) in one slice."""
    mask = np.zeros((1, *shape), bool)
    for top, bottom, left, right in corners:
        mask[0, top:bottom, left:right] = True
    return mask


def ball(radius: float, centre: tuple[int, int, int], spacing: Spacing = UNIT) -> Mask:
    """MONAI's test spheres, in an image of 99 x 99 x 99 voxels."""
    axes = np.ogrid[:99, :99, :99]
    squares = [(axis * mm - middle) ** 2 for axis, mm, middle in zip(axes, spacing, centre, strict=True)]
    return np.asarray(sum(squares) <= radius**2)


def test_panoptica_golden_instances() -> None:
    """Two pairs, one of IoU 0.9, one lesion false and one missed."""
    scores = score(
        boxes((50, 50), (5, 15, 5, 15), (21, 30, 20, 30), (40, 48, 40, 48)),
        boxes((50, 50), (5, 15, 5, 15), (20, 30, 20, 30), (40, 48, 5, 13)),
        UNIT,
    )
    assert scores["recognition_quality"] == pytest.approx(0.6666666666666666)
    assert scores["segmentation_quality"] == pytest.approx(0.95)
    assert scores["panoptic_quality"] == pytest.approx(0.6333333333333333)
    assert scores["dice"] == pytest.approx(0.7335907335907336)
    assert scores["iou"] == pytest.approx(0.5792682926829268)
    assert scores["volume_error_percent"] == pytest.approx(-3.787878787878788)
    assert (scores["reference_lesions"], scores["lesions_found"], scores["false_positive_lesions"]) == (3, 2, 1)


@pytest.mark.parametrize(
    ("predicted", "wanted", "quality"),
    [
        ([(20, 35, 10, 20)], [(20, 40, 10, 20)], (0.75, 0.75)),
        ([], [(20, 40, 10, 20)], (float("nan"), 0.0)),  # SQ: panoptica says 0, we that there is no pair
        ([(20, 35, 10, 20)], [], (float("nan"), 0.0)),
        ([], [], (float("nan"), 1.0)),  # PQ: panoptica says NaN, we 1, as for all scores of two empty masks
    ],
)
def test_panoptica_simple(
    predicted: list[tuple[int, int, int, int]], wanted: list[tuple[int, int, int, int]], quality: tuple[float, float]
) -> None:
    scores = score(boxes((50, 50), *predicted), boxes((50, 50), *wanted), UNIT)
    found = scores["segmentation_quality"], scores["panoptic_quality"]
    assert found == pytest.approx(quality, nan_ok=True)


def test_metrics_reloaded_panoptic_quality() -> None:
    """Figure SN 3.51 of the pitfalls: PQ 0.350."""
    prediction = boxes((18, 18), (3, 7, 1, 3), (3, 6, 3, 7), (13, 16, 4, 6), (7, 12, 13, 17), (13, 15, 13, 17))
    prediction[0, 15, 15] = True
    reference = boxes((18, 18), (2, 7, 1, 3), (2, 5, 3, 6), (6, 12, 12, 17), (14, 15, 7, 10), (13, 16, 8, 9))
    assert score(prediction, reference, UNIT)["panoptic_quality"] == pytest.approx(0.350, abs=0.001)


def test_metrics_reloaded_overlap() -> None:
    """A square, and the same with a cross through it: Dice 0.862, IoU 0.76."""
    reference = boxes((11, 11), (3, 8, 3, 8))
    prediction = reference | boxes((11, 11), (5, 6, 1, 10), (1, 10, 5, 6))
    scores = score(prediction, reference, UNIT, tolerance_mm=2.0)
    assert scores["dice"] == pytest.approx(0.862, abs=0.001)
    assert scores["iou"] == pytest.approx(0.76, abs=0.01)
    assert scores["nsd"] == 1  # theirs too
    # theirs run over border pixels, ours over the surface of a slice of 1 mm, most of which is its two faces
    assert scores["assd_mm"] < 0.44
    assert scores["masd_mm"] < 0.425


def test_metrics_reloaded_far_voxel() -> None:
    """HD from centre to centre is 11.31; ours runs from the far side of the voxel to the near side of the square."""
    reference, prediction = boxes((14, 14), (1, 2, 1, 2), (9, 12, 9, 12)), boxes((14, 14), (9, 12, 9, 12))
    assert score(prediction, reference, UNIT)["hd_mm"] == pytest.approx(11.31, abs=1)


@pytest.mark.parametrize(
    ("one", "other", "hd"),
    [
        ((20, (20, 20, 20)), (20, (19, 19, 19)), 1.7320508075688772),
        ((33, (19, 33, 22)), (33, (20, 33, 22)), 1.0),
        ((20, (20, 33, 22)), (40, (20, 33, 22)), 20.223748416156685),
    ],
)
def test_monai_hausdorff(
    one: tuple[float, tuple[int, int, int]], other: tuple[float, tuple[int, int, int]], hd: float
) -> None:
    """From voxel centre to voxel centre: the largest distance agrees within half a voxel."""
    assert score(ball(*one), ball(*other), UNIT)["hd_mm"] == pytest.approx(hd, abs=0.5)


def test_monai_hausdorff_percentile() -> None:
    """95 %, the larger direction: MONAI 20.0998, and 20 in truth."""
    scores = score(ball(20, (49, 49, 49)), ball(40, (49, 49, 49)), UNIT)
    assert scores["hd95_mm"] == pytest.approx(20.09975124224178, abs=0.5)


def test_monai_surface_distance_differs() -> None:
    """Two cut balls 1 mm apart: MONAI 0.350217, over border voxels, of which the cut faces have many."""
    scores = score(ball(33, (19, 33, 22)), ball(33, (20, 33, 22)), UNIT)
    assert scores["assd_mm"] == pytest.approx(0.350217, rel=0.15)


def test_monai_empty_masks_differ() -> None:
    """One mask empty: MONAI's distances are infinite, ours missing, and 374 mm where penalised."""
    scores = score(np.zeros((99, 99, 99), bool), ball(20, (49, 49, 49)), UNIT)
    assert np.isnan(scores["hd_mm"])
    assert scores["hd95_penalised_mm"] == 374
