"""The ablation's part of docs/results.md, written from the results that there are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ablation_results import FoldResult, InputSource, Protocol, Scores, load_all
from benchmarks.report import table
from benchmarks.tools import SetupError
from vmseg_auto.utils.atomic import write_text
from vmseg_auto.utils.statistics import INTERVAL, Summary, summarise

BASELINE = "nnunet"
BEGIN = "<!-- Written by `python -m benchmarks.ablation` down to the next mark; don't edit it. -->"
END = "<!-- End of what `python -m benchmarks.ablation` writes. -->"

INTRODUCTION = f"""\
## Ablation: what each ingredient does
vmsemi53 by `python -m benchmarks.ablation`. Its lesions are synthetic: no figure here is a clinical Dice.

Within a table all rows are trained for the same steps, on the same split, and scored on the same validation cases. Dice
is the mean over these cases, seeds averaged before. The difference is paired: row minus `{BASELINE}`, case by case.
Interval: {INTERVAL}.
One more is given over cases, as if each were a patient. Cases of one person resemble each other, so the interval over
patients is the one to go by; with many rows, some miss zero by chance alone.
Training Dice and gap (training minus validation Dice) are the monitor's at the end of training, on a few whole cases
of each side; mean over folds and seeds. Seconds are those of all epochs of a fold. "Made" refers to the list below.
"""


@dataclass(frozen=True)
class Table:
    """Rows compared on the same folds and seeds; a row without all of these is left out, and named.

    Args:
        rows: their names; every row unless given.
        note: what to bear in mind.
    """

    title: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    rows: tuple[str, ...] | None = None
    note: str = ""


PAIR = (BASELINE, "default")
TABLES = (
    Table("Screening", (0, 1), (0,)),
    Table(
        "Final",
        (0, 1, 2, 3, 4),
        (0, 1),
        PAIR,
        "What `default` has on top of it was chosen by the screening on folds 0 and 1, which flatters it here.",
    ),
    Table("Final, the folds that had no part in the choice", (2, 3, 4), (0, 1), PAIR),
)
ONE_FOLD = Table(
    "One fold alone", (0,), (0,), note="Its cases are of few patients: the gaps say more here than the differences."
)
"""Of protocols that no other table is about."""


def write_report(work: Path, out: Path, order: Sequence[str]) -> None:
    """Put the tables between the two marks in `out`.

    Args:
        work: folder of the results.
        out: a Markdown file that holds the marks.
        order: of the rows; others come last.

    Raises:
        SetupError: the marks are missing, or rows to compare were scored on different cases.
    """
    put_between(out, BEGIN, section(load_all(work), order), END)


def put_between(out: Path, begin: str, text: str, end: str) -> None:
    """Put a text between two lines of a Markdown file.

    Raises:
        SetupError: it lacks them.
    """
    before, found, rest = (out.read_text(encoding="utf-8") if out.is_file() else "").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SetupError(f"{out} lacks the two lines between which the tables belong:\n{begin}\n{end}")
    write_text(out, f"{before}{begin}\n{text}{end}{after}")


def section(found: Sequence[FoldResult], order: Sequence[str]) -> str:
    """Everything between the marks."""
    done = [result for result in found if result.scores is not None]
    if not done:
        return INTRODUCTION + "\nNothing is trained yet.\n"
    made = distinct(origin for result in done for origin in result.made)
    parts = [INTRODUCTION]
    for protocol in sorted({result.protocol for result in done}):
        rows = rows_of(done, protocol, order)
        tables = [text for wanted in TABLES if (text := _comparison(wanted, protocol, rows, made))]
        parts += tables or [_comparison(ONE_FOLD, protocol, rows, made) or _alone(protocol, rows, made)]
    if begun := [f"{r.cell.text()} ({steps_text(r.protocol)})" for r in found if r.scores is None]:
        parts.append(f"\nBegun and not finished: {'; '.join(begun)}.\n")
    places = "".join(f"{number}. {origin.text()}\n" for number, origin in enumerate(made, 1))
    return "".join([*parts, "\n### Where it was made\n", places])


def distinct(origins: Iterable[InputSource]) -> list[InputSource]:
    """Each once, in their order."""
    made: list[InputSource] = []
    for origin in origins:
        if origin not in made:
            made.append(origin)
    return made


def case_scores(results: Iterable[FoldResult]) -> dict[str, float]:
    """Validation case -> its Dice, mean over the seeds; sorted by case."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for result in results:
        for case, dice in _scores(result).dice.items():
            values[case].append(dice)
    return {case: sum(values[case]) / len(values[case]) for case in sorted(values)}


def paired(ours: Sequence[FoldResult], base: Sequence[FoldResult]) -> tuple[Summary, Summary]:
    """The differences ours - base, case by case, summed up with intervals over patients, and over cases.

    Raises:
        SetupError: they were not scored on the same cases.
    """
    mine, theirs, patients = case_scores(ours), case_scores(base), _patients(base)
    if mine.keys() != theirs.keys():
        raise SetupError(
            f"{ours[0].cell.row} and {base[0].cell.row} hold out different cases: their splits or cohorts differ"
        )
    differences = np.array([mine[case] - theirs[case] for case in mine])
    return summarise(differences, [patients[case] for case in mine]), summarise(differences, list(mine))


