"""How far a prediction can be trusted: what its looks say of it, and what that came to on held-out cases."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from vmseg_auto.core.codec import Stored


@dataclass(frozen=True)
class Trust:
    """What looks at one case say of each other.

    Args:
        uncertainty: 0 to 1; one minus the soft Dice of a network's probabilities in one mirroring and its mask in the
            opposite one, the mean over labels (ops/trust.py). A label of which nothing is found counts as 1.
        scatter: 0 to 1; share of the prediction's volume outside its largest component, the mean over labels. A label
            of which nothing is found counts as 1.
        mirrored: whether mirrorings were compared; without mirroring a look is compared with itself.
        fold_agreement: mean pairwise Dice of the networks' masks; None for a single network, or where all are empty.
    """

    uncertainty: float
    scatter: float
    mirrored: bool
    fold_agreement: float | None = None


@dataclass(frozen=True)
class Expectation:
    """The Dice that held-out cases of the same kind had.

    Args:
        dice: on average.
        low, high: bounds that hold four cases in five.
    """

    dice: float
    low: float
    high: float


@dataclass(frozen=True)
class VolumeError:
    """How far the volume measured in a scan lies from the true one; both are compared as log(mL + FLOOR_ML).

    So errors count as shares of large volumes and as mL of small ones, and a volume may be 0.

    Args:
        below, above: how far under and over the measured volume nine true ones in ten lie at most, on this scale; at
            least 0.
        cases, patients: how many held-out cases it was measured on.
    """

    below: float
    above: float
    cases: int
    patients: int

    FLOOR_ML: ClassVar[float] = 1.0

    def interval(self, volume_ml: float) -> tuple[float, float]:
        """What nine true volumes in ten lie between, in mL, where this one was measured."""
        low, high = (
            (volume_ml + self.FLOOR_ML) * math.exp(error) - self.FLOOR_ML for error in (-self.below, self.above)
        )
        return max(0.0, low), high


Light = Literal["green", "amber", "red"]


@dataclass(frozen=True)
class Calibration:
    """What uncertainty and scatter came to on held-out cases, predicted by networks that knew no scan of the patient.

    Args:
        best: the Dice expected where both are 0.
        by_uncertainty, by_scatter: how it changes up to 1; never above 0.
        below, above: how far under and over the expected Dice four cases in five lie at most.
        look_first: the least certain quarter of the held-out cases have a `line` as low as this.
        mirrored: whether the uncertainty came from comparing mirrorings.
        cases, patients: how many it was measured on.
        volumes: label name -> how far its volume is off; none of those labels for which too few cases tell.
    """

    best: float
    by_uncertainty: float
    by_scatter: float
    below: float
    above: float
    look_first: float
    mirrored: bool
    cases: int
    patients: int
    volumes: dict[str, VolumeError] = field(default_factory=dict)
    schema: int = 1

    USABLE_DICE: ClassVar[float] = 0.5
    """Below it, more of mask and lesion lies apart than together."""

    def line(self, trust: Trust) -> float:
        """The expected Dice, not yet held between 0 and 1: it orders cases by how certain they are."""
        return self.best + self.by_uncertainty * trust.uncertainty + self.by_scatter * trust.scatter

    def expect(self, trust: Trust) -> Expectation | None:
        """The Dice to expect; None where the uncertainty was not measured in the same way."""
        if trust.mirrored != self.mirrored:
            return None
        dice = min(1.0, max(0.0, self.line(trust)))
        return Expectation(dice, max(0.0, dice - self.below), min(1.0, dice + self.above))

    def light(self, trust: Trust, alike: bool = True) -> Light | None:
        """How confident one may be in a prediction, as a traffic light.

        Red: the expected Dice is below USABLE_DICE. Green: nine held-out cases in ten that were as certain had a Dice
        above it, and the case is not among those to be looked at first. Amber: all others.

        Args:
            trust: what the looks said.
            alike: whether the scan is like those of the cohort; what is not is never green.

        Returns:
            None where the uncertainty was not measured in the same way.
        """
        expected = self.expect(trust)
        if expected is None:
            return None
        if expected.dice < self.USABLE_DICE:
            return "red"
        sure = expected.low >= self.USABLE_DICE and self.line(trust) > self.look_first
        return "green" if sure and alike else "amber"


@dataclass(frozen=True)
class HeldOutCase:
    """One validation case of a fold.

    Args:
        image: hash of the image files that it was predicted from.
        trust: what the looks said.
        scored: hash of the image and mask files that its scores were computed from; None before that.
    """

    image: str
    trust: Trust
    scored: str | None = None


@dataclass(frozen=True)
class HeldOut(Stored):
    """The validation cases of a fold that are predicted: held_out.json.

    Args:
        cases: case id -> what is known of it.
    """

    cases: dict[str, HeldOutCase]
    schema: int = 1
