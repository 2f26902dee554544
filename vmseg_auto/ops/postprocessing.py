"""The decision on post-processing, from cross-validated predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.postprocessing import PostProcessing
from vmseg_auto.ops.components import keep_largest
from vmseg_auto.ops.metrics import lesion_scores, overlap


def decide_postprocessing(
    pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]], labels: Mapping[str, int]
) -> PostProcessing:
    """Decide for each label whether only its largest component is kept.

    It is, where the mean Dice over cases rises and the mean lesion recall does not fall; no other label's scores can
    change, as what is removed becomes background. Malformations are often multifocal, and Dice alone would let a
    large lesion outvote the small ones.

    Args:
        pairs: prediction and reference (Z, Y, X) of each cross-validated case; memory holds one at a time.
        labels: label name -> value; background (0) is left out.
    """
    foreground = {name: value for name, value in labels.items() if value}
    scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in foreground}
    for prediction, reference in pairs:
        for name, value in foreground.items():
            cleaned = keep_largest(prediction, [value])
            wanted = reference == value
            scores[name].append((*_deciding(prediction == value, wanted), *_deciding(cleaned == value, wanted)))
    kept, reasons = [], []
    for name, rows in scores.items():
        if not rows:
            continue
        dice, recall, dice_after, recall_after = np.mean(rows, axis=0)
        better = dice_after > dice and recall_after >= recall
        kept += [name] * bool(better)
        reasons.append(
            f"{name}: {'only the largest component is kept' if better else 'all components are kept'}; with the "
            f"largest alone, mean Dice goes from {dice:.4f} to {dice_after:.4f} and lesion recall from {recall:.4f} "
            f"to {recall_after:.4f}"
        )
    return PostProcessing(tuple(kept), tuple(reasons))


def _deciding(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> tuple[float, float]:
    dice = overlap(prediction, reference, prediction.size)["dice"]
    return dice, lesion_scores(prediction, reference)["lesion_recall"]