def _comparison(
    wanted: Table, protocol: Protocol, rows: Mapping[str, list[FoldResult]], made: Sequence[InputSource]
) -> str:
    """One table in Markdown; empty where it has nothing to compare yet."""
    cells = {(seed, fold) for seed in wanted.seeds for fold in wanted.folds}
    chosen = {
        name: [result for result in results if (result.cell.seed, result.cell.fold) in cells]
        for name, results in rows.items()
        if wanted.rows is None or name in wanted.rows
    }
    whole = {name: results for name, results in chosen.items() if len(results) == len(cells)}
    if BASELINE not in whole or len(whole) < 2:
        return ""
    base = whole[BASELINE]
    lines = []
    for name, results in whole.items():
        difference: tuple[str, ...] = ("-", "-", "-")
        if name != BASELINE:
            by_patient, by_case = paired(results, base)
            difference = (f"{by_patient.mean:+.3f}", *(interval(by, "+") for by in (by_patient, by_case)))
        lines.append((f"`{name}`", _settings(results[0]), mean_dice(results), *difference, *_monitored(results, made)))
    lacking = sorted(set(chosen) - set(whole))
    head = (
        "row",
        "trainer and settings",
        "Dice (95 %, patients)",
        "difference",
        "95 %, patients",
        "95 %, cases",
        *MONITORED,
    )
    heading = f"\n### {wanted.title}: {steps_text(protocol)}\n"
    about = f"Folds {listed(wanted.folds)}, seeds {listed(wanted.seeds)}: {cohort_text(base)}. {wanted.note}".rstrip()
    rest = f"\nNot yet trained on all of these folds: {', '.join(lacking)}.\n" if lacking else ""
    return f"{heading}{about}\n\n{table(head, lines)}{rest}"


def _alone(protocol: Protocol, rows: Mapping[str, list[FoldResult]], made: Sequence[InputSource]) -> str:
    """Rows of a protocol that fills no table: there is nothing to compare them with."""
    lines = []
    for name, results in rows.items():
        which = "; ".join(f"fold {r.cell.fold}, seed {r.cell.seed}" for r in results)
        what = (f"`{name}`", _settings(results[0]), which, str(len(case_scores(results))), mean_dice(results))
        lines.append((*what, *_monitored(results, made)))
    head = ("row", "trainer and settings", "of", "cases", "Dice (95 %, patients)", *MONITORED)
    return f"\n### By itself: {steps_text(protocol)}\n\n{table(head, lines)}"


MONITORED = ("training Dice", "gap", "s a fold", "made")


def _monitored(results: Sequence[FoldResult], made: Sequence[InputSource]) -> tuple[str, ...]:
    """Cells under MONITORED."""
    scores = [_scores(result) for result in results]
    where = sorted({made.index(origin) + 1 for result in results for origin in result.made})
    return (
        _mean([score.train_dice for score in scores], ".3f"),
        _mean([score.gap for score in scores], "+.3f"),
        _mean([score.seconds for score in scores], ".0f"),
        listed(where),
    )


def rows_of(done: Iterable[FoldResult], protocol: Protocol, order: Sequence[str]) -> dict[str, list[FoldResult]]:
    """Row -> its results, the rows in their order."""
    rows: defaultdict[str, list[FoldResult]] = defaultdict(list)
    for result in done:
        if result.protocol == protocol:
            rows[result.cell.row].append(result)
    places = {name: number for number, name in enumerate(order)}
    return {name: rows[name] for name in sorted(rows, key=lambda name: (places.get(name, len(places)), name))}


def _scores(result: FoldResult) -> Scores:
    if result.scores is None:
        raise ValueError(f"{result.cell.text()} is not finished")
    return result.scores


def _patients(results: Iterable[FoldResult]) -> dict[str, str]:
    return {case: patient for result in results for case, patient in _scores(result).patients.items()}


def mean_dice(results: Sequence[FoldResult]) -> str:
    scores, patients = case_scores(results), _patients(results)
    summary = summarise(np.array(list(scores.values())), [patients[case] for case in scores], (0.0, 1.0))
    return f"{summary.mean:.3f} {interval(summary)}"


def interval(summary: Summary, sign: str = "") -> str:
    """Such as "(0.302 to 0.420)"; the introduction says where there is none."""
    if math.isnan(summary.low_95):
        return "(none)"
    return f"({summary.low_95:{sign}.3f} to {summary.high_95:{sign}.3f})"


def _mean(values: Sequence[float | None], form: str) -> str:
    """ "-" unless every training has the value: a mean over some would not be the row's."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):{form}}" if known and len(known) == len(values) else "-"


def _settings(result: FoldResult) -> str:
    planner = [] if result.planner == "default" else [f"planner `{result.planner}`"]
    return ", ".join([f"`{result.trainer}`", *planner, *(f"`{setting}`" for setting in result.settings)])


def steps_text(protocol: Protocol) -> str:
    return (
        f"{protocol.epochs * protocol.steps} steps a fold ({protocol.epochs} epochs of {protocol.steps}), "
        f"plan for {protocol.memory_gb:g} GB"
    )


def cohort_text(results: Iterable[FoldResult]) -> str:
    patients = _patients(results)
    return f"{len(patients)} validation cases of {len(set(patients.values()))} patients"


def listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
