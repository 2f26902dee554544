"""Everything that a GPU has to show, in nine minutes.

    python -m benchmarks.gpu_day [--device cuda] [--carried FOLDER] [--out FOLDER] [--only NAME ...]
    python -m benchmarks.gpu_day --dry-run

Needs torch, numpy, scipy and scikit-image alone: what else is compared with is carried (benchmarks.gpu_day.carry). Ends
with exit code 1 if a check failed, ran out of time or found what was not wanted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu_day.arrival import arrive, carried_commit, environment
from benchmarks.gpu_day.findings import DayResults, read_results, write_results
from benchmarks.gpu_day.schedule import CHECKS, PATIENCE, Place, chosen, run_all
from benchmarks.gpu_day.table import short_table
from benchmarks.results import our_versions, this_machine
from vmseg_auto.utils.devices import choose_device, describe


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_day", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default=None, help="cuda (default), or cpu for a rehearsal (its default)")
    parser.add_argument("--carried", type=Path, help="folder that benchmarks.gpu_day.carry made")
    parser.add_argument("--out", type=Path, default=Path("gpu_day"), help="results.json and logs (default: gpu_day)")
    parser.add_argument("--only", nargs="+", choices=[check.name for check in CHECKS], metavar="NAME", help="checks")
    parser.add_argument("--budget", type=float, metavar="S", help="seconds in all (default: 540; a rehearsal has more)")
    parser.add_argument("--dry-run", action="store_true", help="rehearse all of it at toy size")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    device = arguments.device or ("cpu" if arguments.dry_run else "cuda")
    budget = arguments.budget or 540.0 * (PATIENCE if arguments.dry_run else 1.0)
    carried = arguments.carried.resolve() if arguments.carried else None
    out = arguments.out.resolve()
    arrive(carried, out)
    place = Place(device, out, arguments.dry_run, environment(carried))
    results = begun(out / "results.json", device, carried, arguments.dry_run)
    for check, finding in run_all(chosen(arguments.only), place, began + budget):
        results = replace(results, findings={**results.findings, check.name: finding})
        write_results(out / "results.json", results)
        print(f"{check.name}: {finding.state}, {finding.seconds:.1f} s", flush=True)
    print(short_table(results))
    return 0 if all(results.findings[check.name].holds for check in chosen(arguments.only)) else 1


def begun(path: Path, device: str, carried: Path | None, toy: bool) -> DayResults:
    """Results to go on with: those at `path` if they are of the same setting, else none yet."""
    versions, commit = {**our_versions(), "torch": torch.__version__}, carried_commit(carried)  # of which CUDA, too
    if versions["vmseg_auto"] == "unknown" and commit:
        versions["vmseg_auto"] = commit
    new = DayResults(this_machine(), describe(choose_device(device), None), versions, toy)
    old = read_results(path) if path.is_file() else new
    return old if old.comparable(new) else new


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the check under way ends too
    sys.exit(main())
