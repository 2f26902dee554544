"""vmseg_make_dataset: from scans and the masks drawn on them to a dataset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vmseg_auto.cli.common import Parser, Screen, make_parser, run, workspace_of
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.streams import write_text

if TYPE_CHECKING:
    from vmseg_auto.data.outlined_slices import OutlinedSlices


def parser() -> Parser:
    made = make_parser(
        "vmseg_make_dataset",
        "Make a dataset for vmseg_plan_and_preprocess from scans (DICOM or image files) and masks drawn in 3D Slicer "
        "or ITK-SNAP. Shows which mask goes with which scan before anything is written, and writes pseudonyms. Later "
        "patients enter with --add, and one who withdraws consent leaves with --remove.",
        ("workspace", "series", "echo", "jobs", "strict", "pacs", "keep_scans"),
        epilog="Example: vmseg_make_dataset -i pacs_export -m masks -o my_patients --patients folders --test-share 0.2",
    )
    made.add_argument(
        "-i",
        "--images",
        metavar="SCANS",
        help="DICOM folder or zip, or folder of images; or pacs:NAME, a PACS of which --studies names the studies",
    )
    made.add_argument(
        "--studies",
        metavar="FILE",
        help="a CSV table of studies to fetch, a row each: columns study (StudyInstanceUID), accession, patient, date, "
        "and name (of the patient's folder); what is fetched is kept in DATASET_scans unless --keep-scans",
    )
    made.add_argument(
        "-m",
        "--masks",
        help="folder of masks (.seg.nrrd, .nrrd, .nii.gz, .nii, .mha; DICOM SEG, RTSTRUCT), or one mask",
    )
    made.add_argument(
        "-o", "--output", required=True, metavar="DATASET", help="the dataset folder to make; DATASET_key.csv beside it"
    )
    made.add_argument(
        "--from-msd",
        metavar="FOLDER",
        help="make DATASET of a folder of the Medical Segmentation Decathlon, such as Task04_Hippocampus, instead",
    )
    made.add_argument(
        "--add",
        action="store_true",
        help="put new patients, and further scans of known ones, into DATASET; all others keep pseudonym and side",
    )
    made.add_argument(
        "--remove",
        metavar="PATIENT",
        help="delete a patient, by the hospital's name or the pseudonym, and name what has seen the patient",
    )
    made.add_argument("--key", metavar="FILE", help="the key to the pseudonyms (default: DATASET_key.csv)")
    made.add_argument("--yes", action="store_true", help="go on without asking")
    made.add_argument(
        "--confirm",
        metavar="CODE",
        help="go on without asking if the pairs are those that were shown with this code; the start page does so",
    )
    made.add_argument(
        "--segments",
        nargs="+",
        metavar="NAME",
        help="segments that are lesions, by their names in 3D Slicer or by label value (default: all)",
    )
    made.add_argument(
        "--outlined-slices",
        type=_slices,
        metavar="WHICH",
        help="slices that were looked at, where not all were: 5 (slices 1, 6, 11, ...), 3:5 (3, 8, 13, ...), 2,7,12, "
        "or drawn (those with an outline); nothing is learnt from the others (default: all were)",
    )
    made.add_argument("--label", metavar="NAME", help="what they are called (default: lesion)")
    made.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME[=FOLDER]",
        help="what the scans of -i are (default: T2); given again as NAME=FOLDER, another sequence of these "
        "patients, called as the scans of -i, which is registered to those; some patients may lack it",
    )
    made.add_argument(
        "--patients",
        choices=("scans", "folders"),
        help="scans: each scan is a patient of its own (default); folders: each folder in SCANS is a patient",
    )
    made.add_argument(
        "--visits",
        choices=("join", "apart"),
        help="scans whose names suggest visits of one patient: join them to one patient, or leave them apart",
    )
    made.add_argument(
        "--test-share", type=_share, default=0.0, metavar="SHARE", help="share of patients to test on (default: 0)"
    )
    made.add_argument(
        "--seed", type=int, default=0, metavar="N", help="decides which patients are tested on (default: 0)"
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    if arguments.remove is not None:
        _remove(arguments, screen)
        return
    if arguments.from_msd is not None:
        _from_msd(arguments, screen)
        return
    if arguments.images is None or arguments.masks is None:
        raise InputError("scans or masks are not given", remedy="Name them with -i and -m.")
    from vmseg_auto.cli.pulling import pulled_studies
    from vmseg_auto.pacs.address import is_address
    from vmseg_auto.workflows.further_channels import parse_channels
    from vmseg_auto.workflows.make_dataset import make_dataset

    from_pacs = is_address(arguments.images)
    if arguments.studies is not None and not from_pacs:
        raise InputError("--studies names studies of a PACS, and -i names none", remedy="Write -i pacs:NAME.")
    channel, further = parse_channels(arguments.channel)
    make_dataset(
        pulled_studies(arguments, screen) if from_pacs else arguments.images,
        arguments.masks,
        arguments.output,
        add=arguments.add,
        key=arguments.key,
        confirm=lambda table: _confirmed_pairs(table, arguments.confirm, arguments.yes, screen),
        segments=arguments.segments,
        outlined_slices=arguments.outlined_slices,
        label=arguments.label,
        channel=channel,
        further_channels={one.name: one.folder for one in further},
        series=arguments.series,
        echo=arguments.echo,
        patients=arguments.patients,
        visits=arguments.visits,
        test_share=arguments.test_share,
        seed=arguments.seed,
        jobs=arguments.jobs,
        left=screen.left,
        console=screen,
    )


def _from_msd(arguments: argparse.Namespace, screen: Screen) -> None:
    if arguments.add or arguments.images is not None or arguments.masks is not None:
        raise InputError("--from-msd goes with neither --add nor -i nor -m", remedy="Give one command for each.")
    from vmseg_auto.workflows.from_msd import dataset_from_msd

    dataset_from_msd(arguments.from_msd, arguments.output, left=screen.left, console=screen)


def _remove(arguments: argparse.Namespace, screen: Screen) -> None:
    if arguments.add or arguments.images is not None or arguments.masks is not None:
        raise InputError("--remove goes with neither --add nor -i nor -m", remedy="Give one command for each.")
    from vmseg_auto.workflows.remove_patient import remove_patient

    remove_patient(
        arguments.output,
        arguments.remove,
        key=arguments.key,
        workspace=workspace_of(arguments),
        confirm=lambda words: _confirmed(
            words, "Delete them for good?", "nothing is deleted yet", arguments.yes, screen
        ),
        left=screen.left,
        console=screen,
    )


def main(argv: Sequence[str] | None = None) -> int:
    # no log: it would repeat the names of files and folders
    return run(parser(), work, argv, fetched="images")


def _confirmed_pairs(table: str, code: str | None, yes: bool, screen: Screen) -> bool:
    """Return whether pairs are confirmed: by their code, by --yes, or by who is asked.

    Raises:
        InputError: the code is of other pairs, or nobody is there to be asked.
    """
    from vmseg_auto.workflows.make_dataset import UNCONFIRMED, code_of, with_code

    if code is not None and code != code_of(table):
        problem = f"the pairs are not those that were confirmed, and {UNCONFIRMED}:\n{with_code(table)}"
        raise InputError(problem, remedy=f"If this is right, write --confirm {code_of(table)}.")
    return _confirmed(with_code(table), "Write this dataset?", UNCONFIRMED, yes or code is not None, screen)


def _confirmed(words: str, question: str, not_yet: str, yes: bool, screen: Screen) -> bool:
    if yes:
        screen.say(words)
        return True
    if not sys.stdin.isatty():
        raise InputError(f"{not_yet}:\n{words}", remedy="If this is right, add --yes.")
    write_text(words, sys.stdout)
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _share(text: str) -> float:
    """Parse a share, for argparse."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write a number from 0 to below 1, such as 0.2")
    return share


def _slices(text: str) -> OutlinedSlices:
    """Parse which slices were looked at, for argparse."""
    from vmseg_auto.data.outlined_slices import OutlinedSlices

    try:
        return OutlinedSlices.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
