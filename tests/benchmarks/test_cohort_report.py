"""Tables of both tools on whole cohorts, from a given file, and how trainings are added to it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the machine is described through Linux's /proc", allow_module_level=True)

from benchmarks.ablation_results import InputSource
from benchmarks.cohort_report import BEGIN, END, paired, section, write_report
from benchmarks.cohort_results import Budget, Cell, CohortResults, Finished, add, load
from benchmarks.cohort_scores import Score
from benchmarks.results import Machine
from benchmarks.tools import SetupError
from benchmarks.workloads import NNUNET
from vmseg_auto.utils.errors import InputError

HERE = InputSource(Machine("Test CPU", 2, 8.0, 2, True, "Linux"), "CPU", "float32", 1, {"nnunetv2": "2.8.1"})
STEPS, TIME = Budget(steps=300), Budget(minutes=20)
DICES = {"a": 0.2, "b": 0.4, "c": 0.6, "d": 0.5, "e": 0.3, "f": 0.7}
GAINS = {"a": 0.1, "b": 0.2, "c": 0.1, "d": 0.2, "e": -0.1, "f": 0.1}


def result(row: str, dices: Mapping[str, float], fold: int = 0, seed: int = 0, **changes: object) -> Finished:
    """A training; each test case is a patient of its own, its lesion is found, and one of two predictions is right."""
    scores = {"lesion": {case: Score(dice, 1, 1, 2, 1, None) for case, dice in dices.items()}}
    cell = Cell("lgg53_du", STEPS, 0.25, row, seed, fold)
    settings = () if row == NNUNET else (row,)
    made = Finished(cell, settings, False, HERE, 300, 600.0, {case: f"p{case}" for case in dices}, scores)
    return replace(made, **changes)  # type: ignore[arg-type]


def better() -> dict[str, float]:
    return {case: dice + GAINS[case] for case, dice in DICES.items()}


def row_of(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_differences_are_paired_patient_by_patient() -> None:
    summary, higher = paired([result("default", better())], [result(NNUNET, DICES)])
    assert summary.mean == pytest.approx(0.1)
    assert (summary.n, summary.patients, higher) == (6, 6, 5)
    assert summary.low_95 < 0.1 < summary.high_95


def test_only_folds_and_seeds_that_both_have_are_compared() -> None:
    ours = [result("default", {"a": 0.5}), result("default", {"b": 0.9}, fold=1), result("default", {"a": 0.7}, seed=1)]
    theirs = [result(NNUNET, {"a": 0.4}), result(NNUNET, {"a": 0.2}, seed=1)]
    summary, higher = paired(ours, theirs)
    assert summary.mean == pytest.approx((0.5 + 0.7) / 2 - (0.4 + 0.2) / 2)
    assert (summary.n, higher) == (1, 1)
    with pytest.raises(SetupError, match="tested on different cases"):
        paired([result("default", {"x": 0.5})], [result(NNUNET, {"a": 0.4})])


def test_a_table_holds_both_tools() -> None:
    text = section([result("default", better()), result(NNUNET, DICES)])
    assert "### lgg53 (brain tumours), hospital DU, cross-validated: 300 steps a fold, plan for 0.25 GB" in text
    assert "Tested on 6 cases of 6 patients, seeds 0." in text
    theirs, ours = row_of(text, NNUNET), row_of(text, "default")
    assert theirs[:3] == ["`nnU-Net`", "-", "6"]
    assert theirs[3].startswith("0.450 (")
    assert theirs[4:] == ["-", "-", "-", "1.000 (6 of 6)", "0.500 (6 of 12)", "300", "10.0", "1"]
    assert ours[:3] == ["`default`", "`default`", "6"]
    assert ours[4] == "+0.100"
    assert ours[6] == "5 of 6 patients"
    assert text.index("| `nnU-Net` |") < text.index("| `default` |")
    assert "| NSD |" not in text  # no millimetres are known of lgg53
    assert "1. Test CPU" in text


def test_labels_are_averaged_and_surfaces_shown_where_millimetres_are_known() -> None:
    scores = {"anterior": {"a": Score(0.8, 1, 1, 1, 1, 0.9)}, "posterior": {"a": Score(0.6, 1, 1, 1, 1, 0.7)}}
    cell = Cell("hippocampus53", TIME, 0.25, "default", 0, 0)
    text = section([result("default", {"a": 0.0}, cell=cell, scores=scores)])
    assert "its 47 test cases: 20 minutes a fold" in text
    assert row_of(text, "default")[3:] == ["0.700 (none)", "-", "-", "-", "0.800", "300", "10.0", "1"]
    assert "lesion precision |" not in text


def test_reserved_patients_are_marked() -> None:
    cell = Cell("lgg53_du_to_cs", STEPS, 0.25, NNUNET, 0, 0)
    assert "No choice has seen these patients." in section([result(NNUNET, DICES, cell=cell, reserved=True)])


def test_equal_steps_stand_before_equal_time() -> None:
    timed = result(NNUNET, DICES, cell=Cell("lgg53_du", TIME, 0.25, NNUNET, 0, 0))
    text = section([timed, result(NNUNET, DICES)])
    assert text.index(": 300 steps a fold") < text.index(": 20 minutes a fold")


def test_an_experiment_that_there_is_not_is_refused() -> None:
    with pytest.raises(SetupError, match="the results name 'gone'"):
        section([result(NNUNET, DICES, cell=Cell("gone", STEPS, 0.25, NNUNET, 0, 0))])


def test_trainings_are_added_to_the_file_and_replace_their_like(tmp_path: Path) -> None:
    path = tmp_path / "cohorts.json"
    assert load(path) == CohortResults()
    first, second = result("default", DICES), result(NNUNET, DICES)
    add(path, second)
    add(path, first)
    assert load(path).finished == (first, second)
    add(path, replace(first, seconds=1.0))
    assert {one.cell.row: one.seconds for one in load(path).finished} == {"default": 1.0, NNUNET: 600.0}
    assert [found.name for found in tmp_path.iterdir()] == ["cohorts.json"]
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"cohorts\.json"):
        add(path, first)


def test_the_report_is_written_from_the_file_alone(tmp_path: Path) -> None:
    path, out = tmp_path / "cohorts.json", tmp_path / "results.md"
    out.write_text(f"# Results\n\n{BEGIN}\nold\n{END}\n\n## Next\n")
    write_report(path, out)
    assert "Nothing is measured yet." in out.read_text()
    add(path, result(NNUNET, DICES))
    write_report(path, out)
    text = out.read_text()
    assert text.startswith(f"# Results\n\n{BEGIN}\n## Whole cohorts")
    assert text.endswith(f"{END}\n\n## Next\n")
    assert "| `nnU-Net` |" in text
    assert "old" not in text.splitlines()
