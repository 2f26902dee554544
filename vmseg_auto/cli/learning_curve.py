"""vmseg_learning_curve: how many more patients it would take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vmseg_auto.cli.common import (
    Parser,
    Screen,
    fold_name,
    make_parser,
    number,
    positive_int,
    run,
    workspace_logs,
)
from vmseg_auto.cli.train import add_training_options, training_options


def parser() -> Parser:
    made = make_parser(
        "vmseg_learning_curve",
        "Train on growing groups of patients, score each training on the same validation ones, and tell how many "
        "patients a Dice would take. Finished trainings are kept.",
        ("dataset", "workspace", "device", "jobs", "strict"),
        epilog="Example: vmseg_learning_curve --patients 10 20 40 --target 0.8",
    )
    made.add_argument(
        "--patients",
        nargs="+",
        type=positive_int,
        required=True,
        metavar="N",
        help="numbers of patients to train on, at least three",
    )
    made.add_argument("--target", type=number, metavar="DICE", help="the Dice that is wanted, such as 0.8")
    made.add_argument(
        "--folds",
        nargs="+",
        type=fold_name,
        default=[0],
        metavar="FOLD",
        help="folds whose validation patients are scored (default: 0, to save time)",
    )
    add_training_options(made)
    made.add_argument("--fresh", action="store_true", help="train anew what was trained for this curve before")
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.learning_curve import learning_curve

    options = training_options(arguments, screen)
    learning_curve(arguments.patients, target=arguments.target, folds=arguments.folds, **options)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, workspace_logs)


if __name__ == "__main__":
    sys.exit(main())
