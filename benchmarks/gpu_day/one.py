"""One check, in the process that was started for it: its figures are written as they come."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, Figures
from benchmarks.gpu_day.schedule import CHECKS, START_S
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.devices import choose_device


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_day.one", description=__doc__)
    parser.add_argument("check", choices=[check.name for check in CHECKS])
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--limit", type=float, required=True, metavar="S", help="seconds after which it is ended")
    parser.add_argument("--toy", action="store_true")
    arguments = parser.parse_args(argv)
    day = Day(choose_device(arguments.device), arguments.folder, arguments.toy, arguments.limit - START_S / 2)
    found: list[Figure] = []
    for figure in import_module(f"benchmarks.gpu_day.checks.{arguments.check}").find(day):
        print(f"{figure.name}: {figure.text()} {figure.wanted}", flush=True)
        found.append(figure)
        write_json(arguments.figures, Figures(tuple(found)).to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
