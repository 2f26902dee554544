"""vmseg_followup: the same patient at two or more times."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmseg_auto.cli.common import Parser, Screen, make_parser, number, places_of, run
from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.errors import InputError


def parser() -> Parser:
    made = make_parser(
        "vmseg_followup",
        "Compare a patient's lesions at two times: volumes, their change with its interval, the response to treatment, "
        "and which lesions are new, gone, split or merged. With more times also the target lesions' sum of diameters.",
        ("dataset", "workspace", "model", "series", "echo", "spacing", "device", "jobs", "strict", "identity"),
        epilog="Example: vmseg_followup anna_2019.nii.gz anna_2021.nii.gz -o anna",
    )
    made.add_argument("before", metavar="BEFORE", help="the first scan (a file or DICOM series), or a folder of scans")
    made.add_argument("after", metavar="AFTER", help="the second; in folders, scans of the same name belong together")
    made.add_argument("later", metavar="LATER", nargs="*", help="further times, each compared with BEFORE")
    made.add_argument("-o", "--output", required=True, metavar="OUT", help="folder for table, figures and pictures")
    made.add_argument(
        "--masks",
        nargs="+",
        metavar="MASK",
        help="a mask, or a folder of masks, for each time in order (default: the scans are predicted)",
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
    from vmseg_auto.workflows.followup_times import follow_times

    times = [arguments.before, arguments.after, *arguments.later]
    masks = tuple(arguments.masks) if arguments.masks else None
    if masks is not None and len(masks) != len(times):
        problem = f"there are {len(times)} scans or folders of scans, and --masks names {len(masks)}"
        raise InputError(problem, remedy="Name a mask, or a folder of masks, for each.")
    options: dict[str, Any] = {
        "masks": masks,
        "error_percent": arguments.error,
        "order_as_given": arguments.order_as_given,
        "same_patient": arguments.same_patient,
        "spacing_mm": tuple(arguments.spacing) if arguments.spacing else None,
        "model": arguments.model,
        **places_of(arguments),
        "series": arguments.series,
        "echo": arguments.echo,
        "device": arguments.device,
        "jobs": arguments.jobs,
        "left": screen.left,
        "console": screen,
    }
    if arguments.later:
        follow_times(times, arguments.output, **options)
    else:
        follow_up(arguments.before, arguments.after, arguments.output, **options)


def logs(arguments: argparse.Namespace) -> Path:
    return OutputFolder(Path(arguments.output)).logs


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs, given=("before", "after", "later", "masks", "output"))


if __name__ == "__main__":
    sys.exit(main())
