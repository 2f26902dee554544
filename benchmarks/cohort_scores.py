"""Dice, lesions and surface Dice of masks, counted with SimpleITK, numpy and scipy alone, by neither tool's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.tools import SetupError

Mask = NDArray[np.bool_]
TOLERANCE_MM = 1.0
"""Within which two surfaces count as one."""
DIGITS = 5
_TOUCHING = np.ones((3, 3, 3), bool)
"""Voxels that share a face, an edge or a corner are one lesion."""


@dataclass(frozen=True)
class Score:
    """One label of one case.

    Args:
        dice: 1 where neither mask has the label.
        lesions, found: lesions of the reference mask, and those of them that a predicted voxel lies in.
        predicted, right: predicted lesions, and those of them that a reference voxel lies in.
        nsd: share of both surfaces that lies within TOLERANCE_MM of the other; None where no millimetres are known, or
            where neither mask has the label.
    """

    dice: float
    lesions: int
    found: int
    predicted: int
    right: int
    nsd: float | None = None

    @property
    def sensitivity(self) -> float:
        """Share of the lesions that are found; NaN where there is none."""
        return self.found / self.lesions if self.lesions else np.nan

    @property
    def precision(self) -> float:
        """Share of the predicted lesions that are right; NaN where there is none."""
        return self.right / self.predicted if self.predicted else np.nan


def score_files(prediction: Path, reference: Path, labels: Mapping[str, int], millimetres: bool) -> dict[str, Score]:
    """Label -> score of a case; the background is left out.

    Args:
        millimetres: whether voxel sizes are known; they are the reference's.

    Raises:
        SetupError: the prediction is missing, or lies on another grid.
    """
    if not prediction.is_file():
        raise SetupError(f"{prediction} was not written")
    given, truth = sitk.ReadImage(str(prediction)), sitk.ReadImage(str(reference))
    if given.GetSize() != truth.GetSize():
        raise SetupError(f"{prediction} is of {given.GetSize()} voxels, {reference} of {truth.GetSize()}")
    spacing = truth.GetSpacing()[::-1] if millimetres else None
    found, wanted = sitk.GetArrayFromImage(given), sitk.GetArrayFromImage(truth)
    return {name: score(found == value, wanted == value, spacing) for name, value in labels.items() if value}


def score(prediction: Mask, reference: Mask, spacing_mm: tuple[float, ...] | None = None) -> Score:
    """One label.

    Args:
        prediction, reference: [Z, Y, X].
        spacing_mm: (Z, Y, X); None where it is not known.
    """
    total = int(prediction.sum()) + int(reference.sum())
    dice = 2 * int((prediction & reference).sum()) / total if total else 1.0
    nsd = surface_dice(prediction, reference, spacing_mm) if spacing_mm and total else None
    return Score(
        round(dice, DIGITS),
        *_lesions(reference, prediction),
        *_lesions(prediction, reference),
        nsd if nsd is None else round(nsd, DIGITS),
    )


def surface_dice(one: Mask, other: Mask, spacing_mm: tuple[float, ...]) -> float:
    """Normalised surface Dice between the masks' border voxels, as MONAI counts it, each voxel alike.

    Nikolov et al., J Med Internet Res 2021;23:e26151. At least one mask has a voxel; 0 where the other has none.
    """
    if not one.any() or not other.any():
        return 0.0
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
    near = sum(
        int((ndimage.distance_transform_edt(~goal, spacing_mm)[start] <= TOLERANCE_MM).sum())
        for start, goal in (borders, borders[::-1])
    )
    return near / sum(int(border.sum()) for border in borders)


def _lesions(mask: Mask, other: Mask) -> tuple[int, int]:
    """Lesions of a mask, and those of them that hold a voxel of the other."""
    numbered, count = ndimage.label(mask, _TOUCHING)
    return count, len(np.unique(numbered[mask & other]))
