"""The comparison of both ways to augment on a CPU: what its section says, and that only whole pairs are compared."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the machine is described through Linux's /proc", allow_module_level=True)

from benchmarks.ablation_results import Cell, FoldResult, InputSource, Protocol, Scores, save
from benchmarks.augmentation import BEGIN, END, PROCESS, ROWS, SAMPLES, TORCH, main, parser, patient_gains, section
from benchmarks.results import Results, our_versions, this_machine
from benchmarks.results import save as save_results

PROTOCOL = Protocol(0.1, 20, 15)
PATIENTS = {"a1": "a", "a2": "a", "b1": "b"}


def trained(name: str, seed: int, dice: tuple[float, float, float], fold: int = 0) -> FoldResult:
    row = next(row for row in ROWS if row.name == name)
    config = row.config(PROTOCOL, seed).to_json()
    scores = Scores(dict(zip(PATIENTS, dice, strict=True)), PATIENTS, None, None, 9.0)
    made = (InputSource(this_machine(), "CPU", "bfloat16", 1, our_versions()),)
    cell = Cell(name, seed, fold)
    return FoldResult(PROTOCOL, cell, row.trainer, row.planner, row.settings, config, made, scores)


def test_both_rows_differ_in_the_backend_alone() -> None:
    process, torch = (row.config(PROTOCOL, 0) for row in ROWS)
    assert process.differences(torch) == ["device_augmentation: off against on"]


def test_times_are_compared_pair_by_pair(tmp_path: Path) -> None:
    rounds = {
        PROCESS: tuple({"sample_s": seconds} for seconds in (0.002, 0.004, 0.010)),
        TORCH: tuple({"sample_s": seconds} for seconds in (0.001, 0.001, 0.020)),
    }
    save_results(tmp_path, Results(SAMPLES, this_machine(), {"ours": our_versions()}, rounds=rounds))
    text = section(tmp_path)
    assert "| a sample on one thread, ms | 1 (1 to 20) | 4 (2 to 10) | 0.50 | 3 |" in text
    assert "No fold" not in text


def test_dice_is_compared_on_what_both_have_finished(tmp_path: Path) -> None:
    for result in (
        trained(PROCESS, 0, (0.2, 0.3, 0.4)),
        trained(TORCH, 0, (0.3, 0.3, 0.4)),
        trained(PROCESS, 1, (0.1, 0.1, 0.1)),
        trained(TORCH, 1, (0.1, 0.1, 0.3)),
        trained(PROCESS, 0, (0.9, 0.9, 0.9), fold=1),
    ):
        save(tmp_path, result)
    text = section(tmp_path)
    assert "| folds 0; seeds 0 | 3 | 0.300 (none) | 0.333 (none) | +0.033 |" in text
    assert "| folds 0; seeds 0, 1 | 3 | 0.200 (none) | 0.250 (none) | +0.050 |" in text
    assert text.rstrip().splitlines()[-1].startswith(this_machine().cpu)


def test_gains_are_means_over_a_patients_cases() -> None:
    gains = patient_gains([trained(TORCH, 0, (0.5, 0.3, 0.1))], [trained(PROCESS, 0, (0.2, 0.2, 0.2))])
    assert gains == pytest.approx({"a": 0.2, "b": -0.1})


def test_the_section_is_put_between_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "results.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main(["--report", "--work", str(tmp_path), "--out", str(page)]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n## Augmentation on a CPU")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "is written" in capsys.readouterr().out
    assert main(["--report", "--work", str(tmp_path), "--out", str(tmp_path / "none.md")]) == 2


def test_two_seeds_are_trained_unless_told_otherwise() -> None:
    arguments = parser().parse_args([])
    assert (arguments.seeds, arguments.jobs) == ([0, 1], 1)
