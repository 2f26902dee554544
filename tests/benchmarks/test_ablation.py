"""The ablation's rows, its queue, and that it goes on where it stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from raw_dataset import describe, tiny_image, tiny_mask

if sys.platform != "linux":
    pytest.skip("the machine is described through Linux's /proc", allow_module_level=True)

from benchmarks.ablation import COHORT, ROWS, Bench, Row, cells, chosen, main, parser, unfinished
from benchmarks.ablation_report import BASELINE, BEGIN, END
from benchmarks.ablation_results import Cell, FoldResult, Protocol, Scores, load, path_of, save
from benchmarks.tools import SetupError, side_by_side
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.utils.geometry import Geometry

PROTOCOL = Protocol(0.01, 1, 1)


def bench_of(work: Path, *rows: Row) -> Bench:
    return Bench(work / COHORT, work, PROTOCOL, {row.name: row for row in rows}, "cpu", 1)


def small_cohort(folder: Path) -> None:
    """Four patients, each scan just large enough to plan for."""
    grid = Geometry((16, 20, 24), (1.0, 1.0, 1.0))
    for number, case in enumerate("abcd"):
        write_image(folder / "imagesTr" / f"{case}_0000.nii.gz", tiny_image(number, grid.shape), grid)
        write_mask(folder / "labelsTr" / f"{case}.nii.gz", tiny_mask(1, grid.shape), grid)
    describe(folder)


def finished(row: Row, seed: int = 0, fold: int = 0) -> FoldResult:
    scores = Scores({"a": 0.5}, {"a": "p"}, None, None, 1.0)
    config = row.config(PROTOCOL, seed).to_json()
    return FoldResult(PROTOCOL, Cell(row.name, seed, fold), row.trainer, row.planner, row.settings, config, (), scores)


def test_every_row_can_be_trained_and_one_is_the_baseline() -> None:
    assert Row(BASELINE) in ROWS
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        config = row.config(Protocol(0.25, 7, 9), seed=3)
        assert (config.epochs, config.iterations_per_epoch, config.seed) == (7, 9, 3)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (Row("typo", ("batch_dyce=true",)), "row typo.*no setting 'batch_dyce'"),
        (Row("value", ("optimizer=magic",)), "row value.*magic"),
        (Row("strange", trainer="nobody"), "row strange.*no trainer 'nobody'"),
    ],
)
def test_a_row_that_cannot_be_trained_is_refused_by_name(row: Row, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        row.config(PROTOCOL, 0)


def test_rows_are_chosen_by_name() -> None:
    assert chosen(None) == list(ROWS)
    assert [row.name for row in chosen([ROWS[1].name, BASELINE])] == [ROWS[1].name, BASELINE]
    with pytest.raises(SetupError, match="no row 'nonsense'"):
        chosen(["nonsense"])


def test_rows_grow_fold_by_fold() -> None:
    order = [(c.seed, c.fold, c.row) for c in cells(["a", "b"], [0, 1], [0, 2, 0])]
    assert order == [
        (0, 0, "a"), (0, 0, "b"), (0, 2, "a"), (0, 2, "b"),
        (1, 0, "a"), (1, 0, "b"), (1, 2, "a"), (1, 2, "b"),
    ]  # fmt: skip


def test_finished_folds_are_skipped_and_begun_ones_are_not(tmp_path: Path) -> None:
    row = Row("one", ("lr=0.02",))
    save(tmp_path, finished(row, fold=0))
    save(tmp_path, replace(finished(row, fold=1), scores=None))
    assert load(tmp_path, PROTOCOL, Cell("one", 0, 0)) == finished(row, fold=0)
    left = unfinished(bench_of(tmp_path, row), cells(["one"], [0], [0, 1, 2]))
    assert left == [Cell("one", 0, 1), Cell("one", 0, 2)]


def test_a_row_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    save(tmp_path, finished(Row("one", ("lr=0.02",))))
    with pytest.raises(SetupError, match=r"one, seed 0, fold 0 was begun.*lr: 0\.02 against 0\.03"):
        unfinished(bench_of(tmp_path, Row("one", ("lr=0.03",))), [Cell("one", 0, 0)])
    with pytest.raises(SetupError, match="planner: default against other"):
        unfinished(bench_of(tmp_path, Row("one", ("lr=0.02",), planner="other")), [Cell("one", 0, 0)])


def test_so_many_run_side_by_side_and_failures_are_told() -> None:
    running, most, codes = set[int](), [0], {}

    def start(number: int) -> subprocess.Popen[bytes]:
        running.add(number)
        most.append(len(running))
        return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({number % 2})"])

    def ended(number: int, code: int) -> None:
        running.remove(number)
        codes[number] = code

    side_by_side(range(4), 2, start, ended)
    assert codes == {0: 0, 1: 1, 2: 0, 3: 1}
    assert max(most) == 2


def test_what_stops_the_queue_ends_its_processes() -> None:
    started = []

    def start(code: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", code]))
        return started[-1]

    def ended(code: str, status: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(["pass", "import time; time.sleep(600)"], 2, start, ended)
    assert started[1].returncode == -signal.SIGTERM


def test_defaults_of_the_command() -> None:
    arguments = parser().parse_args([])
    assert arguments.out.parts[-2:] == ("docs", "results.md")
    assert (arguments.folds, arguments.seeds, arguments.memory, arguments.jobs) == ([0, 1], [0], 0.25, 2)


def test_trains_what_is_missing_and_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small_cohort(tmp_path / COHORT)
    out = tmp_path / "results.md"
    out.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    words = ["--data", str(tmp_path), "--work", str(tmp_path / "work"), "--out", str(out)]
    words += ["--rows", BASELINE, "--folds", "0", "--epochs", "1", "--steps", "1", "--memory", "0.01"]
    assert main(words) == 0
    kept = load(tmp_path / "work", PROTOCOL, Cell(BASELINE, 0, 0))
    assert kept is not None
    assert kept.scores is not None
    assert len(kept.scores.dice) == 1
    assert kept.scores.gap is not None
    assert kept.scores.seconds > 0
    assert kept.made[0].machine.torch_threads == 1
    assert f"| `{BASELINE}` |" in out.read_text()
    assert "1 folds to train" in capfd.readouterr().out

    assert main(words) == 0
    assert "0 folds to train" in capfd.readouterr().out
    path = path_of(tmp_path / "work", PROTOCOL, Cell(BASELINE, 0, 0))
    path.unlink()  # as if killed between the end of the training and the writing of its figures
    assert main(words) == 0
    again = load(tmp_path / "work", PROTOCOL, Cell(BASELINE, 0, 0))
    assert again is not None
    assert again.scores == kept.scores
    assert "1 folds to train" in capfd.readouterr().out


def test_without_the_cohort_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--work", str(tmp_path), "--out", str(tmp_path / "results.md")]) == 2
    assert "give --data" in capsys.readouterr().err


def test_the_file_needs_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "--work", str(tmp_path), "--out", str(tmp_path / "results.md")]) == 2
    assert BEGIN in capsys.readouterr().err
    assert not (tmp_path / "results.md").exists()
