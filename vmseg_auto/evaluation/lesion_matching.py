"""Which lesions of a prediction overlap which of the reference: a lesion is a component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.evaluation.metrics.overlap import Mask
from vmseg_auto.utils.components import label_components

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Lesions:
    """The components (26 neighbours) of two masks on one grid, and how they overlap.

    Args:
        predicted, wanted: numbered components of prediction and reference (Z, Y, X).
        shared: voxels that each predicted component (rows, from 1) shares with each of the reference (columns, from 1);
            row and column 0 are the background.
    """

    predicted: NDArray[np.int32]
    wanted: NDArray[np.int32]
    shared: Counts

    @classmethod
    def of(cls, prediction: Mask, reference: Mask) -> Lesions:
        (predicted, rows), (wanted, columns) = label_components(prediction), label_components(reference)
        return cls(predicted, wanted, shared_voxels(predicted, rows, wanted, columns))

    @property
    def predicted_voxels(self) -> Counts:
        """The voxels of each predicted component."""
        return np.asarray(self.shared[1:].sum(axis=1))

    @property
    def wanted_voxels(self) -> Counts:
        """The voxels of each component of the reference."""
        return np.asarray(self.shared[:, 1:].sum(axis=0))


def shared_voxels(one: NDArray[np.int32], rows: int, other: NDArray[np.int32], columns: int) -> Counts:
    """Return the voxels that have number i in one array and j in the other: [rows + 1, columns + 1].

    Example:
        >>> shared_voxels(np.array([[[1, 0, 2]]], np.int32), 2, np.array([[[0, 0, 1]]], np.int32), 1)
        array([[0, 0],
               [1, 0],
               [0, 1]])
    """
    pairs = np.flatnonzero((one > 0) | (other > 0))
    codes = one.ravel()[pairs].astype(np.int64) * (columns + 1) + other.ravel()[pairs]
    return np.bincount(codes, minlength=(rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)


def dilated(mask: Mask, steps: int) -> tuple[NDArray[np.int32], int]:
    """Return the numbered components of a mask dilated by so many voxels, and how many they are."""
    if not steps:
        return label_components(mask)
    neighbours = ndimage.generate_binary_structure(3, 2)
    return label_components(ndimage.binary_dilation(mask, structure=neighbours, iterations=steps))
