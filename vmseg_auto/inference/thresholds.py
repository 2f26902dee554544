"""How probabilities become classes, and how they are kept in eight bits.

A threshold t compares the argmax foreground class with the background alone: a voxel is foreground where
p / (p + p_background) > t. At 0.5 this is nnU-Net's rule, the argmax class wins; with one label it is p > t. For
logits it means that ln(t / (1 - t)) is added to the background's.

Regions overlap (utils/labels.py): each is where its own probability is above t, and the last of those at a voxel
counts, as in nnU-Net. There "background" is what no region is likely to be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.models.selection_record import PLAIN_THRESHOLD
from vmseg_auto.utils.argmax import argmax, last_of
from vmseg_auto.utils.labels import regions_of, written_values

STEPS = 255
"""Of a probability in eight bits. 0.3, 0.5 and 0.7 lie half-way between two steps, so rounding moves no voxel across
them; 0.4 and 0.6 are moved by half a step, 0.002."""


def classify(
    probabilities: NDArray[np.float32], threshold: float = PLAIN_THRESHOLD, overlap: bool = False
) -> NDArray[np.uint8]:
    """Return class indices [Z, Y, X] of probabilities [K, Z, Y, X], background first; the first class on a tie.

    Args:
        overlap: whether labels are regions: the last one that is there counts.

    >>> probabilities = np.array([0.7, 0.3], np.float32).reshape(2, 1, 1, 1)
    >>> classify(probabilities).item(), classify(probabilities, threshold=0.2).item()
    (0, 1)
    """
    if overlap:
        return last_of(one > threshold for one in probabilities[1:])
    classes, greatest = argmax(probabilities[1:])
    classes += 1
    classes[greatest <= threshold / (1 - threshold) * probabilities[0]] = 0
    return classes


def mask_from(
    probabilities: NDArray[np.float32], labels: Mapping[str, int], threshold: float = PLAIN_THRESHOLD
) -> NDArray[np.uint8]:
    """Return the mask of label values [Z, Y, X] that `classify` makes of probabilities [K, Z, Y, X]."""
    values = np.array(written_values(labels), dtype=np.uint8)
    mask: NDArray[np.uint8] = values[classify(probabilities, threshold, bool(regions_of(labels)))]
    return mask


def favour_background(logits: NDArray[np.float32], threshold: float, overlap: bool = False) -> NDArray[np.float32]:
    """Return logits [K, Z, Y, X] that mean by themselves what `classify` gives at this threshold."""
    if threshold == PLAIN_THRESHOLD:
        return logits
    odds = math.log(threshold / (1 - threshold))
    if overlap:
        return logits - np.float32(odds)
    favoured = logits.copy()
    favoured[0] += odds
    return favoured


def to_bytes(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return foreground probabilities in eight bits.

    Args:
        probabilities: [K, Z, Y, X], background first.

    Returns:
        uint8 [K - 1, Z, Y, X] in steps of 1/255; what lies half-way is rounded down, so that 0.5 stays no majority.

    Example:
        >>> to_bytes(np.array([0.8, 0.2], np.float32).reshape(2, 1, 1, 1)).ravel()
        array([51], dtype=uint8)
    """
    steps = np.ceil(probabilities[1:] * np.float32(STEPS) - np.float32(0.5))
    kept: NDArray[np.uint8] = steps.clip(0, STEPS).astype(np.uint8)
    return kept


def from_bytes(foreground: NDArray[np.uint8], overlap: bool = False) -> NDArray[np.float32]:
    """Return probabilities [K, Z, Y, X], background first, of `to_bytes`'s [K - 1, Z, Y, X].

    Args:
        overlap: whether labels are regions.
    """
    probabilities = np.empty((len(foreground) + 1, *foreground.shape[1:]), dtype=np.float32)
    np.divide(foreground, np.float32(STEPS), out=probabilities[1:])
    if overlap:
        probabilities[0] = 1 - probabilities[1:].max(axis=0)
        return probabilities
    probabilities[0] = np.maximum(1 - probabilities[1:].sum(axis=0), 0)  # rounding up may bring the sum above 1
    return probabilities
