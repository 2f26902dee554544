"""Run both tools in turns on the same inputs, and write docs/performance.md from all that was measured.

    python -m benchmarks.compare --nnunet ENVIRONMENT [--only NAME ...] [--rounds 3]

Each workload's results are kept as JSON in the work folder after every round, so that workloads can be run at
different times. Without --only and --report, all are run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.measure import CommandFailedError, measure
from benchmarks.report import write_report
from benchmarks.results import Results, load, our_versions, save, this_machine
from benchmarks.tools import Bench, Job, SetupError, nnunet_versions, run_once
from benchmarks.workloads import NNUNET, OURS, Workload, chosen
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import VmsegError

ROOT = Path(__file__).parents[1]
ROUNDS = 3


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.partition("\n")[0])
    made.add_argument("--nnunet", type=Path, metavar="ENV", help="virtual environment with nnunetv2 2.8.1")
    add_places(made)
    made.add_argument(
        "--rounds",
        nargs="+",
        default=[],
        metavar="N or NAME=N",
        help=f"rounds of every workload, or of one (default: {ROUNDS})",
    )
    made.add_argument("--only", nargs="+", metavar="NAME", help="workloads, or the beginnings of their names")
    made.add_argument("--gated-model", type=Path, metavar="MODEL", help="our calibrated five folds, a run folder")
    made.add_argument("--limit", type=int, metavar="CASES", help="cut the inputs to so many cases, to try it out")
    made.add_argument("--steps", type=int, default=40, metavar="N", help="timed training steps (default: 40)")
    made.add_argument("--warm-up", type=int, default=10, metavar="N", help="steps before them (default: 10)")
    made.add_argument("--add", action="store_true", help="add to the rounds that are there until there are enough")
    made.add_argument("--report", action="store_true", help="run nothing, only write the table anew")
    return made


def add_places(made: argparse.ArgumentParser) -> None:
    """Options that all benchmarks have: where the data, the work folder and the report are."""
    data = Path(os.environ.get("VMSEG_TEST_DATA", ROOT.parent / "shared" / "data"))
    made.add_argument("--data", type=Path, default=data, metavar="DIR", help="test data (default: $VMSEG_TEST_DATA)")
    made.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks", metavar="DIR", help="inputs, results")
    made.add_argument("--out", type=Path, default=ROOT / "docs" / "performance.md", metavar="FILE", help="the report")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        failed = [] if arguments.report else run(arguments)
        write_report(arguments.work, arguments.out)
    except (SetupError, VmsegError) as error:
        print(f"benchmarks.compare: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.out} is written.")
    return 1 if failed else 0


def run(arguments: argparse.Namespace) -> list[str]:
    """Run what was chosen; gives the names of the workloads that failed."""
    if arguments.nnunet is None:
        raise SetupError("--nnunet must name a virtual environment with nnunetv2 2.8.1")
    bench = Bench(
        nnunet=arguments.nnunet.absolute(),
        data=arguments.data.absolute(),
        work=arguments.work.absolute(),
        gated_model=arguments.gated_model and arguments.gated_model.absolute(),
        limit=arguments.limit,
        steps=arguments.steps,
        warm_up=max(1, arguments.warm_up),
    )
    bench.check()
    if "OMP_NUM_THREADS" in os.environ:
        print("Warning: OMP_NUM_THREADS is set, and holds for both tools.", file=sys.stderr)
    common, single = read_rounds(arguments.rounds)
    warm(bench)
    failed = []
    for workload in chosen(arguments.only):
        rounds = single.get(workload.name, common or workload.rounds or ROUNDS)
        try:
            run_workload(workload, bench, rounds, arguments.add)
        except (SetupError, CommandFailedError) as error:
            print(f"{workload.name} is left out: {error}", file=sys.stderr, flush=True)
            failed.append(workload.name)
    return failed


def warm(bench: Bench) -> None:
    """Let both tools compile and read their modules once, so that the first round doesn't pay for it."""
    for name in ("predict", "train", "plan_and_preprocess", "evaluate_folder"):
        run_once(bench.theirs(name, "-h", home=bench.folder("help")))
    run_once(Job((sys.executable, "-c", "import vmseg_auto.workflows.train, vmseg_auto.workflows.predict")))


def read_rounds(words: Sequence[str]) -> tuple[int | None, dict[str, int]]:
    """Rounds of every workload (None if not given), and those of single ones.

    Raises:
        SetupError: a word is neither a number nor NAME=NUMBER.
    """
    common, single = None, {}
    for word in words:
        name, sign, number = word.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise SetupError(f"--rounds {word}: write a number, or WORKLOAD=NUMBER")
        if sign:
            single[name] = int(number)
        else:
            common = int(number)
    return common, single


def run_workload(workload: Workload, bench: Bench, rounds: int, add: bool) -> None:
    """Take turns for `rounds` rounds, saving after each.

    Raises:
        SetupError: it can't be preprocessed here, or rounds of another machine or version would be added to.
        CommandFailedError: a tool ended with an error.
    """
    print(f"{workload.name}: preprocessing", flush=True)
    jobs = workload.prepare(bench)
    results = begin(workload, bench, add)
    done = min((len(results.rounds.get(tool, ())) for tool in jobs), default=0)
    for number in range(done, rounds):
        for tool, job in jobs.items():
            figures, memory = take_turn(job, bench.work / "logs" / f"{workload.name}_{tool}_{number + 1}.log")
            earlier = results.rounds.get(tool, ())[:number]
            results = replace(
                results,
                rounds={**results.rounds, tool: (*earlier, figures)},
                memory={**results.memory, tool: memory},
            )
            told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            print(f"{workload.name} round {number + 1}/{rounds}, {tool}: {told}", flush=True)
        save(bench.work, results)


def begin(workload: Workload, bench: Bench, add: bool) -> Results:
    """Results to add to: empty, or what is there; nnU-Net's rounds of the rival workload, where there is one."""
    theirs = nnunet_versions(bench.nnunet)
    limit = bench.limit if workload.cases else None
    new = Results(workload.name, this_machine(), {OURS: our_versions(), NNUNET: theirs}, limit=limit)
    before = load(bench.work, workload.name) if add else None
    if before is not None:
        if not before.comparable(new):
            raise SetupError("its rounds so far are of another machine, version or number of cases: leave out --add")
        return before
    if workload.rival is None:
        return new
    rival = load(bench.work, workload.rival)
    if rival is None or not rival.rounds.get(NNUNET):
        raise SetupError(f"it is compared with nnU-Net's time in {workload.rival}: run that first")
    if (rival.machine, rival.versions[NNUNET], rival.limit) != (new.machine, theirs, new.limit):
        raise SetupError(f"nnU-Net's time in {workload.rival} is of another machine, version or number of cases")
    return replace(new, rounds={NNUNET: rival.rounds[NNUNET]}, memory={NNUNET: rival.memory[NNUNET]})


def take_turn(job: Job, log: Path) -> tuple[dict[str, float], str]:
    """Run one tool once; gives its figures, and what the memory's peak is the sum of."""
    job.clear()
    if job.figures is not None:
        job.figures.unlink(missing_ok=True)
    usage = measure(job.command, log, job.full_environment())
    figures = {name: value for name, value in asdict(usage).items() if name != "memory"}
    if job.figures is not None:
        figures |= {name: float(value) for name, value in read_json(job.figures).items()}
    return figures, usage.memory


if __name__ == "__main__":
    sys.exit(main())
