"""Tables of the ablation, from constructed results."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the machine is described through Linux's /proc", allow_module_level=True)

from benchmarks.ablation_report import BASELINE, BEGIN, END, case_scores, paired, section, write_report
from benchmarks.ablation_results import Cell, FoldResult, InputSource, Protocol, Scores, read_scores, save
from benchmarks.results import Machine
from benchmarks.tools import SetupError
from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.utils.tables import write_csv

SHORT, LONG = Protocol(0.25, 20, 50), Protocol(0.25, 200, 50)
HERE = InputSource(Machine("Test CPU", 2, 8.0, 1, True, "Linux"), "CPU", "bfloat16", 2, {"vmseg_auto": "abc"})
THERE = replace(HERE, device="Test GPU", jobs=1)
PATIENTS = {case: owner for case, owner in zip("abcdefghij", "ppqqrrsstt", strict=True)}
ORDER = [BASELINE, "better"]


def result(row: str, fold: int, dice: Mapping[str, float], seed: int = 0, **changes: object) -> FoldResult:
    """A finished fold with those validation cases."""
    scores = Scores(dict(dice), {case: PATIENTS[case] for case in dice}, 0.9, 0.5, 100.0 + fold)
    made = FoldResult(SHORT, Cell(row, seed, fold), "default", "default", (), {}, (HERE,), scores)
    return replace(made, **changes)  # type: ignore[arg-type]


def screening(row: str, gain: float = 0.0, **changes: object) -> list[FoldResult]:
    """Both folds of the screening."""
    return [
        result(row, 0, {"a": 0.2 + gain, "b": 0.4 + gain}, **changes),
        result(row, 1, {"c": 0.6 + gain, "d": 0.8 + gain}, **changes),
    ]


def row_of(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_differences_are_paired_case_by_case() -> None:
    """Each patient's cases gain alike, but patients differ: cases make the interval too narrow."""
    gains = {"a": 0.1, "b": 0.1, "c": 0.3, "d": 0.3, **dict.fromkeys("efghij", 0.2)}
    base = [result(BASELINE, 0, dict.fromkeys(gains, 0.4))]
    ours = [result("better", 0, {case: 0.4 + gain for case, gain in gains.items()})]
    by_patient, by_case = paired(ours, base)
    assert by_patient.mean == by_case.mean == pytest.approx(0.2)
    assert 0.09 < by_patient.low_95 < by_case.low_95 < 0.2 < by_case.high_95 < by_patient.high_95 < 0.31
    same, _ = paired(base, base)
    assert same.mean == 0
    assert math.isnan(same.low_95)  # all alike


def test_seeds_are_averaged_before_cases_are_compared() -> None:
    seeds = [result(BASELINE, 0, {"a": 0.2, "c": 0.5}), result(BASELINE, 0, {"a": 0.4, "c": 0.5}, seed=1)]
    assert case_scores(seeds) == pytest.approx({"a": 0.3, "c": 0.5})
    difference, _ = paired([result("better", 0, {"a": 0.5, "c": 0.5})], seeds)
    assert difference.mean == pytest.approx(0.1)
    assert difference.n == 2


def test_rows_scored_on_other_cases_are_not_compared() -> None:
    with pytest.raises(SetupError, match=f"better and {BASELINE} hold out different cases"):
        paired([result("better", 0, {"a": 0.5})], [result(BASELINE, 0, {"b": 0.5})])


def test_the_screening_shows_rows_differences_and_where() -> None:
    found = [
        *screening("better", 0.1, settings=("lr=0.02",), made=(HERE, THERE)),
        *screening(BASELINE),
        *screening("unmonitored", scores=Scores({"a": 0.0}, {"a": "p"}, None, None, 1.0))[:1],
    ]
    text = section(found, ORDER)
    assert "### Screening: 1000 steps a fold (20 epochs of 50), plan for 0.25 GB" in text
    assert "Folds 0, 1, seeds 0: 4 validation cases of 2 patients." in text
    assert row_of(text, BASELINE) == [
        f"`{BASELINE}`", "`default`", "0.500 (none)", "-", "-", "-", "0.900", "+0.500", "100", "1",
    ]  # fmt: skip
    assert row_of(text, "better") == [
        "`better`", "`default`, `lr=0.02`", "0.600 (none)", "+0.100", "(none)", "(none)", "0.900", "+0.500", "100",
        "1, 2",
    ]  # fmt: skip
    assert text.index(f"| `{BASELINE}` |") < text.index("| `better` |")
    assert "Not yet trained on all of these folds: unmonitored." in text
    assert "no figure here is a clinical Dice" in text
    assert "1. Test CPU" in text
    assert "2. Test CPU" in text
    assert "trained on Test GPU in bfloat16, one training at a time; vmseg_auto abc." in text
    assert "### Final" not in text


