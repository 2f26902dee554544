"""vmseg_doctor: is this machine ready, and is a workspace sound?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vmseg_auto.cli.common import Parser, Screen, make_parser, places_of, run, workspace_logs
from vmseg_auto.utils.errors import AttentionNeededError


def parser() -> Parser:
    made = make_parser(
        "vmseg_doctor",
        "Show versions, devices and free disk, and look at every file of a workspace: what is damaged, stale or left "
        "over, who is at work in it, and what to do. Nothing is changed.",
        ("dataset", "workspace", "jobs", "strict"),
        epilog="Exit code 0: all is well; 3: something wants attention. Example: vmseg_doctor -w my_patients/vmseg",
    )
    made.add_argument(
        "--thorough", action="store_true", help="read every file wholly and compare it with its checksum or hash"
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.doctor import doctor

    found = doctor(
        **places_of(arguments),
        thorough=arguments.thorough,
        jobs=arguments.jobs,
        left=screen.left,
        console=screen,
    ).findings
    if found:
        raise AttentionNeededError("these want attention", found)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, workspace_logs)


if __name__ == "__main__":
    sys.exit(main())
