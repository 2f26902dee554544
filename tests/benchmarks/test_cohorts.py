"""The command that trains both tools on whole cohorts: what it runs, in which order, and that it goes on."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import raw_dataset

if sys.platform != "linux":
    pytest.skip("the benchmarks measure through Linux's /proc", allow_module_level=True)

from benchmarks.ablation_results import InputSource
from benchmarks.cohort_report import BEGIN, END
from benchmarks.cohort_results import Budget, Cell, load
from benchmarks.cohort_runs import Place, Tool, protocol_of
from benchmarks.cohort_splits import EXPERIMENTS, folds_of
from benchmarks.cohorts import COMMITTED, Run, chosen, main, parser, wanted
from benchmarks.results import Machine
from benchmarks.tools import Bench, Job, SetupError
from benchmarks.workloads import NNUNET
from vmseg_auto.utils.geometry import Geometry

HIPPOCAMPUS = next(experiment for experiment in EXPERIMENTS if experiment.name == "hippocampus53")
HERE = InputSource(Machine("Test CPU", 2, 8.0, 1, True, "Linux"), "CPU", "float32", 1, {})


@pytest.fixture
def toy_data(tmp_path: Path) -> Path:
    """Test data in which hippocampus53 has four training and two test scans, just large enough to plan for."""
    folder = tmp_path / "data"
    (folder / "nnunet").mkdir(parents=True)
    raw_dataset(folder / "hippocampus53", 4, test_cases=2, grid=Geometry((16, 20, 24), (1.0, 1.0, 1.0)))
    return folder


def words_of(data: Path, tmp_path: Path, *more: str) -> list[str]:
    """One step on two cases, tested on two."""
    out = tmp_path / "results.md"
    out.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    places = ["--data", str(data), "--work", str(tmp_path / "work"), "--results", str(tmp_path / "found.json")]
    short = ["--only", "hippocampus53", "--steps", "2", "--minutes", "0", "--limit", "2", "--memory", "0.01"]
    return [*places, "--out", str(out), *short, *more]


@dataclass
class Copier(Tool):
    """Trains with a line of Python, and predicts the reference masks."""

    place: Place
    line: str = "pass"
    threads: int = 1

    def prepare(self) -> None:
        """There is nothing to."""

    def training(self, cell: Cell) -> Job:
        return Job((sys.executable, "-c", self.line))

    def took(self, cell: Cell) -> tuple[int, float]:
        return 7, 60.0

    def made(self, cell: Cell, jobs: int) -> InputSource:
        return replace(HERE, jobs=jobs)

    def settings(self, cell: Cell) -> tuple[str, ...]:
        return ()

    def _prediction(self, cell: Cell, masks: Path) -> Job:
        return Job(("cp", "-r", f"{self.place.source}/labelsTs/.", str(masks)))


def place_of(data: Path, tmp_path: Path) -> Place:
    bench = Bench(tmp_path, data, tmp_path / "work")
    return Place(bench, HIPPOCAMPUS, 0.25, 0, folds_of(HIPPOCAMPUS, data)[0])


def cell_of(row: str, budget: Budget) -> Cell:
    return Cell("hippocampus53", budget, 0.25, row, 0, 0)


def test_a_training_that_fails_stops_no_other(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, steps = place_of(toy_data, tmp_path), Budget(steps=7)
    good, bad = cell_of("good", steps), cell_of("bad", steps)
    work = Run(
        {bad: Copier(place, "raise SystemExit(3)"), good: Copier(place)},
        tmp_path / "found.json", {"hippocampus53": {"ta": "pa", "tb": "pb", "t": "p", "u": "q"}}, 2,
    )  # fmt: skip
    work.train([bad, good], 2)
    assert work.failed == [bad]
    assert not work.processes
    (kept,) = load(tmp_path / "found.json").finished
    assert kept.cell == good
    assert (kept.steps, kept.seconds, kept.made.jobs, kept.reserved) == (7, 60.0, 2, False)
    assert kept.patients == {"t": "p", "u": "q"}
    assert {case: score.dice for case, score in kept.scores["lesion"].items()} == {"t": 1.0, "u": 1.0}
    said = capsys.readouterr()
    assert "Dice 1.000 after 7 steps in 1.0 minutes" in said.out
    assert "ended with 3; see" in said.err


def test_masks_that_are_missing_are_a_failure(toy_data: Path, tmp_path: Path) -> None:
    place, cell = place_of(toy_data, tmp_path), cell_of("good", Budget(minutes=1))
    work = Run({cell: Copier(place)}, tmp_path / "found.json", {"hippocampus53": {"t": "p", "u": "q"}}, 1)
    shutil.rmtree(toy_data / "hippocampus53" / "labelsTs")
    (toy_data / "hippocampus53" / "labelsTs").mkdir()
    work.train([cell], 1)
    assert work.failed == [cell]
    assert not load(tmp_path / "found.json").finished


def test_steps_make_whole_epochs() -> None:
    found = {steps: protocol_of(Budget(steps=steps), 0.25) for steps in (1, 2, 300, 1000, 3000)}
    assert all(protocol.epochs * protocol.steps == steps for steps, protocol in found.items())
    assert (found[300].epochs, found[1000].epochs, found[2].epochs) == (20, 20, 2)


def test_reserved_patients_are_tested_on_only_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert [experiment.name for experiment in chosen(["lgg53"], reserved=False)] == ["lgg53_du"]
    assert "lgg53_du_to_cs is left out" in capsys.readouterr().out
    assert [experiment.name for experiment in chosen(["lgg53"], reserved=True)] == ["lgg53_du", "lgg53_du_to_cs"]
    assert not any(experiment.reserved for experiment in chosen(None, reserved=False))
    with pytest.raises(SetupError, match="nothing is left"):
        chosen(["lgg53_du_to_cs"], reserved=False)
    with pytest.raises(SetupError, match="no experiment 'liver'"):
        chosen(["liver"], reserved=False)


def test_trainings_are_asked_for_in_order(shared_data: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path, shared_data, tmp_path)
    words = ["--steps", "300", "1000", "--folds", "0", "2", "--rows", NNUNET, "default"]
    cells = list(wanted(parser().parse_args(words), bench, chosen(["lgg53", "vmsemi53_ms_to_neck"], False)))
    assert [(cell.budget.name, cell.fold, cell.row) for cell in cells if cell.experiment == "lgg53_du"] == [
        (budget, fold, row) for budget in ("300steps", "1000steps", "20min") for fold in (0, 2)
        for row in (NNUNET, "default")
    ]  # fmt: skip
    assert {cell.fold for cell in cells if cell.experiment == "vmsemi53_ms_to_neck"} == {0}
    with pytest.raises(SetupError, match="lgg53_du has no fold 5"):
        wanted(parser().parse_args(["--folds", "5"]), bench, chosen(["lgg53"], False))
    with pytest.raises(SetupError, match="no row 'nonsense'"):
        wanted(parser().parse_args(["--rows", "nonsense"]), bench, chosen(["lgg53"], False))


def test_defaults_of_the_command() -> None:
    arguments = parser().parse_args([])
    assert arguments.out.parts[-2:] == ("docs", "results.md")
    assert (arguments.steps, arguments.minutes, arguments.memory) == ([300, 1000], 20, 0.25)
    assert not arguments.reserved
    assert COMMITTED.parts[-2:] == ("benchmarks", "cohorts.json")


def test_what_is_tried_out_never_reaches_the_committed_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--limit", "2"]) == 2
    assert "--limit needs --results" in capsys.readouterr().err


def test_nnunet_is_needed_unless_it_is_left_out(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words_of(toy_data, tmp_path)) == 2
    assert "--nnunet must name" in capsys.readouterr().err


def test_ours_from_scans_to_the_table_and_on(toy_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = words_of(toy_data, tmp_path, "--rows", "default")
    assert main(words) == 0
    assert "0 trainings are there, 1 are to come" in capfd.readouterr().out
    (kept,) = load(tmp_path / "found.json").finished
    assert (kept.steps, kept.settings, kept.made.precision) == (2, ("default",), "float32")
    assert kept.seconds > 0
    assert list(kept.scores["lesion"]) == ["t", "u"]
    assert all(0 <= score.dice <= 1 and score.lesions == 1 for score in kept.scores["lesion"].values())
    assert "| `default` |" in (tmp_path / "results.md").read_text()

    assert main(words) == 0
    assert "1 trainings are there, 0 are to come" in capfd.readouterr().out
    (tmp_path / "found.json").unlink()  # as if it was stopped between the training and its scores
    assert main(words) == 0
    assert load(tmp_path / "found.json").finished == (kept,)
    log = (tmp_path / "work").glob("runs/cohorts/*/*/masks/logs/2steps_default_seed_0.log")
    assert "already trained" in next(log).read_text()


def test_both_tools_where_nnunet_is_given(toy_data: Path, tmp_path: Path) -> None:
    environment = os.environ.get("VMSEG_NNUNET")
    if not environment:
        pytest.skip("set VMSEG_NNUNET to a virtual environment with nnunetv2 2.8.1")
    assert main(words_of(toy_data, tmp_path, "--nnunet", environment, "--rows", NNUNET, "default")) == 0
    found = {one.cell.row: one for one in load(tmp_path / "found.json").finished}
    assert set(found) == {NNUNET, "default"}
    assert found[NNUNET].steps == found["default"].steps == 2
    assert found[NNUNET].made.versions["nnunetv2"] == "2.8.1"
    assert found[NNUNET].made.precision == found["default"].made.precision == "float32"
    assert found[NNUNET].patients == found["default"].patients
    assert np.isfinite([score.dice for one in found.values() for score in one.scores["lesion"].values()]).all()
