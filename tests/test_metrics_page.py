"""docs/metrics.md tells of every column of metrics.csv, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.evaluation.metrics.metric import PENALTY_MM, Metric
from vmseg_auto.evaluation.metrics.score import metrics, score

PAGE = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
TABLES = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE)]
ROWS = {
    row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]]
    for table in TABLES
    if table[0].startswith("| column |")
    for row in table[2:]
}


def test_every_column_is_there_and_no_other() -> None:
    assert sorted(ROWS) == sorted(metric.name for metric in metrics())
    assert len({metric.name for metric in metrics()}) == len(metrics())


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_units_are_those_of_the_code(metric: Metric) -> None:
    formula, unit, _ = ROWS[metric.name]
    assert formula
    ending = metric.name.rsplit("_", 1)[-1]
    assert metric.unit in {"mm": ("mm",), "ml": ("mL",), "percent": ("%",)}.get(ending, ("", "per scan"))
    if metric.unit:
        assert unit.startswith({"per scan": "number a scan"}.get(metric.unit, metric.unit))
        assert f"{metric.unit})" in metric.title
    else:
        assert metric.high == 1
        assert unit.endswith("to 1") or "1 is perfect" in unit


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_each_is_told_of_under_its_group(metric: Metric) -> None:
    (section,) = [part for part in PAGE.split("\n## ") if part.startswith(f"{metric.group}\n")]
    assert f"\n| {metric.name} | " in section


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_a_prediction_that_is_the_reference_has_the_best_value(metric: Metric) -> None:
    """So that no metric tells the wrong direction."""
    reference = np.zeros((6, 10, 10), dtype=bool)
    reference[1:3, 1:4, 1:5] = reference[4:6, 6:9, 6:8] = True
    worse = np.roll(reference, 1, axis=1)
    worse[0] = True
    best, other = (score(mask, reference, (4.0, 1.0, 1.0))[metric.name] for mask in (reference, worse))
    if metric.better == "higher":
        assert best == 2 if metric.name == "lesions_found" else best == 1
        assert not other > best
    elif metric.better:
        assert best == 0


def test_the_penalty_is_told() -> None:
    assert f"{PENALTY_MM:g} mm is what BraTS 2023 counts" in PAGE


def test_conventions_stand_in_one_table() -> None:
    (conventions,) = [table for table in TABLES if "MONAI" in table[0]]
    assert all(name in conventions[0] for name in ("here", "MONAI", "Metrics Reloaded", "panoptica"))
    for row in ("edge of the image", "percentile (HD95)", "ASSD", "both masks empty: distances", "a pair"):
        assert any(line.startswith(f"| {row} |") for line in conventions)
