"""How our time and memory grow with the number and the size of scans.

    python -m benchmarks.growth [--rounds 3] [--only cases voxels]

Scans are cut from, or tiled of, the real full-size heads at their own spacing, so that the work grows with the voxels.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import data
from benchmarks.compare import add_places, take_turn
from benchmarks.measure import CommandFailedError
from benchmarks.report import write_report
from benchmarks.results import Results, our_versions, save, this_machine
from benchmarks.tools import Bench, Job, SetupError
from benchmarks.workloads import OURS, imported
from vmseg_auto.utils.errors import VmsegError

NAME = "growth"
CASES = (1, 10, 50)
"""Scans of the smallest size. One alone can't be split into folds, so `prepare` begins with two."""
VOXELS = (1, 4, 16)
"""Times the smallest size, a quarter of a full-size head in-plane; two scans each."""
SCANS_A_SIZE = 2


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.partition("\n")[0])
    add_places(parser)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each point (default: 3)")
    parser.add_argument("--cases", type=int, nargs="+", default=CASES, metavar="N", help="numbers of scans")
    parser.add_argument("--voxels", type=int, nargs="+", default=VOXELS, choices=VOXELS, help="sizes of scans")
    arguments = parser.parse_args(argv)
    bench = Bench(Path(), arguments.data.absolute(), arguments.work.absolute())
    points = [(cases, 1) for cases in arguments.cases] + [(SCANS_A_SIZE, size) for size in arguments.voxels]
    try:
        run(bench, points, arguments.rounds)
        write_report(bench.work, arguments.out)
    except (SetupError, CommandFailedError, VmsegError) as error:
        print(f"benchmarks.growth: {error}", file=sys.stderr)
        return 2
    return 0


def run(bench: Bench, points: Sequence[tuple[int, int]], rounds: int) -> None:
    """Measure every point (number of scans, size) and keep what is there after each."""
    model = imported(bench, bench.data / "nnunet" / "vmsemi53" / "model", bench.folder(NAME) / "model")
    rows: list[dict[str, object]] = []
    for cases, size in points:
        cohort = make_cohort(bench, cases, size)
        for verb, job in jobs(bench, cohort, model, cases).items():
            logs = [bench.work / "logs" / f"growth_{verb}_{cases}_{size}_{number}.log" for number in range(rounds)]
            measured = [take_turn(job, log) for log in logs]
            middle = {k: statistics.median(f[k] for f, _ in measured) for k in ("wall_s", "cpu_s", "peak_mib")}
            rows.append(
                {
                    "command": verb,
                    "scans": max(cases, 2) if verb == "prepare" else cases,
                    "voxels of each": f"{voxels_of(bench, size) / 1e6:.1f} million",
                    "wall (s)": round(middle["wall_s"], 2),
                    "CPU (s)": round(middle["cpu_s"], 2),
                    f"peak memory (MiB, {measured[0][1]})": round(middle["peak_mib"]),
                    "rounds": rounds,
                }
            )
            print(rows[-1], flush=True)
            save(bench.work, Results(NAME, this_machine(), {OURS: our_versions()}, facts={"rows": rows}))
        shutil.rmtree(cohort.parent)


def jobs(bench: Bench, cohort: Path, model: Path, cases: int) -> dict[str, Job]:
    """Preparation with the default plan; prediction with one fold, unmirrored, no gate."""
    space, scans, masks = cohort.parent / "workspace", cohort.parent / "scans", cohort.parent / "masks"
    data.some_of(cohort / "imagesTr", scans, cases)
    options = ("--no-tta", "--exhaustive", "--device", "cpu")
    return {
        "prepare": bench.ours("plan_and_preprocess", "-d", cohort, "-w", space, fresh=(space,)),
        "predict": bench.ours("predict", "-i", scans, "-o", masks, "-m", model, *options, fresh=(masks,)),
    }


def make_cohort(bench: Bench, cases: int, size: int) -> Path:
    """At least two scans of that size with lesions."""
    count = max(cases, 2)
    folder = bench.folder(NAME) / f"{count}_of_{size}" / "cohort"
    return data.write_cohort(folder, _scans(bench, count, size), count)


def voxels_of(bench: Bench, size: int) -> int:
    """Voxels of the scan on which the others of that size are modelled."""
    _, image, _ = data.full_size_scans(bench.data)[0]
    return _resized(image, size).size


def _scans(bench: Bench, cases: int, size: int) -> Iterator[tuple[str, data.Scan]]:
    _, image, geometry = data.full_size_scans(bench.data)[0]
    part = _resized(image, size)
    grid = replace(geometry, shape=(part.shape[0], part.shape[1], part.shape[2]))
    for number in range(cases):
        noise = np.random.default_rng([2, number]).standard_normal(part.shape, np.float32)
        noised = np.rint(np.maximum(part + noise * 0.01 * part.max(), 0)).astype(np.float32)
        yield f"scan_{number:03d}", data.with_lesions(noised, grid, number)


def _resized(image: data.Image, size: int) -> data.Image:
    """The middle quarter of each slice (1), all of it (4), or two by two of it, mirrored at the seams (16)."""
    _, rows, columns = image.shape
    if size == 1:
        return image[:, rows // 4 : rows // 4 + rows // 2, columns // 4 : columns // 4 + columns // 2]
    return image if size == 4 else np.pad(image, ((0, 0), (0, rows), (0, columns)), mode="symmetric")


if __name__ == "__main__":
    sys.exit(main())
