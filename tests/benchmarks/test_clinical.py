"""What docs/clinical.md tells is counted right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import GRID, raw_dataset

from benchmarks.clinical import CHANGES, chance_of_order, found_among, pieces_of, warnings
from benchmarks.clinical_report import Facts, Lit, Piece, write_clinical_report
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.selection.lesion_filter_record import Bin, LabelFilter, Level
from vmseg_auto.utils.figure import Figure
from vmseg_auto.utils.geometry import Geometry

DOUBT = np.array([0.9, 0.8, 0.8, 0.1], dtype=np.float32)


@pytest.mark.parametrize(
    ("wrong", "chance"), [([1, 0, 0, 0], 1.0), ([0, 0, 0, 1], 0.0), ([0, 1, 0, 0], 1.5 / 3), ([1, 0, 0, 1], 0.5)]
)
def test_order_of_doubt(wrong: list[int], chance: float) -> None:
    assert chance_of_order(DOUBT, np.array(wrong, dtype=bool)) == pytest.approx(chance)


def test_the_most_undecided_voxels_are_counted() -> None:
    doubt = np.linspace(1, 0, 200, dtype=np.float32).reshape(2, 10, 10)
    wrong = np.zeros(200, dtype=bool)
    wrong[[0, 1, 5, 150]] = True
    assert found_among(doubt, wrong.reshape(2, 10, 10)) == [0.5, 0.75]


FILTER = LabelFilter(
    label="lesion",
    reason="lesion: with p_lesion of at least 0.3 alone, Dice is higher",
    lesions=4,
    chosen=0.3,
    figures=(Figure("Brier score of p_lesion", 0.1, 0.05, 0.15, 2, 2, "lower is better"),),
    reliability=(Bin(0.25, 0.2, 10),),
    levels=(Level(0.0, 10, 3, 3, 0.3, 0.75, 0.5, 0), Level(0.3, 5, 3, 3, 0.55, 0.75, 0.6, 1)),
)


def test_pieces_know_the_lesions_that_they_touch() -> None:
    grid = Geometry((1, 3, 12), (10.0, 10.0, 10.0))
    mask, reference = np.zeros(grid.shape, dtype=bool), np.zeros(grid.shape, dtype=bool)
    mask[0, 0, 0:3] = mask[0, 0, 8:10] = True
    reference[0, 0, 2:4] = reference[0, 2, 0:4] = True
    assert list(pieces_of(mask, reference, grid)) == [Piece(3.0, 2.0), Piece(2.0, 0.0)]


def test_changed_scans_are_warned_of(tmp_path: Path) -> None:
    """Four patients of the same kind: none is unlike the others until it is changed."""
    grid = replace(GRID, shape=(9, 24, 24))
    found = warnings(read_dataset(raw_dataset(tmp_path, cases=4, grid=grid)))
    assert list(found) == list(CHANGES)
    assert found["nothing"] == (0, 4)
    assert found["slices 10 mm apart"] == found["a third of the slices"] == (4, 4)


def test_the_report_says_what_was_counted_and_what_it_is_not(tmp_path: Path) -> None:
    row = {"patient": "p", "reference_ml": "5", "volume_ml": "6", "volume_low_ml": "1", "volume_high_ml": "9"}
    facts = Facts(
        volumes=[row, row | {"patient": "q", "reference_ml": "10"}],
        lights=[Lit("green", 0.8), Lit("red", 0.2), Lit("red", 0.6)],
        pieces=[Piece(0.05, 0.0), Piece(7.0, 3.0)],
        order=0.9,
        shares={0.01: 0.25},
        warnings={"nothing": (0, 2)},
        filters=[FILTER],
    )
    write_clinical_report(facts, tmp_path / "clinical.md")
    text = (tmp_path / "clinical.md").read_text()
    assert "1 of 2 (50.0%)" in text
    assert "| true volumes below it, above it | 0, 1 |" in text
    assert "| from 5 mL | 1 | 1 (100%) |" in text
    assert "| red | 2 | 0.40 | 1 |" in text
    assert "| 0.3 (chosen) | 5 | 3 (60%) | 3 of 4 (75%) | 0.550 | 0.750 | 0.600 | 1 |" in text
    assert "| 0.25 | 0.20 | 10 |" in text
    assert "Brier score of p_lesion 0.100 (95 % interval 0.050 to 0.150): lower is better." in text
    assert "not a medical device" in text
    assert "synthetic lesions" in text
    assert (tmp_path / "images" / "volumes.png").stat().st_size > 5000
