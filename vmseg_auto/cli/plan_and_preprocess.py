"""vmseg_plan_and_preprocess: check the dataset, plan, split, prepare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, go_on, make_parser, number, places_of, run, workspace_logs


def parser() -> Parser:
    made = make_parser(
        "vmseg_plan_and_preprocess",
        "Check every case of a dataset, plan a network for it, split it by patient into folds and prepare the cases.",
        ("dataset", "workspace", "jobs", "strict"),
        epilog="The plan (WORKSPACE/plans/PLANNER/plan.json) and the split (WORKSPACE/splits.json) are JSON; edit them "
        "and run this again, and the edits are honoured.",
    )
    made.add_argument(
        "--planner",
        nargs="+",
        default=["default"],
        metavar="NAME",
        help="default, 2d, lowres, cascade, residual, mednext_s, mednext_b or module:Class; several plan one after "
        "another (default: default)",
    )
    made.add_argument(
        "--memory", type=number, metavar="GB", help="GPU memory the plan may use (default: the last plan's, else 8)"
    )
    made.add_argument(
        "--visits",
        choices=("join", "apart"),
        help="cases whose names suggest visits of one patient: join them to one patient, or leave them apart "
        "(default: as said before; else they are listed, and stay apart)",
    )
    made.add_argument(
        "--merge-fingerprints",
        nargs="+",
        default=[],
        metavar="FILE",
        help="fingerprint_shared.json of every hospital, this one's too: plan for all of them together, so that the "
        "same files give each the same plan",
    )
    made.add_argument("--check-only", action="store_true", help="check the cases and write nothing")
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.plan import plan_and_preprocess

    planned = plan_and_preprocess(
        **places_of(arguments),
        planner=arguments.planner,
        memory_gb=arguments.memory,
        visits=arguments.visits,
        merge_fingerprints=arguments.merge_fingerprints,
        jobs=arguments.jobs,
        check_only=arguments.check_only,
        left=screen.left,
        console=screen,
    )
    if planned.plan is None:
        go_on(screen, "vmseg_plan_and_preprocess")
    elif due := planned.due:
        go_on(screen, *due, joined=" and then ")


def logs(arguments: argparse.Namespace) -> Path | None:
    return None if arguments.check_only else workspace_logs(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs)


if __name__ == "__main__":
    sys.exit(main())
