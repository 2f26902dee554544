"""vmseg_evaluate: score masks against references."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, make_parser, number, run, workspace_of
from vmseg_auto.data.workspace import OutputFolder, Workspace


def parser() -> Parser:
    made = make_parser(
        "vmseg_evaluate",
        "Score masks against reference masks: overlap, surface distances, volumes and lesions, with 95 % intervals.",
        ("workspace", "jobs", "strict", "identity"),
        epilog="Example: vmseg_evaluate -p masks -r labelsTs",
    )
    made.add_argument("-p", "--predictions", required=True, metavar="FOLDER", help="folder of predicted masks")
    made.add_argument("-r", "--references", required=True, metavar="FOLDER", help="folder of reference masks")
    made.add_argument(
        "--second-reader",
        metavar="FOLDER",
        help="folder of another reader's masks: how far the readers agree is put beside the model's scores",
    )
    made.add_argument(
        "-o",
        "--output",
        metavar="CSV",
        help="table of all cases (default: PREDICTIONS/metrics.csv); the .json lies beside it",
    )
    made.add_argument(
        "--tolerance",
        type=number,
        default=1.0,
        metavar="MM",
        help="tolerance of the surface Dice (NSD) in mm (default: 1)",
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.evaluate import evaluate

    evaluate(
        arguments.predictions,
        arguments.references,
        arguments.output,
        second_reader=arguments.second_reader,
        tolerance_mm=arguments.tolerance,
        workspace=workspace_of(arguments),
        jobs=arguments.jobs,
        left=screen.left,
        console=screen,
    )


def logs(arguments: argparse.Namespace) -> Path:
    if workspace := workspace_of(arguments):
        return Workspace(Path(workspace)).logs
    return OutputFolder(Path(arguments.output).parent if arguments.output else Path(arguments.predictions)).logs


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs, given=("predictions", "references", "second_reader", "output"))


if __name__ == "__main__":
    sys.exit(main())
