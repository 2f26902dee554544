"""docs/followup.md: follow-up of three times whose changes are known.

    python -m benchmarks.followup_times --data DATA

The pairs of benchmarks.followup (synthetic) extended by one time: from the first scan of each patient of vmsemi53 two
later ones are made, each with a change of its own. The tool's trajectory by the true masks is set beside the one that
the known motion gives.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.ablation_report import put_between
from benchmarks.compare import ROOT
from benchmarks.followup import READER_ERROR, read_volume
from benchmarks.followup_pairs import make_pair
from benchmarks.followup_report import BEGIN, END
from benchmarks.report import table
from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset import Case
from vmseg_auto.followup.compare import Visit, compare, lesions_of, matched
from vmseg_auto.followup.records import FollowUp
from vmseg_auto.followup.response import response_to
from vmseg_auto.followup.trajectory import TimePoint, trajectory

COHORT, LABELS = "vmsemi53", {"lesion": 1}
COURSES = ((-30, -60), (-60, -15), (0, 20))
"""True changes of the lesions' volume from the baseline to each later time, in per cent."""
INTRODUCTION = f"""
## Three times, with the true masks
The same pairs extended by one time: the first scan of each patient, and two later ones made from it. A measurement
error of {READER_ERROR:g} % is given for each volume. Target lesions (10 mm or more) are chosen at baseline; `sum off`
is how far their sum of diameters lies at most from the one that the known motion gives, and RECIST 1.1's class is right
where it is the same. Counts are of the first and of the second later time.
`python -m benchmarks.followup_times --data $DATA`

"""


@dataclass(frozen=True)
class Later:
    """A later time: the tool's comparison with the baseline, and the same by the known motion; the true change."""

    told: FollowUp
    known: FollowUp
    percent: int


@dataclass(frozen=True)
class Row:
    """A patient in one course: at each later time whether class and RECIST are right, and how far the sum is off."""

    course: tuple[int, ...]
    classes: tuple[bool, ...]
    recist: tuple[bool, ...]
    off_mm: tuple[float, ...]


def later_times(case: Case, percents: Sequence[int], picture: Path) -> dict[int, Later]:
    """Compare a case with a later scan for each change; those that can't be made are left out."""
    image, mask, geometry = read_case(case)
    assert mask is not None
    before = Visit(case.id, image[0], mask, geometry, {"lesion": read_volume(mask, geometry)})
    found = {}
    for percent in percents:
        pair = make_pair(image[0], mask, geometry, percent, np.random.default_rng([*case.id.encode(), percent + 100]))
        if pair is None:
            continue
        volumes = {"lesion": read_volume(pair.mask, pair.geometry)}
        after = Visit(case.id, pair.image, pair.mask, pair.geometry, volumes)
        told = compare(case.id, before, after, LABELS, picture)
        _, lesions = matched(lesions_of(before, after, LABELS), pair.transform)
        alignment = replace(told.alignment, transform=pair.transform, problems=())
        found[percent] = Later(told, replace(told, lesions=lesions, alignment=alignment), percent)
    return found


def row_of(course: tuple[int, ...], later: Mapping[int, Later]) -> Row | None:
    """Follow one course; None where a time could not be made, or no lesion is a target."""
    if not all(percent in later for percent in course):
        return None
    times = [later[percent] for percent in course]
    told, known = (
        _points([one.told for one in times]),
        _points([one.known for one in times]),
    )
    if not known[0].targets:
        return None
    off = tuple(_off(one, other) for one, other in zip(told[1:], known[1:], strict=True))
    classes = tuple(
        point.change is not None and point.change.response == response_to(percent)
        for point, percent in zip(told[1:], course, strict=True)
    )
    return Row(course, classes, tuple(a.recist == b.recist for a, b in zip(told[1:], known[1:], strict=True)), off)


def _points(pairs: Sequence[FollowUp]) -> tuple[TimePoint, ...]:
    return trajectory(list(enumerate(pairs, 1))).labels["lesion"]


def _off(told: TimePoint, known: TimePoint) -> float:
    """Return how far a sum of diameters is off, in mm; infinite where only one of them is known."""
    if told.sum_mm is None or known.sum_mm is None:
        return 0.0 if told.sum_mm is known.sum_mm else float("inf")
    return abs(told.sum_mm - known.sum_mm)


def rows_of(data: Path) -> Iterator[Row]:
    """Yield a row for each patient's first case and course."""
    cases = read_dataset(data / COHORT).cases
    percents = sorted({percent for course in COURSES for percent in course})
    with tempfile.TemporaryDirectory() as folder:
        for case in {case.patient: case for case in reversed(cases)}.values():
            later = later_times(case, percents, Path(folder) / "picture.png")
            for row in filter(None, (row_of(course, later) for course in COURSES)):
                print(case.id, row, flush=True)
                yield row


def section(rows: Sequence[Row]) -> str:
    """Put the rows into a table, one for each course."""
    cells = []
    for course in COURSES:
        own = [row for row in rows if row.course == course]
        name = ", then ".join(f"{percent:+d} %" for percent in course)
        counts = [
            f"{sum(values[0] for values in found)}, {sum(values[1] for values in found)}"
            for found in ([row.classes for row in own], [row.recist for row in own])
        ]
        off = max((one for row in own for one in row.off_mm), default=float("nan"))
        cells.append([name, str(len(own)), counts[0], counts[1], f"{off:.2f} mm"])
    head = ["true change from the baseline", "patients", "class right", "RECIST right", "sum off"]
    return INTRODUCTION + table(head, cells) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.followup_times", description=__doc__.partition("\n")[0])
    made.add_argument("--data", type=Path, required=True, help="the test data")
    made.add_argument("--out", type=Path, default=ROOT / "docs" / "followup.md", help="the page")
    arguments = made.parse_args(argv)
    os.nice(5)
    put_between(arguments.out, BEGIN, section(list(rows_of(arguments.data))), END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
