"""vmseg_followup: the same patient at two times."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, make_parser, number, places_of, run
from vmseg_auto.data.workspace import OutputFolder


def parser() -> Parser:
    made = make_parser(
        "vmseg_followup",
        "Compare a patient's lesions at two times: volumes, their change with its interval, the response to treatment, "
        "and which lesions are new, gone, split or merged.",
        ("dataset", "workspace", "model", "series", "echo", "spacing", "device", "jobs", "strict", "identity"),
        epilog="Example: vmseg_followup anna_2019.nii.gz anna_2021.nii.gz -o anna",
    )
    made.add_argument("before", metavar="BEFORE", help="the first scan (a file or DICOM series), or a folder of scans")
    made.add_argument("after", metavar="AFTER", help="the second; in folders, scans of the same name belong together")
    made.add_argument("-o", "--output", required=True, metavar="OUT", help="folder for table, figures and pictures")
    made.add_argument(
        "--masks",
        nargs=2,
        metavar=("BEFORE_MASK", "AFTER_MASK"),
        help="masks, or folders of masks, to compare (default: both scans are predicted)",
    )
    made.add_argument(
        "--error",
        type=number,
        metavar="PERCENT",
        help="nine volumes in ten are measured with at most this error, in %% of the true volume, as for masks drawn "
        "by hand (default: the model's own, from its validation cases)",
    )
    made.add_argument(
        "--order-as-given",
        action="store_true",
        help="BEFORE is the earlier scan, although the dates in the headers tell otherwise",
    )
    made.add_argument(
        "--same-patient",
        action="store_true",
        help="both scans are of one patient, although their headers tell of two",
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.followup import follow_up

    follow_up(
        arguments.before,
        arguments.after,
        arguments.output,
        masks=tuple(arguments.masks) if arguments.masks else None,
        error_percent=arguments.error,
        order_as_given=arguments.order_as_given,
        same_patient=arguments.same_patient,
        spacing_mm=tuple(arguments.spacing) if arguments.spacing else None,
        model=arguments.model,
        **places_of(arguments),
        series=arguments.series,
        echo=arguments.echo,
        device=arguments.device,
        jobs=arguments.jobs,
        left=screen.left,
        console=screen,
    )


def logs(arguments: argparse.Namespace) -> Path:
    return OutputFolder(Path(arguments.output)).logs


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs, given=("before", "after", "masks", "output"))


if __name__ == "__main__":
    sys.exit(main())
