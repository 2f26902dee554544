"""vmseg_demo: the whole pipeline on the embedded phantom cohort."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, make_parser, positive_int, run
from vmseg_auto.data.workspace import OutputFolder


def parser() -> Parser:
    made = make_parser(
        "vmseg_demo",
        "Make a cohort of phantom patients, then plan, train five short folds, predict and evaluate: minutes on a CPU.",
        ("device", "jobs"),
    )
    made.add_argument("--out", default="vmseg_demo", metavar="DIR", help="where everything goes (default: vmseg_demo)")
    made.add_argument("--cases", type=positive_int, default=53, metavar="N", help="training patients (default: 53)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the cohort (default: 0)")
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.demo.run import run_demo

    run_demo(
        arguments.out,
        cases=arguments.cases,
        seed=arguments.seed,
        device=arguments.device,
        jobs=arguments.jobs,
        left=screen.left,
        console=screen,
    )


def logs(arguments: argparse.Namespace) -> Path:
    return OutputFolder(Path(arguments.out)).logs


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs)


if __name__ == "__main__":
    sys.exit(main())
