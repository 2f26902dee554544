"""docs/metrics.md tells of every column of metrics.csv, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vmseg_auto.evaluation.metric_columns import METRICS, PENALTY_MM, Metric

PAGE = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
TABLES = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE)]
ROWS = {
    row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]]
    for table in TABLES
    if table[0].startswith("| column |")
    for row in table[2:]
}


def test_every_column_is_there_and_no_other() -> None:
    assert sorted(ROWS) == sorted(metric.name for metric in METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_units_are_those_of_the_code(metric: Metric) -> None:
    formula, unit, _ = ROWS[metric.name]
    assert formula
    ending = metric.name.rsplit("_", 1)[-1]
    expected = {"mm": "mm", "ml": "mL", "percent": "%"}.get(ending)
    if expected:
        assert unit.startswith(expected)
        assert f"{expected})" in metric.title
    elif metric.high == 1:
        assert unit.endswith("to 1") or "1 is perfect" in unit
    else:
        assert unit.startswith("number a scan")
        assert "per scan" in metric.title


def test_the_penalty_is_told() -> None:
    assert f"{PENALTY_MM:g} mm is what BraTS 2023 counts" in PAGE


def test_conventions_stand_in_one_table() -> None:
    (conventions,) = [table for table in TABLES if "MONAI" in table[0]]
    assert all(name in conventions[0] for name in ("here", "MONAI", "Metrics Reloaded", "panoptica"))
    for row in ("edge of the image", "percentile (HD95)", "ASSD", "both masks empty: distances", "a pair"):
        assert any(line.startswith(f"| {row} |") for line in conventions)
