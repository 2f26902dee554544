"""vmseg_review: look at masks in a browser, correct them, and save a decision."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmseg_auto.cli.common import Parser, Screen, make_parser, number, places_of, positive_int, run, workspace_logs
from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.text import listed

if TYPE_CHECKING:
    from vmseg_auto.review.cases import Cases
    from vmseg_auto.review.click_model import ClickModel
    from vmseg_auto.review.predicted_cases import AddTo

_PORT = 8765


def parser() -> Parser:
    made = make_parser(
        "vmseg_review",
        "Open a page in the browser of this machine where masks are checked one after another, corrected and saved: "
        "predicted ones (-i), or those of a dataset's training cases (-d). In a folder that is no dataset, and without "
        "options, a start page leads from an export to reports. Nothing leaves the machine.",
        ("dataset", "workspace", "strict", "identity"),
        epilog="Needs the extra review (docs/review.md). Example: vmseg_review -i masks",
    )
    made.add_argument("-i", "--input", metavar="PREDICTIONS", help="a folder that vmseg_predict has written")
    made.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help="a model trained with `--set clicks=true` (a folder or zip), which is asked again where the reader clicks",
    )
    made.add_argument(
        "--images", metavar="FOLDER", help="where the predicted scans lie (default: where they lay when predicted)"
    )
    made.add_argument(
        "--next",
        metavar="FOLDER",
        help="scans without masks, those first that a model would learn most from: to draw their first masks, or with "
        "-i to correct what was predicted of them",
    )
    made.add_argument(
        "--add-to", metavar="DATASET", help="a dataset that accepted and corrected cases can be put into, on the page"
    )
    made.add_argument(
        "--key", metavar="FILE", help="the key to the pseudonyms of --add-to (default: DATASET_key.csv beside it)"
    )
    made.add_argument("--reader", metavar="NAME", help="who reviews (default: asked for on the page)")
    made.add_argument(
        "--blind",
        action="store_true",
        help="draw each case from an empty mask, and see no other mask until it is saved; the masks go into "
        "readers/NAME and change no other (with --reader)",
    )
    made.add_argument(
        "--blind-share", type=_share, metavar="SHARE", help="the same for a random share of the cases, such as 0.2"
    )
    port = f"of 127.0.0.1; the next free one (default: {_PORT})"
    made.add_argument("--port", type=positive_int, default=_PORT, metavar="N", help=port)
    made.add_argument("--no-browser", action="store_true", help="only show the link")
    made.add_argument(
        "--install-shortcut",
        action="store_true",
        help="make an entry of the desktop that opens the start page in the current folder, and end",
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    if arguments.install_shortcut:
        from vmseg_auto.start.shortcut import install_shortcut

        screen.say(install_shortcut(Path.cwd()))
        return
    if _is_start(arguments):
        from vmseg_auto.start.serve import start_page

        start_page(Path.cwd(), port=arguments.port, browser=not arguments.no_browser, console=screen)
        return
    from vmseg_auto.review.serve import review

    share = 1.0 if arguments.blind else arguments.blind_share
    if share is not None:
        _require_apart(arguments)
    cases = _cases(arguments, screen)
    if share is not None:
        from vmseg_auto.review.reader_cases import ReaderCases

        cases = ReaderCases(cases, arguments.reader.strip(), share)
    review(
        cases,
        reader=arguments.reader or "",
        port=arguments.port,
        browser=not arguments.no_browser,
        console=screen,
        clicks=_click_model(arguments, screen),
    )


def _click_model(arguments: argparse.Namespace, screen: Screen) -> ClickModel | None:
    if not arguments.model:
        return None
    from vmseg_auto.review.click_model import ClickModel

    return ClickModel(Path(arguments.model), console=screen)


def _cases(arguments: argparse.Namespace, screen: Screen) -> Cases:
    if arguments.input is not None:
        return _predicted(arguments, screen)
    return _unannotated(arguments, screen) if arguments.next else _training(arguments, screen)


def logs(arguments: argparse.Namespace) -> Path | None:
    if arguments.next and arguments.input is None:
        return None  # it would repeat the names of files and folders
    return workspace_logs(arguments) if arguments.input is None else OutputFolder(Path(arguments.input)).logs


def _is_start(arguments: argparse.Namespace) -> bool:
    """Return whether nothing is named to be reviewed, and the current folder is no dataset."""
    named = [*places_of(arguments).values(), arguments.input, arguments.images, arguments.next]
    named += [arguments.add_to, arguments.key, arguments.model]
    apart = arguments.blind or arguments.blind_share is not None
    return not (any(named) or apart or Path("imagesTr").is_dir())


def _require_apart(arguments: argparse.Namespace) -> None:
    """Raise InputError where options do not go with reading blind."""
    if not (arguments.reader or "").strip():
        raise InputError("nobody is named who reads blind", remedy="Add --reader NAME.")
    if arguments.blind and arguments.blind_share is not None:
        remedy = "Give one of them: --blind is a share of 1."
        raise InputError("--blind and --blind-share are given", remedy=remedy)
    if arguments.model:
        remedy = "Leave -m out."
        raise InputError("who reads blind sees no prediction, and -m would show one where he clicks", remedy=remedy)
    if arguments.add_to:
        remedy = "Put cases into a dataset in a review without --blind and --blind-share."
        raise InputError("masks that are read for a comparison go into no dataset", remedy=remedy)


def _predicted(arguments: argparse.Namespace, screen: Screen) -> Cases:
    if arguments.dataset or arguments.workspace:
        remedy = "Give one of them. To put predicted cases into a dataset, name it with --add-to."
        raise InputError("-i is for predictions, -d and -w are for training cases", remedy=remedy)
    if arguments.next and arguments.images:
        raise InputError("--next and --images are given", remedy="Give one of them: each names the scans.")
    from vmseg_auto.review.predicted_cases import PredictedCases

    scans = arguments.images or arguments.next
    cases = PredictedCases(
        Path(arguments.input),
        Path(scans) if scans else None,
        screen.left,
        _add_to(arguments),
        bool(arguments.next),
        screen,
    )
    cases.measure_again(screen)
    return cases


def _unannotated(arguments: argparse.Namespace, screen: Screen) -> Cases:
    if arguments.dataset or arguments.workspace:
        remedy = "Name the dataset that they are to go into with --add-to."
        raise InputError("-d and -w are for training cases, and scans of --next have no masks yet", remedy=remedy)
    if arguments.images or arguments.blind or arguments.blind_share is not None:
        remedy = "Leave the other options out, or name predictions with -i."
        raise InputError(
            "--images, --blind and --blind-share go with masks, and without -i there are none", remedy=remedy
        )
    from vmseg_auto.review.first_masks import FirstMasks

    return FirstMasks(Path(arguments.next), screen.left, _add_to(arguments), screen)


def _add_to(arguments: argparse.Namespace) -> AddTo | None:
    from vmseg_auto.review.predicted_cases import AddTo

    key = Path(arguments.key) if arguments.key else None
    return AddTo(Path(arguments.add_to), key) if arguments.add_to else None


def _training(arguments: argparse.Namespace, screen: Screen) -> Cases:
    if given := [f"--{name.replace('_', '-')}" for name in ("images", "add_to", "key") if getattr(arguments, name)]:
        problem = f"{listed(given)} goes with -i, and without it training cases are shown"
        raise InputError(problem, remedy="Name a folder of predictions with -i, or leave it out.")
    from vmseg_auto.review.training_cases import TrainingCases
    from vmseg_auto.workflows.paths import places

    dataset, space = places(**places_of(arguments))
    return TrainingCases(dataset, space, screen.left, screen)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs, given=("input", "images", "next", "add_to", "key", "reader", "model"))


def _share(text: str) -> float:
    """Parse a share, for argparse."""
    share = number(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write a number above 0 and up to 1, such as 0.2")
    return share


if __name__ == "__main__":
    sys.exit(main())
