"""vmseg_node: a DICOM node that answers series with masks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, make_parser, number, run, settings_of
from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.errors import InputError


def parser() -> Parser:
    made = make_parser(
        "vmseg_node",
        "Run a DICOM node: it takes series of MR images from the peers on its list, predicts each that is complete, "
        "and sends the results back. It runs until it is stopped, and goes on from there when it is started again.",
        ("device", "backend", "jobs", "pacs"),
        epilog="Needs the extra pacs and a settings file (docs/pacs.md). Example: vmseg_node -m model.zip",
    )
    made.add_argument(
        "-m", "--model", metavar="MODEL", help="a model's zip, or its folder WORKSPACE/runs/PLANNER/TRAINER"
    )
    made.add_argument("--status", action="store_true", help="show where each series of the queue stands, and end")
    made.add_argument(
        "--keep-days",
        type=number,
        metavar="N",
        help="delete scans and results N days after they were answered or refused (default: keep them)",
    )
    made.add_argument("--purge", action="store_true", help="delete what --keep-days names, and end")
    made.add_argument(
        "--with-identity", action="store_true", help="also tell whose scan each is, in lines, log and --status"
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    settings = settings_of(arguments)
    folder = Path(settings.the_node.queue)
    if arguments.keep_days is not None and not arguments.keep_days >= 0:
        raise InputError("--keep-days must not be below 0")
    if arguments.status:
        from vmseg_auto.pacs.status import show_status

        show_status(folder, screen, arguments.with_identity)
    elif arguments.purge:
        if arguments.keep_days is None:
            raise InputError("--purge does not say how old", remedy="Give --keep-days N too; 0 deletes all.")
        from vmseg_auto.pacs.node import purge_now

        purge_now(folder, arguments.keep_days, screen)
    else:
        if arguments.model is None:
            raise InputError("no model is given", remedy="Name a model's zip or folder with -m.")
        from vmseg_auto.pacs.node import serve

        serve(
            settings,
            arguments.model,
            device=arguments.device,
            backend=arguments.backend,
            jobs=arguments.jobs,
            keep_days=arguments.keep_days,
            with_identity=arguments.with_identity,
            console=screen,
        )


def logs(arguments: argparse.Namespace) -> Path | None:
    """Return where a node keeps its log; what only looks leaves none."""
    if arguments.status:
        return None
    try:
        return OutputFolder(Path(settings_of(arguments).the_node.queue)).logs
    except InputError:  # `work` tells of it
        return None


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs)


if __name__ == "__main__":
    sys.exit(main())
