"""What the certainty of validation predictions is worth, in figures: confidence.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.confidence import Calibration
from vmseg_auto.evaluation.confidence_record import ConfidenceFigures
from vmseg_auto.evaluation.discrimination import area_under_risk, auroc, kept_dice, spearman
from vmseg_auto.utils.jackknife import CORRELATION, SHARE, Definition, jackknife_figure

Values = NDArray[np.float64]
Known = NDArray[np.bool_]
_AUROC = Definition(
    "AUROC of poor scans",
    f"how often a scan with a Dice below {Calibration.USABLE_DICE:g} is less certain than another; 0.5 by chance, 1 is "
    "best",
    SHARE,
    f"there are no scans with a Dice below {Calibration.USABLE_DICE:g}, or no others",
)
_SPEARMAN = Definition(
    "Spearman's correlation of certainty and Dice",
    "correlation of the ranks; 0 by chance, 1 is best",
    CORRELATION,
    "it takes two scans that differ in Dice and in certainty",
)
_AURC = Definition(
    "Area under the risk-coverage curve",
    "one minus the mean Dice, mean over all shares of scans that may be kept, the most certain first; 0 is best",
    SHARE,
    "there is no scan",
    fewest=10,
)
_BRIER = Definition(
    "Brier score of voxels",
    "mean squared difference of probability and outline, where either is at least 1 %; mean over scans; 0 is best",
    SHARE,
    "there is no voxel with a probability of 1 % and none that was outlined",
)
_ECE = Definition(
    "Calibration error of voxels (ECE)",
    "mean distance of a probability and the share of such voxels that were outlined, in ten steps; mean over scans; 0 "
    "is best",
    SHARE,
    _BRIER.impossible,
)


def confidence_figures(
    certainty: Values, dice: Values, reliability: Values, patients: Sequence[str], certain: str
) -> ConfidenceFigures:
    """Compute how well certainty and Dice of validation cases agree, all out of fold.

    Args:
        certainty: of each case, calibrated without its patient.
        dice: of each case.
        reliability: Brier score and calibration error of each case [cases, 2]; NaN where there is none.
        patients: of each case.
        certain: what the certainty is, in words.
    """
    poor = dice < Calibration.USABLE_DICE
    there = np.isfinite(reliability[:, 0])
    voxels, owners = reliability[there], np.array(patients)[there].tolist()
    figures = (
        jackknife_figure(_AUROC, lambda known: auroc(certainty[known], poor[known]), patients),
        jackknife_figure(_SPEARMAN, lambda known: spearman(certainty[known], dice[known]), patients),
        jackknife_figure(_AURC, lambda known: area_under_risk(certainty[known], dice[known]), patients),
        jackknife_figure(_BRIER, _mean(voxels[:, 0]), owners),
        jackknife_figure(_ECE, _mean(voxels[:, 1]), owners),
    )
    return ConfidenceFigures(figures, tuple(kept_dice(certainty, dice).tolist()), certain)


def _mean(values: Values) -> Callable[[Known], float]:
    return lambda known: float(values[known].mean())
