"""What certainty is worth comes back from its file, and what it can't be is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmseg_auto.evaluation.confidence_record import ConfidenceFigures
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.figure import Figure

FIGURES = ConfidenceFigures((Figure("AUROC", 0.7, 0.5, 0.9, 10, 8, "of low Dice"),), (0.9, 0.8), "the expected Dice")


def test_figures_come_back() -> None:
    assert ConfidenceFigures.from_json(FIGURES.to_json()) == FIGURES


@pytest.mark.parametrize("kept", [(), (0.9, 1.1), (-0.1,)])
def test_a_curve_that_can_not_be_is_refused(kept: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"confidence.json tells no mean Dice of the scans that are kept"):
        ConfidenceFigures.from_json(replace(FIGURES, kept_dice=kept).to_json(), "confidence.json")
