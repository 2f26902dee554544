"""Voxels in which a prediction contradicts a mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.label_masks import mask_of, without_ignored
from vmseg_auto.utils.labels import foreground_labels


@dataclass(frozen=True)
class Contradiction:
    """The voxels in which a prediction and a mask differ.

    Args:
        slice: the one along Z that holds most of them, counted from 1 in the order of the file; None without any.
        outlined_ml: volume that the mask outlines and the prediction gives another label, or none.
        predicted_ml: volume that the prediction gives a label, and the mask another or none.
    """

    slice: int | None
    outlined_ml: float
    predicted_ml: float

    @property
    def words(self) -> str:
        """The contradiction in words, for whoever checks the mask."""
        if self.slice is None:
            return "none"
        if self.predicted_ml > self.outlined_ml:
            return "the model sees more than is outlined"
        return "the model does not see what is outlined"


def contradiction(
    prediction: NDArray[np.uint8], mask: NDArray[np.uint8], geometry: Geometry, labels: Mapping[str, int]
) -> Contradiction:
    """Compare a prediction with a mask, both of label values (Z, Y, X) on the same grid; IGNORE contradicts nothing.

    Args:
        labels: name -> value; voxels differ where they are not in the same labels.
    """
    prediction, mask = without_ignored(prediction, mask)
    pairs = ((mask_of(prediction, labels, name), mask_of(mask, labels, name)) for name in foreground_labels(labels))
    differs = np.logical_or.reduce([ours != theirs for ours, theirs in pairs])
    in_slice = np.count_nonzero(differs, axis=(1, 2))
    return Contradiction(
        slice=int(np.argmax(in_slice)) + 1 if in_slice.any() else None,
        outlined_ml=int(np.count_nonzero(differs & (mask != 0))) * geometry.voxel_ml,
        predicted_ml=int(np.count_nonzero(differs & (prediction != 0))) * geometry.voxel_ml,
    )
