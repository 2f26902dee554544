"""vmseg_train, ended as soon as its first step is done: how long a user waits for it."""

from __future__ import annotations

import os
import sys

from vmseg_auto.cli.common import Screen
from vmseg_auto.cli.train import parser, work
from vmseg_auto.utils.console import Progress, SilentProgress


class UntilFirstStep(Screen):
    """The terminal's screen, but the first step that is told of ends the process."""

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        return _Ends()


class _Ends(SilentProgress):
    def advance(self, steps: int = 1) -> None:
        os._exit(0)


if __name__ == "__main__":
    work(parser().parse_args(sys.argv[1:]), UntilFirstStep(quiet=False))
