"""What a lesion filter is worth on validation cases: lesion_filter.json."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.figure import Figure
from vmseg_auto.utils.json_codec import Stored


@dataclass(frozen=True)
class Level:
    """The validation masks where components below a probability are left out.

    Args:
        least: that probability; 0 where all are kept.
        components: that are left, over all cases.
        touching: how many of them touch a lesion.
        lesions_found: lesions that any of them touches.
        precision, recall, dice: mean over patients.
        emptied: cases of which nothing is left, though something was predicted.
    """

    least: float
    components: int
    touching: int
    lesions_found: int
    precision: float
    recall: float
    dice: float
    emptied: int


@dataclass(frozen=True)
class Bin:
    """Components of about the same probability.

    Args:
        probability: their mean probability.
        share: of them that touch a lesion.
        components: how many they are.
    """

    probability: float
    share: float
    components: int


@dataclass(frozen=True)
class LabelFilter:
    """One label; every component is judged by the other folds' patients.

    Args:
        label: its name.
        reason: in words, whether there is a filter, and what it leaves out.
        lesions: of the reference, over all cases.
        chosen: the probability below which components are left out; 0 keeps all.
        figures: what the probabilities are worth; none without a filter.
        reliability: probabilities beside the shares that came, in ascending order; none without a filter.
        levels: what leaving out would come to; of all components alone without a filter, and none without cases.
    """

    label: str
    reason: str
    lesions: int
    chosen: float
    figures: tuple[Figure, ...]
    reliability: tuple[Bin, ...]
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class FilterFigures(Stored):
    """All labels."""

    labels: tuple[LabelFilter, ...]
    schema: int = 1

    def check(self, where: str) -> None:
        if not self.labels or not all(one.levels for one in self.labels):
            raise InputError(f"{where} tells of no label", remedy="Run `vmseg_select`, which writes it again.")
