"""How far two masks overlap, from counts of voxels. What training scores with; it needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def ratio(part: float, whole: float, otherwise: float) -> float:
    """part / whole, or `otherwise` where the whole is 0."""
    return part / whole if whole else otherwise


def overlap(prediction: Mask, reference: Mask, image_voxels: int) -> dict[str, float]:
    """Dice, IoU, precision, recall and specificity.

    Args:
        prediction, reference: (Z, Y, X), at least the part that holds both masks.
        image_voxels: voxels of the whole image, for the specificity.
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
    """The mean of the foreground labels' Dice.

    Args:
        prediction, reference: label values (Z, Y, X) on the same grid.
        labels: label name -> value; background (0) is left out.
    """
    values = [value for value in labels.values() if value]
    return float(np.mean([overlap(prediction == v, reference == v, prediction.size)["dice"] for v in values]))
