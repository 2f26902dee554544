"""vmseg_report: one offline HTML file of a workspace, or of predictions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, make_parser, places_of, run, workspace_logs
from vmseg_auto.data.workspace import OutputFolder


def parser() -> Parser:
    made = make_parser(
        "vmseg_report",
        "Write one HTML file that needs no network: of a workspace (cohort, plan, training, cross-validation, cases in "
        "pictures, checklist, manifest) or, with -i, of predictions (a section a patient with slices and volumes).",
        ("dataset", "workspace", "strict"),
        epilog="Patients get pseudonyms; the key lies beside the report. Example: vmseg_report -i masks",
    )
    made.add_argument("-i", "--input", metavar="PREDICTIONS", help="a folder that vmseg_predict has written")
    made.add_argument(
        "--images", metavar="FOLDER", help="where the predicted scans lie (default: where they lay when predicted)"
    )
    made.add_argument(
        "-o", "--output", metavar="FILE", help="the HTML file (default: report.html in the workspace or PREDICTIONS)"
    )
    made.add_argument(
        "--with-identity",
        action="store_true",
        help="show names (in the log too) and whole slices, and so faces; without it pseudonyms and the surroundings "
        "of lesions alone",
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.report.write import write_report

    write_report(
        arguments.input,
        **places_of(arguments),
        images=arguments.images,
        output=arguments.output,
        identity=arguments.with_identity,
        left=screen.left,
        console=screen,
    )


def logs(arguments: argparse.Namespace) -> Path:
    return OutputFolder(Path(arguments.input)).logs if arguments.input else workspace_logs(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs, given=("input", "images", "output"))


if __name__ == "__main__":
    sys.exit(main())
