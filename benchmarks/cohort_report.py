"""The part of docs/results.md about both tools on whole cohorts, written from the committed file alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.ablation_report import distinct, interval, listed, put_between
from benchmarks.ablation_results import InputSource
from benchmarks.cohort_results import Budget, Finished, load
from benchmarks.cohort_scores import TOLERANCE_MM, Score
from benchmarks.cohort_splits import EXPERIMENTS, Experiment
from benchmarks.report import table
from benchmarks.tools import SetupError
from benchmarks.workloads import NNUNET
from vmseg_auto.utils.statistics import INTERVAL, Summary, summarise

BEGIN = "<!-- Written by `python -m benchmarks.cohorts` down to the next mark; don't edit it. -->"
END = "<!-- End of what `python -m benchmarks.cohorts` writes. -->"

INTRODUCTION = f"""\
## Whole cohorts, beside {NNUNET} 2.8.1
By `python -m benchmarks.cohorts`; the scores of every case are in benchmarks/cohorts.json. Lesions of vmsemi53 are
synthetic, and those of lgg53 are brain tumours in FLAIR: no figure here is one of venous malformations. lgg53 has no
known voxel size.

Within a table both tools learn from the same patients under the same plan, and one network of each, without test-time
augmentation, segments the same other patients. At equal steps both compute in float32 on as many threads; at equal
time each computes as it does on a CPU unless told otherwise. The learning rate falls over the steps or the time in
both. Scores are counted from the masks by neither tool's code (benchmarks/cohort_scores.py): Dice is the mean over
cases and labels. Lesion sensitivity is the share of a case's lesions that a predicted voxel lies in, lesion precision
the share of its predicted lesions that hold a voxel of a true one: means over the cases that have any, and in brackets
the lesions of all cases together. NSD is at {TOLERANCE_MM:g} mm, between border voxels.

The difference is paired, row minus {NNUNET}, case by case; seeds are averaged before. Interval: {INTERVAL}.
"Made" refers to the list below.
"""


def write_report(results: Path, out: Path) -> None:
    """Put the tables between the two marks in `out`.

    Raises:
        SetupError: the marks are missing, or the file names an experiment that there is not.
        InputError: the file is damaged.
    """
    put_between(out, BEGIN, section(load(results).finished), END)


def section(found: Sequence[Finished]) -> str:
    """Everything between the marks."""
    known = [experiment.name for experiment in EXPERIMENTS]
    if unknown := {one.cell.experiment for one in found} - set(known):
        raise SetupError(f"the results name {min(unknown)!r}, and there are {', '.join(known)}")
    if not found:
        return INTRODUCTION + "\nNothing is measured yet.\n"
    made = distinct(one.made for one in found)
    parts = [INTRODUCTION]
    for experiment in EXPERIMENTS:
        of = [one for one in found if one.cell.experiment == experiment.name]
        for memory, budget in sorted({(one.cell.memory_gb, one.cell.budget) for one in of}, key=_order):
            same = [one for one in of if (one.cell.memory_gb, one.cell.budget) == (memory, budget)]
            parts.append(f"\n### {experiment.title}: {budget.text()} a fold, plan for {memory:g} GB\n")
            parts.append(_about(experiment, same))
            parts.append(_table(experiment, same, made))
    places = "".join(f"{number}. {origin.text()}\n" for number, origin in enumerate(made, 1))
    return "".join([*parts, "\n### Where the cohorts were trained\n", places])


def case_values(results: Iterable[Finished], value: Callable[[Score], float]) -> dict[str, float]:
    """Test case -> mean over the seeds of its mean over the labels that have the value; NaN where none has."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for result in results:
        for case in result.patients:
            known = [one for scores in result.scores.values() if not math.isnan(one := value(scores[case]))]
            found[case] += [sum(known) / len(known)] if known else []
    return {case: float(np.mean(values)) if values else math.nan for case, values in sorted(found.items())}


