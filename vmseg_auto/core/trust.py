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
        mirrored: whether mirrorings were compared; without mirroring a look is compared with itself.
        fold_agreement: mean pairwise Dice of the networks' masks; None for a single network, or where all are empty.
    """

    uncertainty: float
    mirrored: bool
    fold_agreement: float | None = None


@dataclass(frozen=True)
class Expectation:
    """The Dice that held-out cases of the same uncertainty had.

    Args:
        dice: on average.
        low, high: bounds that hold four cases in five.
    """

    dice: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """What uncertainty came to on held-out cases, each predicted by one network that knew no scan of its patient.

    Args:
        certain, doubtful: the Dice expected at uncertainty 0 and 1; in between lies a straight line.
        below, above: how far under and over the expected Dice four cases in five lie at most.
        look_first: the least uncertainty of the least certain quarter of the held-out cases.
        mirrored: whether the uncertainty came from comparing mirrorings.
        cases, patients: how many it was measured on.
    """

    certain: float
    doubtful: float
    below: float
    above: float
    look_first: float
    mirrored: bool
    cases: int
    patients: int
    schema: int = 1

    SCHEMA: ClassVar[int] = 1

    def expect(self, trust: Trust) -> Expectation | None:
        """The Dice to expect; None where the uncertainty was not measured in the same way."""
        if trust.mirrored != self.mirrored:
            return None
        line = self.certain + (self.doubtful - self.certain) * trust.uncertainty
        dice = min(1.0, max(0.0, line))
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
