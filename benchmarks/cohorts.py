"""Both tools on whole cohorts: the same plan, steps, precision and threads, tested on the same patients.

    python -m benchmarks.cohorts --nnunet ENV                                       # everything: days on two cores
    python -m benchmarks.cohorts --nnunet ENV --only lgg53 --steps 300 --minutes 0  # one cohort, at equal steps alone
    python -m benchmarks.cohorts --report                                           # only the tables

Each finished training goes at once into benchmarks/cohorts.json, which is committed, and is never made again: the same
command goes on. An interrupted training of ours at equal steps goes on from its last epoch; any other begins anew. The
tables in docs/results.md are written from that file alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ablation import ROWS, finished, interrupt
from benchmarks.ablation import chosen as chosen_rows
from benchmarks.ablation_results import InputSource
from benchmarks.cohort_report import write_report
from benchmarks.cohort_results import Budget, Cell, Finished, add, load
from benchmarks.cohort_runs import NnUnet, Ours, Place, Tool
from benchmarks.cohort_splits import EXPERIMENTS, Experiment, folds_of, patients_of
from benchmarks.compare import ROOT, add_places
from benchmarks.measure import end_session
from benchmarks.tools import Bench, SetupError, chosen_by_name, side_by_side
from benchmarks.workloads import NNUNET
from vmseg_auto.cli.common import positive_int
from vmseg_auto.data.cases import read_dataset

COMMITTED = ROOT / "benchmarks" / "cohorts.json"
DEFAULT_ROWS = (NNUNET, "nnunet", "default")


@dataclass
class Run:
    """One call of this script.

    Args:
        tools: cell -> the tool that trains it, where it is to.
        results: the file.
        patients: experiment -> case -> patient.
        jobs: trainings side by side.
        made: where each training began.
    """

    tools: dict[Cell, Tool]
    results: Path
    patients: dict[str, dict[str, str]]
    jobs: int
    failed: list[Cell] = field(default_factory=list)
    made: dict[Cell, InputSource] = field(default_factory=dict)
    processes: dict[Cell, subprocess.Popen[bytes]] = field(default_factory=dict)

    def train(self, cells: Sequence[Cell], jobs: int) -> None:
        """Train these; if this ends early, nothing of them is left running."""
        try:
            side_by_side(cells, jobs, self._start, self._ended)
        finally:
            for process in self.processes.values():
                end_session(process.pid)

    def log(self, cell: Cell) -> Path:
        return self.tools[cell].masks(cell).parent / "logs" / f"{self.tools[cell].masks(cell).name}.log"

    def _start(self, cell: Cell) -> subprocess.Popen[bytes]:
        job, log = self.tools[cell].training(cell), self.log(cell)
        self.made[cell] = self.tools[cell].made(cell, 1 if cell.budget.minutes else self.jobs)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.processes[cell] = subprocess.Popen(
                job.command, env=job.full_environment(), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return self.processes[cell]

    def _ended(self, cell: Cell, code: int) -> None:
        end_session(self.processes.pop(cell).pid)
        try:
            if code:
                raise SetupError(f"its training ended with {code}; see {self.log(cell)}")
            self._finish(cell)
        except SetupError as error:
            self.failed.append(cell)
            print(f"{cell.text()} failed: {error}", file=sys.stderr, flush=True)

    def _finish(self, cell: Cell) -> None:
        """Predict, score and keep what a training came to."""
        tool = self.tools[cell]
        tool.predict(cell)
        scores = tool.place.score(tool.masks(cell))
        steps, seconds = tool.took(cell)
        patients = {case: self.patients[cell.experiment][case] for case in tool.place.fold.val}
        reserved, made = tool.place.experiment.reserved, self.made[cell]
        new = Finished(cell, tool.settings(cell), reserved, made, steps, round(seconds, 1), patients, scores)
        add(self.results, new)
        dices = [score.dice for cases in scores.values() for score in cases.values()]
        told = f"Dice {sum(dices) / len(dices):.3f} after {steps} steps in {seconds / 60:.1f} minutes"
        print(f"{cell.text()}: {told}", flush=True)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.cohorts", description=__doc__.partition("\n")[0])
    add_places(made)
    made.set_defaults(out=ROOT / "docs" / "results.md")
    names = ", ".join(experiment.name for experiment in EXPERIMENTS)
    made.add_argument("--nnunet", type=Path, metavar="ENV", help="virtual environment with nnunetv2 2.8.1")
    made.add_argument("--only", nargs="+", metavar="NAME", help=f"experiments, or what their names begin with: {names}")
    made.add_argument(
        "--rows", nargs="+", default=list(DEFAULT_ROWS), metavar="NAME",
        help=f"{NNUNET} and rows of the ablation: {', '.join(row.name for row in ROWS)} (default: %(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--steps",
        type=positive_int,
        nargs="*",
        default=[300, 1000],
        metavar="N",
        help="of each training (default: %(default)s)",
    )
    made.add_argument(
        "--minutes",
        type=float,
        default=20,
        metavar="M",
        help="of each training at equal time, 0 for none (default: %(default)s)",
    )
    made.add_argument("--folds", type=int, nargs="+", metavar="N", help="of cross-validations (default: all)")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="default: %(default)s")
    made.add_argument(
        "--memory", type=float, default=0.25, metavar="GB", help="the plan's budget (default: %(default)s)"
    )
    made.add_argument(
        "--reserved", action="store_true",
        help="also test on patients that no choice may have seen (hospital CS): once, for what was chosen",
    )  # fmt: skip
    made.add_argument(
        "--jobs", type=positive_int, default=1, metavar="N",
        help="trainings side by side, which share the cores; at equal time always one (default: %(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--limit", type=positive_int, metavar="N", help="N cases on each side, to try it out; needs --results"
    )
    made.add_argument("--results", type=Path, metavar="FILE", help=f"default: {COMMITTED.relative_to(ROOT)}")
    made.add_argument("--report", action="store_true", help="train nothing, only write the tables anew")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    results = arguments.results or COMMITTED

    def work() -> Sequence[Cell]:
        if arguments.limit and not arguments.results:
            raise SetupError("--limit needs --results FILE: what is only tried out has no place among the results")
        failed = [] if arguments.report else run(arguments, results.absolute())
        write_report(results, arguments.out)
        return failed

    return finished("benchmarks.cohorts", arguments.out, work)


def run(arguments: argparse.Namespace, results: Path) -> list[Cell]:
    """Train what is missing; gives what failed."""
    bench = Bench(
        nnunet=(arguments.nnunet or Path()).absolute(),
        data=arguments.data.absolute(),
        work=arguments.work.absolute(),
        limit=arguments.limit,
    )
    if NNUNET in arguments.rows:
        if arguments.nnunet is None:
            raise SetupError(
                "--nnunet must name a virtual environment with nnunetv2 2.8.1, or --rows leave nnU-Net out"
            )
        bench.check()
    experiments = chosen(arguments.only, arguments.reserved)
    cells, done = wanted(arguments, bench, experiments), load(results).cells()
    missing = {cell: place for cell, place in cells.items() if cell not in done}
    print(f"{len(cells) - len(missing)} trainings are there, {len(missing)} are to come.", flush=True)
    threads = max(1, len(os.sched_getaffinity(0)) // arguments.jobs)
    tools = prepared(missing, threads, len(os.sched_getaffinity(0)))
    patients = {
        experiment.name: patients_of(read_dataset(bench.data / experiment.cohort)) for experiment in experiments
    }
    work = Run(tools, results, patients, arguments.jobs)
    work.train([cell for cell in missing if cell.budget.steps], arguments.jobs)
    work.train([cell for cell in missing if cell.budget.minutes], 1)
    return work.failed


def chosen(names: Sequence[str] | None, reserved: bool) -> list[Experiment]:
    """The experiments of those names, all for None; those that are reserved only where they are asked for.

    Raises:
        SetupError: a name fits none, or nothing is left.
    """
    found = chosen_by_name(EXPERIMENTS, names, "experiment")
    for experiment in found:
        if experiment.reserved and not reserved:
            print(f"{experiment.name} is left out: its test patients are for what was chosen; add --reserved.")
    left = [experiment for experiment in found if reserved or not experiment.reserved]
    if not left:
        raise SetupError("nothing is left to run")
    return left


def wanted(arguments: argparse.Namespace, bench: Bench, experiments: Iterable[Experiment]) -> dict[Cell, Place]:
    """Every training that is asked for, in order: short ones first, and every row's first fold before the second."""
    chosen_rows([name for name in arguments.rows if name != NNUNET])
    budgets = [Budget(steps=steps) for steps in arguments.steps]
    budgets += [Budget(minutes=arguments.minutes)] if arguments.minutes else []
    found = {}
    for experiment in experiments:
        folds = dict(enumerate(folds_of(experiment, bench.data, bench.limit)))
        if len(folds) > 1 and arguments.folds is not None:
            if unknown := set(arguments.folds) - set(folds):
                raise SetupError(f"{experiment.name} has no fold {min(unknown)}")
            folds = {number: folds[number] for number in arguments.folds}
        for budget in budgets:
            for seed in arguments.seeds:
                for number, fold in folds.items():
                    place = Place(bench, experiment, arguments.memory, number, fold)
                    for row in arguments.rows:
                        found[Cell(experiment.name, budget, arguments.memory, row, seed, number)] = place
    return found


def prepared(cells: dict[Cell, Place], threads: int, cores: int) -> dict[Cell, Tool]:
    """Let the tools plan and preprocess what they are to train on; gives who trains each cell.

    Raises:
        SetupError: that fails, or the plans differ.
    """
    rows = {row.name: row for row in ROWS}
    tools: dict[Cell, Tool] = {}
    linked, ready = set[Path](), set[tuple[Path, str]]()
    for cell, place in cells.items():
        on = cores if cell.budget.minutes else threads
        base = Ours(place, on, rows["default"])
        tool = NnUnet(place, on) if cell.row == NNUNET else Ours(place, on, rows[cell.row])
        tools[cell] = tool
        if place.root not in linked:
            print(f"{cell.experiment}, fold {cell.fold}: preprocessing", flush=True)
            place.link()
            linked.add(place.root)
        for one in (base, tool):
            key = (place.root, one.row.planner if isinstance(one, Ours) else NNUNET)
            if key not in ready:
                one.prepare()
                ready.add(key)
    return tools


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main())
