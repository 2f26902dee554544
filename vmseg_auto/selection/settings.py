"""What each threshold, and keeping only the largest component, would make of a validation case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.metrics.overlap import Mask, overlap
from vmseg_auto.inference.thresholds import STEPS, from_bytes, mask_from
from vmseg_auto.models.selection_record import THRESHOLDS
from vmseg_auto.utils.components import keep_largest, label_components, mask_box
from vmseg_auto.utils.label_masks import mask_of, without_ignored
from vmseg_auto.utils.labels import foreground_labels, regions_of

DICE, RECALL, VOXELS = 0, 1, 2
"""Of the scores' last but one axis; the last tells all components (0) from the largest alone (1)."""


def score_settings(
    validation: Sequence[NDArray[np.uint8]],
    reference: NDArray[np.uint8],
    labels: Mapping[str, int],
    ensembles: Sequence[tuple[int, ...]],
) -> NDArray[np.float64]:
    """Score a case under every setting.

    Args:
        validation: for each run the foreground probabilities [K - 1, Z, Y, X] in steps of 1/255.
        reference: label values [Z, Y, X]; voxels of IGNORE count for neither.
        labels: name -> value, background included.
        ensembles: which runs' probabilities are averaged, one entry a candidate.

    Returns:
        [candidates, THRESHOLDS, K - 1, 3, 2]: for each label Dice and lesion recall (evaluation/metrics) and the
        number of voxels predicted, each with all components and with the largest alone.
    """
    validation = [without_ignored(run, reference)[0] for run in validation]
    reference = without_ignored(reference, reference)[1]
    likely = (run.sum(axis=0, dtype=np.uint16) > min(THRESHOLDS) * STEPS for run in validation)
    box = mask_box(reduce(np.logical_or, likely, reference != 0)) or ((0, 1), (0, 1), (0, 1))
    inside = tuple(slice(start, stop) for start, stop in box)
    runs = [from_bytes(run[(slice(None), *inside)], bool(regions_of(labels))) for run in validation]
    names = foreground_labels(labels)
    targets = [_Target(mask_of(reference[inside], labels, name)) for name in names]
    scores = np.empty((len(ensembles), len(THRESHOLDS), len(targets), 3, 2))
    for candidate, members in enumerate(ensembles):
        mean = sum((runs[member] for member in members[1:]), runs[members[0]]) / np.float32(len(members))
        for number, threshold in enumerate(THRESHOLDS):
            mask = mask_from(mean, labels, threshold)
            for index, (name, target) in enumerate(zip(names, targets, strict=True)):
                largest = keep_largest(mask, [name], labels)
                scores[candidate, number, index, :, 0] = target.score(mask_of(mask, labels, name))
                scores[candidate, number, index, :, 1] = target.score(mask_of(largest, labels, name))
    return scores


class _Target:
    """One label of a reference [Z, Y, X]; its components are found once."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.numbered, self.count = label_components(mask)

    def score(self, prediction: Mask) -> tuple[float, float, float]:
        """Return Dice, lesion recall and the number of voxels predicted."""
        dice, voxels = overlap(prediction, self.mask, prediction.size)["dice"], float(np.count_nonzero(prediction))
        if self.count == 0:
            return dice, float(not voxels), voxels
        return dice, np.count_nonzero(np.unique(self.numbered[prediction])) / self.count, voxels
