"""How often what is stated with a level holds: simulated cohorts of few and of many patients.

    python -m benchmarks.coverage [--cohorts 1000] [--only "Learning curve"] [--out docs/coverage.md]

Writes docs/coverage.md, or with --only shows that part. The levels are those of
benchmarks/coverage_levels.py and benchmarks/coverage_confidence.py.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.coverage_confidence import TRUST_LEVELS
from benchmarks.coverage_levels import LEVELS as OTHER_LEVELS
from benchmarks.coverage_levels import Level
from benchmarks.report import table
from vmseg_auto.utils.atomic import write_text
from vmseg_auto.utils.errors import VmsegError

LEVELS = (*OTHER_LEVELS, *TRUST_LEVELS)
PATIENTS = (2, 5, 10, 20, 53)
NEAR = 3.0
"""Points within which a level is held."""
OUT = Path(__file__).parents[1] / "docs" / "coverage.md"

INTRODUCTION = """\
# What the stated levels hold

Written by `python -m benchmarks.coverage --cohorts {cohorts}`; don't edit it. All cohorts are simulated: the figures
say how often an interval holds what it speaks of where the truth is known, and nothing of how good a model is.

Each figure is the share, in per cent, of {cohorts} simulated cohorts (or of new scans in each) in which the interval
held; chance alone moves it by about {noise:.1f} points. More than {near:g} points under the stated level are **bold**:
a promise that is not kept. More than {near:g} points over it are *slanted*: an interval wider than it need be. A dash:
nothing is given, or in fewer than half of the cohorts, and the report says why.

Several scans a patient: 1 to 12, four on average, which resemble each other. Errors of volumes (6 mL at the median, 0.7
to 50): additive, 1 mL whatever the size; relative, 30 %; growing, 0.3 mL and 20 % of the volume, which is alike neither
in mL nor as a ratio, and not normal as either. Half of an error's variance is the patient's.
"""


@dataclass(frozen=True)
class Task:
    """One figure of each quantity: `level` is its place in LEVELS."""

    level: int
    variant: str
    patients: int
    cohorts: int


Figures = dict[str, float | None]


def simulate(task: Task) -> Figures:
    """Quantity -> per cent of the cohorts that held; None where fewer than half of them told anything."""
    level = LEVELS[task.level]
    seed = [*level.title.encode(), *task.variant.encode(), task.patients]
    rng = np.random.default_rng(seed)
    found = [level.hold(rng, task.variant, task.patients) for _ in range(task.cohorts)]
    figures: Figures = {}
    for quantity in found[0]:
        told = [share for one in found if (share := one[quantity]) is not None]
        figures[quantity] = 100 * float(np.mean(told)) if 2 * len(told) >= task.cohorts else None
    return figures


def simulate_all(tasks: Sequence[Task], jobs: int) -> dict[Task, Figures]:
    """Each on one process of several."""
    done: dict[Task, Figures] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for task, figures in zip(tasks, pool.map(simulate, tasks), strict=True):
            done[task] = figures
            print(f"{len(done)} of {len(tasks)}: {LEVELS[task.level].title}, {task.variant}, {task.patients} patients")
    return done


def report(done: dict[Task, Figures], cohorts: int) -> str:
    """The page."""
    noise = 100 * math.sqrt(0.95 * 0.05 / cohorts)
    parts = [INTRODUCTION.format(cohorts=f"{cohorts:,}".replace(",", ""), noise=noise, near=NEAR)]
    for number, level in enumerate(LEVELS):
        own = {task: figures for task, figures in done.items() if task.level == number}
        if own:
            head = ("", "cohorts", *(f"{patients} patients" for patients in PATIENTS))
            parts.append(f"\n## {level.title}: {level.stated:.0f} %\n{level.told}\n\n{table(head, _rows(level, own))}")
    return "".join(parts)


def _rows(level: Level, done: dict[Task, Figures]) -> list[tuple[str, ...]]:
    quantities = list(next(iter(done.values())))
    return [
        (quantity, variant, *_cells(level, [f for t, f in done.items() if t.variant == variant], quantity))
        for quantity in quantities
        for variant in level.variants
    ]


def _cells(level: Level, figures: Sequence[Figures], quantity: str) -> Iterator[str]:
    for one in figures:
        share = one[quantity]
        if share is None:
            yield "-"
        else:
            mark = "**" if share < level.stated - NEAR else "*" if share > level.stated + NEAR else ""
            yield f"{mark}{share:.1f}{mark}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.partition("\n")[0])
    parser.add_argument("--cohorts", type=int, default=1000, metavar="N", help="for each figure (default: 1000)")
    parser.add_argument("--only", nargs="+", choices=[level.title for level in LEVELS], help="levels (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--out", type=Path, help="Markdown file (default: docs/coverage.md; with --only the screen)")
    arguments = parser.parse_args(argv)
    if min(arguments.cohorts, arguments.jobs) < 1:
        parser.error("--cohorts and --jobs take numbers from 1 on")
    tasks = [
        Task(number, variant, patients, arguments.cohorts)
        for number, level in enumerate(LEVELS)
        if arguments.only is None or level.title in arguments.only
        for variant in level.variants
        for patients in PATIENTS
    ]
    page = report(simulate_all(tasks, arguments.jobs), arguments.cohorts)
    out = arguments.out or (None if arguments.only else OUT)
    if out is None:
        print(page)
        return 0
    try:
        write_text(out, page)
    except VmsegError as error:
        print(f"benchmarks.coverage: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