def test_the_final_pair_stands_in_tables_of_its_own() -> None:
    cases = {0: "a", 1: "b", 2: "c", 3: "d"}
    found = []
    for seed in (0, 1):
        for fold in range(5):
            validation = {cases[fold]: 0.5} if fold in cases else {}
            found.append(result(BASELINE, fold, validation, seed))
            found.append(result("default", fold, {case: 0.7 for case in validation}, seed))
    text = section(found, ORDER)
    whole, unseen = text.split("### Final")[1:]
    assert "Folds 0, 1, 2, 3, 4, seeds 0, 1: 4 validation cases of 2 patients. What `default`" in whole
    assert "Folds 2, 3, 4, seeds 0, 1: 2 validation cases of 1 patients." in unseen
    assert row_of(whole, "default")[3:6] == ["+0.200", "(none)", "(none)"]
    assert row_of(unseen, "default")[3:6] == ["+0.200", "(none)", "(none)"]


def test_a_long_run_stands_by_itself() -> None:
    text = section([*screening(BASELINE), *screening("better"), result("paper", 0, {"a": 0.6}, protocol=LONG)], ORDER)
    part = text.split("### By itself")[1]
    assert "10000 steps a fold (200 epochs of 50)" in part
    assert row_of(part, "paper") == [
        "`paper`", "`default`", "fold 0, seed 0", "1", "0.600 (none)", "0.900", "+0.500", "100", "1",
    ]  # fmt: skip


def test_long_runs_of_one_fold_are_compared() -> None:
    rows = {"paper": 0.4, BASELINE: 0.5, "better": 0.6}
    text = section([result(row, 0, {"a": dice}, protocol=LONG) for row, dice in rows.items()], ORDER)
    part = text.split("### One fold alone: 10000 steps a fold")[1]
    assert "Folds 0, seeds 0: 1 validation cases of 1 patients. Its cases are of few patients" in part
    assert [row_of(part, row)[3] for row in rows] == ["-0.100", "-", "+0.100"]
    assert "### By itself" not in text


def test_the_report_leaves_the_rest_of_the_file(tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    out.write_text(f"# Results\n\n{BEGIN}\nold\n{END}\n\n## Next\n")
    write_report(tmp_path, out, ORDER)
    assert "Nothing is trained yet." in out.read_text()
    for kept in [*screening(BASELINE), *screening("better"), *screening("begun", scores=None)[:1]]:
        save(tmp_path, kept)
    write_report(tmp_path, out, ORDER)
    text = out.read_text()
    assert text.startswith(f"# Results\n\n{BEGIN}\n## Ablation")
    assert text.endswith(f"{END}\n\n## Next\n")
    assert "old" not in text.splitlines()
    assert "Begun and not finished: begun, seed 0, fold 0 (1000 steps" in text
    write_report(tmp_path, out, ORDER)
    assert out.read_text() == text


def test_figures_of_a_fold_are_read_from_its_tables(tmp_path: Path) -> None:
    columns = ["case", "patient", "label", "dice"]
    rows = [("007", "01", "x", 0.2), ("007", "01", "y", 0.4), ("008", "02", "x", 0.5), ("008", "02", "y", 0.5)]
    write_csv(tmp_path / "validation" / "metrics.csv", columns, [dict(zip(columns, row, strict=True)) for row in rows])
    history = [{"epoch": n, "seconds": 2.0, "gap_train_dice": train, "gap_val_dice": validation}
               for n, train, validation in ((1, 0.5, 0.4), (2, 0.9, 0.6), (3, None, None))]  # fmt: skip
    write_csv(tmp_path / "history.csv", list(history[0]), history)
    scores = read_scores(FoldFolder(tmp_path))
    assert scores.dice == pytest.approx({"007": 0.3, "008": 0.5})
    assert scores.patients == {"007": "01", "008": "02"}
    assert (scores.train_dice, scores.gap) == (pytest.approx(0.9), pytest.approx(0.3))
    assert scores.seconds == pytest.approx(6.0)
    write_csv(tmp_path / "history.csv", ["epoch", "seconds"], history)
    assert read_scores(FoldFolder(tmp_path)) == replace(scores, train_dice=None, gap=None)