def paired(ours: Sequence[Finished], base: Sequence[Finished]) -> tuple[Summary, int]:
    """Differences of Dice, ours - base, over the seeds and folds that both have, with the interval over patients; and
    in how many patients ours is higher.
    """
    places = {_place(one) for one in ours} & {_place(one) for one in base}
    mine, theirs = (case_values([r for r in side if _place(r) in places], _dice) for side in (ours, base))
    patients = _patients(base)
    if mine.keys() != theirs.keys():
        raise SetupError(f"{ours[0].cell.text()} and {base[0].cell.row} were tested on different cases")
    if not mine:
        return summarise(np.array([]), []), 0
    differences = {case: mine[case] - theirs[case] for case in mine}
    by_patient: defaultdict[str, list[float]] = defaultdict(list)
    for case, difference in differences.items():
        by_patient[patients[case]].append(difference)
    better = sum(sum(values) > 0 for values in by_patient.values())
    return summarise(np.array(list(differences.values())), [patients[case] for case in differences]), better


def _about(experiment: Experiment, results: Sequence[Finished]) -> str:
    """What the table is of."""
    patients = _patients(results)
    reserved = "No choice has seen these patients. " if experiment.reserved else ""
    seeds = listed(sorted({one.cell.seed for one in results}))
    return f"{reserved}Tested on {len(patients)} cases of {len(set(patients.values()))} patients, seeds {seeds}.\n\n"


def _table(experiment: Experiment, results: Sequence[Finished], made: Sequence[InputSource]) -> str:
    rows: defaultdict[str, list[Finished]] = defaultdict(list)
    for one in sorted(results, key=lambda one: (one.cell.row != NNUNET, one.cell)):
        rows[one.cell.row].append(one)
    head = [
        "row",
        "trainer and settings",
        "cases",
        "Dice (95 %, patients)",
        f"minus {NNUNET}",
        "95 %, patients",
        "better in",
    ]
    head += ["lesion sensitivity", "lesion precision"] * experiment.lesions + ["NSD"] * experiment.millimetres
    head += ["steps", "min a fold", "made"]
    lines = []
    for name, of in rows.items():
        line = [f"`{name}`", ", ".join(f"`{setting}`" for setting in of[0].settings) or "-", str(len(_patients(of)))]
        line += [_mean_dice(of), *_difference(of, rows.get(NNUNET, []))]
        line += [_share(of, *kind) for kind in _LESIONS] if experiment.lesions else []
        line += [_mean(case_values(of, _nsd).values())] if experiment.millimetres else []
        line += [_range([one.steps for one in of], ""), _range([one.seconds / 60 for one in of], ".1f")]
        lines.append([*line, listed(sorted({made.index(one.made) + 1 for one in of}))])
    return table(head, lines)


_LESIONS: tuple[tuple[Callable[[Score], float], str, str], ...] = (
    (lambda score: score.sensitivity, "found", "lesions"),
    (lambda score: score.precision, "right", "predicted"),
)
"""A share, and the counts that it is of."""


def _share(results: Sequence[Finished], share: Callable[[Score], float], part: str, whole: str) -> str:
    """Such as "0.747 (81 of 106)"."""
    scores = [score for one in results for cases in one.scores.values() for score in cases.values()]
    some, all_ = (sum(getattr(score, name) for score in scores) for name in (part, whole))
    return f"{_mean(case_values(results, share).values())} ({some} of {all_})"


def _mean_dice(results: Sequence[Finished]) -> str:
    values, patients = case_values(results, _dice), _patients(results)
    summary = summarise(np.array(list(values.values())), [patients[case] for case in values], (0.0, 1.0))
    return f"{summary.mean:.3f} {interval(summary)}"


def _difference(results: Sequence[Finished], base: Sequence[Finished]) -> tuple[str, str, str]:
    if not base or results[0].cell.row == NNUNET:
        return "-", "-", "-"
    summary, better = paired(results, base)
    if not summary.n:
        return "-", "-", "-"
    return f"{summary.mean:+.3f}", interval(summary, "+"), f"{better} of {summary.patients} patients"


def _patients(results: Iterable[Finished]) -> dict[str, str]:
    return {case: patient for one in results for case, patient in one.patients.items()}


def _mean(values: Iterable[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return f"{sum(known) / len(known):.3f}" if known else "-"


def _range(values: Sequence[float], form: str) -> str:
    """One number, or the least and the most."""
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low} to {high}"


def _place(one: Finished) -> tuple[int, int]:
    return one.cell.seed, one.cell.fold


def _order(kind: tuple[float, Budget]) -> tuple[float, bool, Budget]:
    """Equal steps before equal time."""
    memory, budget = kind
    return memory, budget.minutes > 0, budget


def _dice(score: Score) -> float:
    return score.dice


def _nsd(score: Score) -> float:
    return math.nan if score.nsd is None else score.nsd
