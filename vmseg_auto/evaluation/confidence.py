"""How far a prediction can be trusted: what its passes say of it, and what that came to on validation cases."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from vmseg_auto.utils.json_codec import Stored


@dataclass(frozen=True)
class Confidence:
    """What passes at one case say of each other.

    Args:
        uncertainty: 0 to 1; one minus the soft Dice of a network's probabilities in one mirroring and its mask in the
            opposite one, the mean over labels (inference/uncertainty.py). A label of which nothing is found counts
            as 1.
        scatter: 0 to 1; share of the prediction's volume outside its largest component, the mean over labels. A label
            of which nothing is found counts as 1.
        mirrored: whether mirrorings were compared; without mirroring a pass is compared with itself.
        fold_agreement: mean pairwise Dice of the networks' masks; None for a single network, or where all are empty.
    """

    uncertainty: float
    scatter: float
    mirrored: bool
    fold_agreement: float | None = None


@dataclass(frozen=True)
class Expectation:
    """The Dice that validation cases of the same kind had.

    Args:
        dice: on average.
        low, high: bounds that hold four cases in five that were as certain.
    """

    dice: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """How far errors reach where the passes said so much, as a multiple of how far they reach on average.

    Args:
        least: where uncertainty and scatter are 0.
        by_uncertainty, by_scatter: how it grows up to 1; never below 0.
    """

    least: float
    by_uncertainty: float
    by_scatter: float

    def at(self, confidence: Confidence) -> float:
        return self.least + self.by_uncertainty * confidence.uncertainty + self.by_scatter * confidence.scatter


@dataclass(frozen=True)
class VolumeError:
    """How far a volume measured in a scan lies from the true one; both are compared as log(mL + FLOOR_ML).

    So errors count as shares of large volumes and as mL of small ones.

    Args:
        bias: how far true volumes lie above measured ones on average, on this scale.
        reach: how far from there nine true ones in ten lie at most, at an average spread.
        spread: how much farther they lie where the passes were uncertain.
        mirrored: whether the uncertainty came from comparing mirrorings.
    """

    bias: float
    reach: float
    spread: Spread
    mirrored: bool

    FLOOR_ML: ClassVar[float] = 1.0

    def interval(self, volume_ml: float, confidence: Confidence) -> tuple[float, float] | None:
        """Return what nine true volumes in ten lie between, in mL, where this one was measured; it always holds it.

        Returns:
            None where the uncertainty was not measured in the same way.

        Example:
            >>> error = VolumeError(bias=0.0, reach=0.2, spread=Spread(1.0, 0.0, 0.0), mirrored=True)
            >>> [round(end, 1) for end in error.interval(20.0, Confidence(0.1, 0.0, mirrored=True))]
            [16.2, 24.6]
        """
        if confidence.mirrored != self.mirrored:
            return None
        reach = self.reach * self.spread.at(confidence)
        errors = min(0.0, self.bias - reach), max(0.0, self.bias + reach)
        low, high = ((volume_ml + self.FLOOR_ML) * math.exp(error) - self.FLOOR_ML for error in errors)
        return max(0.0, low), high


@dataclass(frozen=True)
class NothingFound:
    """What is to be expected of a scan in which nothing of a label is found, by validation scans of that kind.

    Args:
        scans, patients: how many they were.
        missed: in how many of these scans a reader had outlined something.
        probability: that such a scan has a lesion, mean over patients; None without any scan.
        low_95, high_95: interval of the probability.
        largest_ml: the largest lesion that was missed; 0 where none was.
        most_ml: what nine such scans in ten hold at most; None where the patients are too few.
    """

    scans: int
    patients: int
    missed: int
    probability: float | None = None
    low_95: float | None = None
    high_95: float | None = None
    largest_ml: float = 0.0
    most_ml: float | None = None

    def text(self) -> str:
        """Return it in words."""
        if self.probability is None or self.low_95 is None or self.high_95 is None:
            return "every validation scan had a finding, so what a scan without one may hold is not known"
        said = (
            f"nothing was found in {self.scans} validation scans of {self.patients} patients, and {self.missed} of "
            f"them had a lesion: {self.probability:.0%} of such scans, counted by patients (95 % interval "
            f"{self.low_95:.0%} to {self.high_95:.0%})"
        )
        return f"{said}, the largest of {self.largest_ml:.2f} mL" if self.missed else said


@dataclass(frozen=True)
class VolumeConfidence:
    """How far a label's volumes can be trusted.

    Args:
        found: the error of a measured volume above 0; None where the patients are too few.
        cases, patients: how many validation ones with a finding it was measured on.
        nothing: what is known of a volume of 0.
    """

    found: VolumeError | None
    cases: int
    patients: int
    nothing: NothingFound

    FEWEST_PATIENTS: ClassVar[int] = 5
    """From which an error is given: fewer don't know how far the next one may lie."""
    PATIENTS_FOR_SUCH_SCANS: ClassVar[int] = 10
    """From which intervals also hold of scans that are as uncertain; with fewer they hold over all scans."""

    def why_no_interval(self, found: bool) -> str:
        """Return in words why no interval is given of a volume above 0 (`found`), or of one of 0."""
        if not found:
            few = "it takes validation scans without a finding of about nine patients, and here are"
            return f"{few} {self.nothing.patients}"
        if self.patients < self.FEWEST_PATIENTS:
            few = f"it takes validation scans with a finding of {self.FEWEST_PATIENTS} patients, and here are"
            return f"{few} {self.patients}"
        return "uncertainties were not all measured in the same way (mirroring)"

    def interval(self, volume_ml: float, confidence: Confidence) -> tuple[float, float] | None:
        """Return what nine true volumes in ten lie between, in mL; None where that is not known."""
        if volume_ml > 0:
            return self.found.interval(volume_ml, confidence) if self.found else None
        return None if self.nothing.most_ml is None else (0.0, self.nothing.most_ml)


