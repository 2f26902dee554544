"""vmseg_review: look at predicted masks in a browser, correct them, and save a decision."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, make_parser, positive_int, run
from vmseg_auto.data.workspace import OutputFolder


def parser() -> Parser:
    made = make_parser(
        "vmseg_review",
        "Open a page in the browser of this machine where predicted masks are checked one after another, corrected and "
        "saved; the volumes are measured again. Nothing leaves the machine.",
        ("strict", "identity"),
        epilog="Needs the extra review (docs/review.md). Example: vmseg_review -i masks",
    )
    made.add_argument(
        "-i", "--input", required=True, metavar="PREDICTIONS", help="a folder that vmseg_predict has written"
    )
    made.add_argument(
        "--images", metavar="FOLDER", help="where the predicted scans lie (default: where they lay when predicted)"
    )
    made.add_argument("--reader", metavar="NAME", help="who reviews (default: asked for on the page)")
    made.add_argument(
        "--port", type=positive_int, default=8765, metavar="N", help="of 127.0.0.1; the next free one (default: 8765)"
    )
    made.add_argument("--no-browser", action="store_true", help="only show the link")
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.review.serve import review

    review(
        Path(arguments.input),
        images=Path(arguments.images) if arguments.images else None,
        reader=arguments.reader or "",
        port=arguments.port,
        browser=not arguments.no_browser,
        left=screen.left,
        console=screen,
    )


def logs(arguments: argparse.Namespace) -> Path:
    return OutputFolder(Path(arguments.input)).logs


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs, given=("input", "images", "reader"))


if __name__ == "__main__":
    sys.exit(main())
