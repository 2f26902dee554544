"""From tiny measured commands to the table and the picture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if not Path("/proc/self/smaps_rollup").exists():
    pytest.skip("memory is measured through Linux's /proc", allow_module_level=True)

from dataclasses import replace
from importlib.util import find_spec
from statistics import median

import torch
from tiny import tiny_plan

from benchmarks.compare import main, take_turn
from benchmarks.cpu import middle, row, timed
from benchmarks.gpu_day.findings import DayResults, Finding, at_most, write_results
from benchmarks.report import gpu_section, write_report
from benchmarks.results import Machine, Results, Spread, load, our_versions, ratios, save, spread, this_machine
from benchmarks.tools import Job
from benchmarks.workloads import NNUNET, OURS
from vmseg_auto.networks.unet import build_network

QUICK = Job((sys.executable, "-c", "pass"))
SLOW = Job((sys.executable, "-c", "import time; held = bytearray(b'x') * 50_000_000; time.sleep(0.3)"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two measured rounds of two commands that stand in for the two tools."""
    logs = tmp_path_factory.mktemp("logs")
    turns = {
        tool: [take_turn(job, logs / f"{tool}_{n}") for n in range(2)] for tool, job in ((OURS, QUICK), (NNUNET, SLOW))
    }
    return Results(
        "prepare_hippocampus",
        this_machine(),
        {OURS: our_versions()},
        memory={tool: measured[0][1] for tool, measured in turns.items()},
        rounds={tool: tuple(figures for figures, _ in measured) for tool, measured in turns.items()},
    )


def test_results_come_back_from_disk_as_they_were(results: Results, tmp_path: Path) -> None:
    save(tmp_path, results)
    assert load(tmp_path, results.workload) == results
    assert load(tmp_path, "absent") is None


def test_the_report_shows_what_was_measured(results: Results, tmp_path: Path) -> None:
    save(tmp_path, results)
    rows = ({"command": "prepare", "scans": 2},)
    save(tmp_path, replace(results, workload="growth", rounds={}, facts={"rows": list(rows)}))
    out = tmp_path / "docs" / "performance.md"
    write_report(tmp_path, out)
    text = out.read_text()
    (row,) = [
        line
        for line in text.splitlines()
        if "`prepare_hippocampus`" in line and "wall time" in line and "at most" in line
    ]
    held = median(ratios(results.values(OURS, "wall_s"), results.values(NNUNET, "wall_s"))) <= 0.2
    assert row.split(" | ")[-3:] == ["at most ratio 0.20", "yes" if held else "**no**", "2 |"]
    assert "Not measured yet: predict_hippocampus," in text
    assert results.machine.cpu in text
    assert "| prepare | 2 |" in text
    assert (tmp_path / "docs" / "images" / "performance.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    assert main(["--report", "--work", str(tmp_path), "--out", str(tmp_path / "performance.md")]) == 0
    assert "Nothing is measured yet" in (tmp_path / "performance.md").read_text()


def test_without_nnunet_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--work", str(tmp_path), "--out", str(tmp_path / "performance.md")]) == 2
    assert "--nnunet must name" in capsys.readouterr().err


def test_ratios_are_paired_round_by_round() -> None:
    assert ratios([1.0, 4.0, 9.0], [2.0, 4.0]) == [0.5, 1.0, 4.5]
    assert ratios([1.0], []) == []
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert spread([]) is None


def test_what_a_gpu_has_shown_is_a_section(tmp_path: Path) -> None:
    path = tmp_path / "gpu_day.json"
    assert "No figure of a GPU has been measured yet" in gpu_section(path)
    found = {"steps": Finding("done", 20.0, 33.0, (at_most("loss", 0.1, 0.2),))}
    write_results(path, DayResults(Machine("CPU", 2, 8.0, 2, False, "Linux"), "a card", {}, False, found))
    assert "| `steps` | loss | 0.1 | at most 0.2 | yes |" in gpu_section(path)


def test_what_a_cpu_without_16_bits_takes_has_a_section(results: Results, tmp_path: Path) -> None:
    made = row("window 4 x 8 x 8", "ours", [2.0, 3.0, 1.0], [4.0, 4.0, 4.0], "0 of 256")
    save(tmp_path, replace(results, workload="cpu", rounds={}, facts={"rows": [made]}))
    write_report(tmp_path, tmp_path / "performance.md")
    text = (tmp_path / "performance.md").read_text()
    assert "| window 4 x 8 x 8 | ours | 2 | 0.500 (0.250 to 0.750) | 0 of 256 | 3 |" in text


def test_a_window_in_the_middle_is_cut_and_filled_up() -> None:
    scan = torch.arange(1.0, 1 + 6 * 3 * 4).reshape(1, 6, 3, 4)
    window = middle(scan, tiny_plan(patch=(4, 5, 4)))
    assert window.shape == (1, 1, 4, 5, 4)
    assert torch.equal(window[0, 0, :, 1:4], scan[0, 1:5])
    assert not window[0, 0, :, [0, 4]].any()


def test_every_way_to_compute_a_window_is_timed_and_gives_the_same() -> None:
    if find_spec("openvino") is None:
        pytest.skip("the extra openvino is not installed")
    torch.manual_seed(0)
    plan = tiny_plan()
    rows = timed("tiny", build_network(plan.network, 1, 2).eval(), torch.randn(1, 1, *plan.patch), 2)
    assert rows[0]["computed by"] == "torch"
    assert len(rows) == 4
    assert all(str(one["other voxels"]).startswith("0 of ") for one in rows)