Light = Literal["green", "amber", "red"]


@dataclass(frozen=True)
class Calibration:
    """What uncertainty and scatter came to on validation cases, predicted by networks that knew no scan of the patient.

    Args:
        best: the Dice expected where both are 0.
        by_uncertainty, by_scatter: how it changes up to 1; never above 0.
        below, above: how far under and over the expected Dice four cases in five lie at most, at an average spread.
        spread: how much farther they lie where the passes were uncertain.
        look_first: the least certain quarter of the validation cases have a `line` as low as this.
        mirrored: whether the uncertainty came from comparing mirrorings.
        cases, patients: how many it was measured on.
        volumes: label name -> how far its volumes can be trusted.
    """

    best: float
    by_uncertainty: float
    by_scatter: float
    below: float
    above: float
    spread: Spread
    look_first: float
    mirrored: bool
    cases: int
    patients: int
    volumes: dict[str, VolumeConfidence] = field(default_factory=dict)
    schema: int = 2

    USABLE_DICE: ClassVar[float] = 0.5
    """Below it, more of mask and lesion lies apart than together."""

    def line(self, confidence: Confidence) -> float:
        """Return the expected Dice, not yet held between 0 and 1: it orders cases by how certain they are."""
        return self.best + self.by_uncertainty * confidence.uncertainty + self.by_scatter * confidence.scatter

    def expect(self, confidence: Confidence) -> Expectation | None:
        """Return the Dice to expect; None where the uncertainty was not measured in the same way."""
        if confidence.mirrored != self.mirrored:
            return None
        dice, spread = min(1.0, max(0.0, self.line(confidence))), self.spread.at(confidence)
        return Expectation(dice, max(0.0, dice - self.below * spread), min(1.0, dice + self.above * spread))

    def light(self, confidence: Confidence, alike: bool = True) -> Light | None:
        """Return how confident one may be in a prediction, as a traffic light.

        Red: the expected Dice is below USABLE_DICE. Green: nine validation cases in ten that were as certain had a Dice
        above it, and the case is not among those to be looked at first. Amber: all others.

        Args:
            confidence: of its prediction.
            alike: whether the scan is like those of the cohort; what is not is never green.

        Returns:
            None where the uncertainty was not measured in the same way.
        """
        expected = self.expect(confidence)
        if expected is None:
            return None
        if expected.dice < self.USABLE_DICE:
            return "red"
        sure = expected.low >= self.USABLE_DICE and self.line(confidence) > self.look_first
        return "green" if sure and alike else "amber"


@dataclass(frozen=True)
class ValidationCase:
    """One validation case of a fold.

    Args:
        image: hash of the image files that it was predicted from.
        confidence: of its prediction.
        scored: hash of the image and mask files that its scores were computed from; None before that.
    """

    image: str
    confidence: Confidence
    scored: str | None = None


@dataclass(frozen=True)
class ValidationRecord(Stored):
    """The validation cases of a fold that are predicted: cases.json.

    Args:
        cases: case id -> what is known of it.
    """

    cases: dict[str, ValidationCase]
    schema: int = 2
