"""vmseg_select: choose the run, or the ensemble of runs, to predict with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vmseg_auto.cli.common import AFTER_TRAINING, Parser, Screen, go_on, make_parser, places_of, run, workspace_logs


def parser() -> Parser:
    return make_parser(
        "vmseg_select",
        "Compare the runs of a workspace, and their ensembles, by cross-validated Dice; choose one with its threshold "
        "and post-processing for vmseg_predict, and estimate what choosing is worth. Runs by itself when the last fold "
        "of a run is trained.",
        ("dataset", "workspace", "jobs", "strict"),
        epilog="Example: vmseg_select -d my_patients",
    )


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.select import select

    select(**places_of(arguments), jobs=arguments.jobs, left=screen.left, console=screen)
    go_on(screen, *AFTER_TRAINING)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, workspace_logs)


if __name__ == "__main__":
    sys.exit(main())
