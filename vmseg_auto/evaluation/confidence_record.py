"""What the certainty of validation predictions is worth: confidence.json."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.figure import Figure
from vmseg_auto.utils.json_codec import Stored


@dataclass(frozen=True)
class ConfidenceFigures(Stored):
    """In sum, all out of fold.

    Args:
        figures: with their intervals.
        kept_dice: mean Dice of the 1, 2, ... most certain scans (one minus the risk, of the risk-coverage curve).
        certainty: what the scans are ordered by, in words.
    """

    figures: tuple[Figure, ...]
    kept_dice: tuple[float, ...]
    certainty: str
    schema: int = 1

    def check(self, where: str) -> None:
        if not self.kept_dice or not all(0 <= dice <= 1 for dice in self.kept_dice):
            raise InputError(f"{where} tells no mean Dice of the scans that are kept", remedy="Restore the file.")
