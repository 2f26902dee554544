"""vmseg_make_dataset: from scans and the masks drawn on them to a dataset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vmseg_auto.cli.common import Parser, Screen, make_parser, run
from vmseg_auto.core.errors import InputError
from vmseg_auto.io.streams import tell


def parser() -> Parser:
    made = make_parser(
        "vmseg_make_dataset",
        "Make a dataset for vmseg_plan_and_preprocess from scans (DICOM or image files) and masks drawn in 3D Slicer "
        "or ITK-SNAP. Shows which mask goes with which scan before anything is written, and writes pseudonyms.",
        ("series", "echo", "jobs"),
        epilog="Example: vmseg_make_dataset -i pacs_export -m masks -o my_patients --patients folders --test-share 0.2",
    )
    made.add_argument("-i", "--images", required=True, metavar="SCANS", help="DICOM folder or zip, or folder of images")
    made.add_argument(
        "-m", "--masks", required=True, help="folder of masks (.seg.nrrd, .nrrd, .nii.gz, .nii, .mha), or one mask"
    )
    made.add_argument(
        "-o", "--output", required=True, metavar="DATASET", help="the dataset folder to make; DATASET_key.csv beside it"
    )
    made.add_argument("--yes", action="store_true", help="go on without asking")
    made.add_argument(
        "--segments",
        nargs="+",
        metavar="NAME",
        help="segments that are lesions, by their names in 3D Slicer or by label value (default: all)",
    )
    made.add_argument("--label", default="lesion", metavar="NAME", help="what they are called (default: lesion)")
    made.add_argument("--channel", default="T2", metavar="NAME", help="what the scans are (default: T2)")
    made.add_argument(
        "--patients",
        choices=("scans", "folders"),
        default="scans",
        help="scans: each scan is a patient of its own (default); folders: each folder in SCANS is a patient",
    )
    made.add_argument(
        "--visits",
        choices=("join", "apart"),
        help="scans whose names suggest visits of one patient: join them to one patient, or leave them apart",
    )
    made.add_argument(
        "--test-share", type=_share, default=0.0, metavar="SHARE", help="share of patients held out (default: 0)"
    )
    made.add_argument("--seed", type=int, default=0, metavar="N", help="decides which are held out (default: 0)")
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.pipeline.make_dataset import make_dataset

    make_dataset(
        arguments.images,
        arguments.masks,
        arguments.output,
        confirm=lambda table: _confirmed(table, arguments.yes, screen),
        segments=arguments.segments,
        label=arguments.label,
        channel=arguments.channel,
        series=arguments.series,
        echo=arguments.echo,
        patients=arguments.patients,
        visits=arguments.visits,
        test_share=arguments.test_share,
        seed=arguments.seed,
        jobs=arguments.jobs,
        console=screen,
    )


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv)  # no log: it would repeat the names of files and folders


def _confirmed(table: str, yes: bool, screen: Screen) -> bool:
    if yes:
        screen.say(table)
        return True
    if not sys.stdin.isatty():
        raise InputError(
            f"nothing is written yet; these are the pairs:\n{table}", remedy="If they are right, add --yes."
        )
    tell(table, sys.stdout)
    return input("Write this dataset? [y/N] ").strip().lower() in ("y", "yes")


def _share(text: str) -> float:
    """A share for argparse."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write a number from 0 to below 1, such as 0.2")
    return share


if __name__ == "__main__":
    sys.exit(main())
