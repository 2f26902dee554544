"""vmseg_train: train folds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from vmseg_auto.cli.common import (
    AFTER_TRAINING,
    Parser,
    Screen,
    confirmed,
    fold_name,
    go_on,
    make_parser,
    number,
    places_of,
    run,
    workspace_logs,
    workspace_of,
)
from vmseg_auto.data.workspace import Workspace


def parser() -> Parser:
    made = make_parser(
        "vmseg_train",
        "Train folds of the cross-validation. An interrupted training goes on from its last epoch.",
        ("dataset", "workspace", "device", "jobs", "strict"),
        epilog="Example: vmseg_train 0 1 2 3 4",
    )
    made.add_argument(
        "folds", nargs="+", type=fold_name, metavar="FOLD", help="0 to 4, or all (every case, no validation)"
    )
    add_training_options(made)
    made.add_argument(
        "--init",
        metavar="MODEL",
        help="start from the weights of another model, its folder or zip, or of a pretrained encoder (FILE.pth), as "
        "far as they fit",
    )
    made.add_argument(
        "--logger",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="also tell tensorboard, mlflow, wandb or module:Class of each epoch; history.csv is always written",
    )
    made.add_argument(
        "--fresh",
        action="store_true",
        help="train these folds anew; finished ones are kept aside until the new ones are finished",
    )
    return made


def add_training_options(made: Parser) -> None:
    """Add the options of commands that train."""
    made.add_argument("--planner", metavar="NAME", help="whose plan to train (default: the only one there is)")
    made.add_argument("--trainer", metavar="NAME", help="trainer, or module:Class (default: the plan's)")
    made.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        help="training settings, such as epochs=100",
    )
    made.add_argument("--hours", type=number, metavar="H", help="most time for each fold; as many epochs as fit")


def training_options(arguments: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Return what commands that train hand on of their options."""
    return {
        "dataset": places_of(arguments)["dataset"],
        "workspace": workspace_of(arguments),
        "planner": arguments.planner,
        "trainer": arguments.trainer,
        "settings": arguments.set,
        "hours": arguments.hours,
        "device": arguments.device,
        "jobs": arguments.jobs,
        "fresh": arguments.fresh,
        "confirm": confirmed,
        "left": screen.left,
        "console": screen,
    }


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.train import train

    options = training_options(arguments, screen)
    trained = train(arguments.folds, init=arguments.init, loggers=arguments.logger, **options)
    if Workspace(trained.folder.parents[2]).selection.is_file():
        go_on(screen, *AFTER_TRAINING)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, workspace_logs)


if __name__ == "__main__":
    sys.exit(main())
