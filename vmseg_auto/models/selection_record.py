"""Which run, or ensemble of runs, a workspace predicts with, and what that choice is worth: selection.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from vmseg_auto.evaluation.confidence import VolumeConfidence
from vmseg_auto.evaluation.lesion_filter import LesionFilter
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.postprocessing import PostProcessing

PLAIN_THRESHOLD = 0.5
"""The argmax class wins."""
THRESHOLDS = (0.3, 0.4, PLAIN_THRESHOLD, 0.6, 0.7)
"""Those that are tried."""


def check_threshold(threshold: float, where: str) -> None:
    """Refuse a threshold that is not between 0 and 1.

    Raises:
        InputError: it is not.
    """
    if not 0 < threshold < 1:
        raise InputError(f"{where} is {threshold:g}", remedy="It must lie between 0 and 1; 0.5 is usual.")


def name_of(runs: tuple[str, ...]) -> str:
    """Return the name of an ensemble of runs.

    Example:
        >>> name_of(("default/default", "default/nnunet"))
        'default/default + default/nnunet'
    """
    return " + ".join(runs)


@dataclass(frozen=True)
class Estimate:
    """A mean over patients.

    Args:
        mean: over patients.
        low_95, high_95: interval; None with fewer than five patients, or where all have the same value.
        patients: how many.
    """

    mean: float
    low_95: float | None
    high_95: float | None
    patients: int


@dataclass(frozen=True)
class Candidate:
    """A run or an ensemble of runs, with the threshold and post-processing that suit it best.

    Args:
        runs: names (PLANNER/TRAINER); the mean of their probabilities counts.
        threshold: a voxel is foreground where the argmax foreground class exceeds it beside the background alone.
        postprocessing: what is done to the masks.
        plain: cross-validated Dice at 0.5 and without post-processing; None of an imported ensemble.
        dice: the same with `threshold` and `postprocessing`, before any lesion filter; flattered, as these were chosen
            on it. None of an imported ensemble.
        reasons: for the threshold, in words.
        volumes: label name -> how far its volumes can be trusted then.
        lesion_filter: how probable it is that a predicted component is a lesion; None where it was not learnt, as of
            ensembles that were not chosen.
    """

    runs: tuple[str, ...]
    threshold: float
    postprocessing: PostProcessing
    plain: Estimate | None
    dice: Estimate | None
    reasons: tuple[str, ...]
    volumes: dict[str, VolumeConfidence] = field(default_factory=dict)
    lesion_filter: LesionFilter | None = None

    @property
    def name(self) -> str:
        return name_of(self.runs)


@dataclass(frozen=True)
class Worth:
    """What choosing is worth, by Dice.

    Args:
        reference: the run that stands for not choosing, at 0.5 and without post-processing.
        reference_dice: its Dice.
        chosen_gain: the choice's Dice minus the reference's, on the patients it was chosen by; flattered.
        nested_dice: Dice where each fold's patients are scored with what all other patients would have chosen; None
            with a single fold.
        nested_gain: that minus the reference's; None with a single fold.
    """

    reference: str
    reference_dice: Estimate
    chosen_gain: Estimate
    nested_dice: Estimate | None
    nested_gain: Estimate | None


@dataclass(frozen=True)
class Selection(Stored):
    """The choice.

    Args:
        runs: what predicts; those of one of the candidates.
        reasons: why this run or ensemble, in words.
        candidates: all that were compared, single runs first.
        worth: of the choice.
        patients: how many it was made by.
        left_out: run -> why it was not compared.
        made_from: run -> hash of what its folds were trained and scored on when they were compared.
    """

    runs: tuple[str, ...]
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    worth: Worth
    patients: int
    left_out: dict[str, str]
    made_from: dict[str, str]
    schema: int = 3

    OLDER: ClassVar[str] = "Run `vmseg_select`, which compares the runs anew and trains nothing."

    @property
    def chosen(self) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.runs == self.runs)

    def check(self, where: str) -> None:
        if not self.runs or self.runs not in [candidate.runs for candidate in self.candidates]:
            raise InputError(f"{where} chooses what it did not compare", remedy="Run `vmseg_select` to make it anew.")
        check_threshold(self.chosen.threshold, f"{where}: threshold")
