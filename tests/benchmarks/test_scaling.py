"""The page on several processes follows from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.results import Machine, Results, save
from benchmarks.scaling import gradient_difference
from benchmarks.scaling_report import AGREEMENT, THROUGHPUT, Load, cost_row, seconds_a_scan, write_report

MACHINE = Machine("a processor", 2, 8.0, 1, False, "Linux")


def figures(wall_s: float) -> dict[str, float]:
    return {"wall_s": wall_s, "cpu_s": 1.0, "peak_mib": 400.0, "start_s": 6.0}


def facts() -> dict[str, Any]:
    disk = {"scan": 900_000.0, "results": 100_000.0}
    return {
        "small_scans": 24,
        "small": {"1": [figures(30), figures(54), figures(78)], "2": [figures(30)] * 3, "4": [figures(31)] * 3},
        "large_scans": 2,
        "large_ranks": 2,
        "large": figures(66),
        "disk": {"small": disk, "large": disk},
    }


def test_the_start_is_no_part_of_a_scan() -> None:
    assert seconds_a_scan(figures(30), 24) == 1.0


def test_costs_are_worked_out_by_the_formulas_of_the_page() -> None:
    row = cost_row(Load("head", core_s=36, start_s=60, disk=1e6), folds=5, count=10_000, price=0.05)
    #              10,000 x 36 s x 5 / 3600; halved by 2 cores; by 64; by the price; 1 MB each
    assert row == ["10,000", "head", "5", "500", "10.4 days", "7.8 h", "25", "10 GB"]
    assert cost_row(Load("head", 36, 60, 1e6), 5, 1_000_000, 0.05)[4] == "2.9 years"


def test_the_page(tmp_path: Path) -> None:
    out = tmp_path / "scaling.md"
    write_report(tmp_path, out, 0.05)
    assert "## How to start" in out.read_text()
    assert "## Throughput" not in out.read_text()
    save(tmp_path, Results(THROUGHPUT, MACHINE, {"vmseg_auto": {"torch": "2"}}, facts=facts()))
    rows = [
        {"ranks": 1, "onednn": False, "gradients": 0.0, "losses": 0.0, "alike": True},
        {"ranks": 3, "onednn": True, "gradients": 2.1e-6, "losses": 3e-5, "alike": True},
    ]
    about = {"rows": rows, "onednn_itself": 1e-4, "steps": 20, "batch": 2}
    save(tmp_path, Results(AGREEMENT, MACHINE, {"vmseg_auto": {"torch": "2"}}, facts=about))
    write_report(tmp_path, out, 0.05)
    text = out.read_text()
    assert "| 3 | with | 2.1e-06 | 3.0e-05 |" in text
    # The median round is (54 - 6) / 24 = 2 s a scan; two processes take (30 - 6) / 24 = 1 s.
    assert "| 1 | 54.0 (30.0 to 78.0) | 6.0 (6.0 to 6.0) | 2.00 (1.00 to 3.00) | 1,800 | 1.00 | 400 |" in text
    assert "| 2 | 30.0 (30.0 to 30.0) | 6.0 (6.0 to 6.0) | 1.00 (1.00 to 1.00) | 3,600 | 2.00 | 400 |" in text
    # Two processes of 1 s a scan are 2 core-seconds; 10,000 of them 6 hours of a core; a head takes (66 - 6) s of one.
    assert "| 10,000 | small | 1 | 6 | 2.8 h |" in text
    assert "| 10,000 | full-size head | 1 | 167 | 3.5 days |" in text
    assert "{" not in text


def test_a_gradient_that_is_only_rounding_is_passed_over() -> None:
    theirs = {"weight": torch.tensor([3.0, 4.0]), "bias": torch.tensor([1e-9])}
    assert gradient_difference(theirs, theirs) == 0
    ours = {"weight": torch.tensor([3.0, 4.05]), "bias": torch.tensor([-1e-9])}
    assert gradient_difference(ours, theirs) == pytest.approx(0.01, rel=1e-4)
    assert gradient_difference({**theirs, "bias": torch.tensor([1.0])}, theirs) > 1
