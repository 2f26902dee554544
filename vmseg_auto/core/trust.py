"""How far a prediction can be trusted: what its looks say of it, and what that came to on held-out cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vmseg_auto.core.codec import decode, encode


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
class Calibration:
    """What uncertainty and scatter came to on held-out cases, predicted by networks that knew no scan of the patient.

    Args:
        best: the Dice expected where both are 0.
        by_uncertainty, by_scatter: how it changes up to 1; never above 0.
        below, above: how far under and over the expected Dice four cases in five lie at most.
        look_first: the least certain quarter of the held-out cases have a `line` as low as this.
        mirrored: whether the uncertainty came from comparing mirrorings.
        cases, patients: how many it was measured on.
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
    schema: int = 1

    SCHEMA: ClassVar[int] = 1

    def line(self, trust: Trust) -> float:
        """The expected Dice, not yet held between 0 and 1: it orders cases by how certain they are."""
        return self.best + self.by_uncertainty * trust.uncertainty + self.by_scatter * trust.scatter

    def expect(self, trust: Trust) -> Expectation | None:
        """The Dice to expect; None where the uncertainty was not measured in the same way."""
        if trust.mirrored != self.mirrored:
            return None
        dice = min(1.0, max(0.0, self.line(trust)))
        return Expectation(dice, max(0.0, dice - self.below), min(1.0, dice + self.above))


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
class HeldOut:
    """The validation cases of a fold that are predicted: held_out.json.

    Args:
        cases: case id -> what is known of it.
    """

    cases: dict[str, HeldOutCase]
    schema: int = 1

    SCHEMA: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: Any, where: str = "held_out.json") -> HeldOut:
        """Raises InputError where a field is missing, unknown or of the wrong type."""
        return decode(cls, data, where)
