"""How far two masks overlap, from counts of voxels. What training scores with; it needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.metrics.metric import Metric
from vmseg_auto.utils.label_masks import mask_of, without_ignored
from vmseg_auto.utils.labels import foreground_labels

if TYPE_CHECKING:
    from vmseg_auto.evaluation.metrics.pair import MaskPair

Mask = NDArray[np.bool_]


def ratio(part: float, whole: float, otherwise: float) -> float:
    """Return part / whole, or `otherwise` where the whole is 0."""
    return part / whole if whole else otherwise


def overlap(prediction: Mask, reference: Mask, image_voxels: int) -> dict[str, float]:
    """Return Dice, IoU, precision, recall and specificity.

    Args:
        prediction, reference: (Z, Y, X), at least the part that holds both masks.
        image_voxels: voxels of the whole image, for the specificity.

    Example:
        >>> prediction, reference = np.array([[[True, True, True]]]), np.array([[[False, True, True]]])
        >>> scores = overlap(prediction, reference, image_voxels=12)
        >>> round(scores["dice"], 2), round(scores["precision"], 2), scores["recall"]
        (0.8, 0.67, 1.0)
    """
    both = int(np.count_nonzero(prediction & reference))
    predicted, wanted = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    outside = image_voxels - wanted
    nothing = predicted + wanted == 0
    return {
        "dice": ratio(2 * both, predicted + wanted, 1.0),
        "iou": ratio(both, predicted + wanted - both, 1.0),
        "precision": ratio(both, predicted, float(nothing)),
        "recall": ratio(both, wanted, float(nothing)),
        "specificity": ratio(outside - (predicted - both), outside, 1.0),
    }


def mean_dice(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], labels: Mapping[str, int]) -> float:
    """Return the mean of the foreground labels' Dice.

    Args:
        prediction, reference: label values (Z, Y, X) on the same grid; where the reference holds IGNORE neither counts.
        labels: label name -> value; background (0) is left out.

    Example:
        >>> mean_dice(np.array([[[1, 1, 2]]]), np.array([[[1, 1, 0]]]), {"lesion": 1, "vein": 2})
        0.5
    """
    prediction, reference = without_ignored(prediction, reference)
    masks = (
        (mask_of(prediction, labels, name), mask_of(reference, labels, name)) for name in foreground_labels(labels)
    )
    return float(np.mean([overlap(ours, theirs, prediction.size)["dice"] for ours, theirs in masks]))


def _overlap(name: str, title: str, definition: str, on_screen: bool = False) -> Metric:
    return Metric(name, title, definition, lambda pair: pair.once(_scores)[name], "Overlap", on_screen=on_screen)


def _scores(pair: MaskPair) -> dict[str, float]:
    return overlap(pair.prediction, pair.reference, pair.image_voxels)


METRICS = (
    _overlap("dice", "Dice", "2 TP / (2 TP + FP + FN), in voxels", on_screen=True),
    _overlap("iou", "IoU", "TP / (TP + FP + FN), in voxels (Jaccard index)"),
    _overlap("precision", "Precision", "TP / (TP + FP), in voxels", on_screen=True),
    _overlap("recall", "Recall (sensitivity)", "TP / (TP + FN), in voxels", on_screen=True),
    _overlap("specificity", "Specificity", "TN / (TN + FP), in voxels of the whole image"),
)
