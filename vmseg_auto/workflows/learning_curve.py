"""Train on growing groups of patients, and tell how many a given Dice would take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import beside_folds, fold_cases
from vmseg_auto.data.runs import FoldFolder, FoldName, chosen_folds
from vmseg_auto.data.workspace import CurveFolder
from vmseg_auto.evaluation.learning_curve import Curves, fit_curves, why_no_interval
from vmseg_auto.evaluation.learning_curve_record import LearningCurve, nested_subsets
from vmseg_auto.figures.plots import write_charts
from vmseg_auto.figures.training_charts import learning_curve_chart
from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.statistics import FEWEST_PATIENTS
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.fresh_start import begin_folds, confirm_fresh, end_fresh
from vmseg_auto.workflows.job import Job, open_job, settle
from vmseg_auto.workflows.locking import take_folds, workspace_lock
from vmseg_auto.workflows.paths import PathLike, places, record_now
from vmseg_auto.workflows.run_tables import read_scores
from vmseg_auto.workflows.train import epochs_in_time, train_one
from vmseg_auto.workflows.training_disk import require_training_space

COLUMNS = ("patients", "fold", "case", "patient", "dice")


@dataclass(frozen=True)
class _Training:
    """One of the curve's trainings."""

    patients: int
    fold: FoldName
    record: FoldRecord
    folder: FoldFolder


@telling_left_out
def learning_curve(
    patients: Sequence[int],
    *,
    target: float | None = None,
    folds: Sequence[FoldName] = (0,),
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    planner: str | None = None,
    trainer: str | None = None,
    settings: Sequence[str] = (),
    hours: float | None = None,
    device: str = "auto",
    jobs: int | None = None,
    fresh: bool = False,
    confirm: Callable[[str], bool] = lambda question: True,
    left: Inventory | None = None,
    console: Console | None = None,
) -> LearningCurve:
    """Train on groups of patients that grow, score each on the same validation patients, and fit a saturating curve.

    The plan stays that of the whole cohort, and every training takes the same number of steps. Finished trainings are
    kept, an interrupted one goes on. Results are WORKSPACE/learning_curve/PLANNER/TRAINER/learning_curve.json, .csv
    and .png.

    Args:
        patients: how many to train on, at least three numbers.
        target: the Dice asked for.
        folds: numbered folds whose validation patients are scored; the groups are drawn from their other patients.
        hours: for each training at most; all take the same number of epochs.
        fresh: train anew what was trained for this curve before.
        dataset, workspace, planner, trainer, settings, device, jobs, confirm, left, console: as for `train`.

    Raises:
        InputError: fewer than three sizes, more patients than a fold trains on, fewer than two to validate, an
            impossible target; otherwise as `train`.
        VmsegError: a training failed.
    """
    console = console or Silent()
    sizes, folds = sorted(set(patients)), chosen_folds(folds)
    _check(sizes, target, folds)
    _, space = places(dataset, workspace)
    space.require_planned()
    command = " ".join(["vmseg_learning_curve --patients", *map(str, sizes)])
    anew = f"{command} --folds {' '.join(map(str, folds))} --hours {hours}" * fresh
    left = left or Inventory()
    with ExitStack() as held:
        with workspace_lock(space, command, console):
            job = open_job(dataset, workspace, planner, trainer, settings, hours, device, jobs, left, console)
            left.add_all(beside_folds(job.splits, job.fingerprint.cases, folds))
            settle(left, console)
            place = job.space.learning_curve(job.plan.planner, job.trainer.name)
            trainings = [t for fold in folds for t in _trainings(job, place, sizes, fold)]
            tested = _tested(job, trainings)
            take_folds(held, [training.folder for training in trainings], command, console)
        job.introduce()
        console.say(_plan_in_words(job, sizes, trainings, tested))
        if hours is not None:
            largest = max(trainings, key=lambda training: training.patients)
            folders = [training.folder for training in trainings]
            epochs = epochs_in_time(job, folders, largest.fold, largest.record, hours, anew)
            trainings = [_with_epochs(training, epochs) for training in trainings]
        begun = {training.folder: training.record for training in trainings}
        require_training_space(job, list(begun.items()))
        confirm_fresh(begun, anew, confirm)
        with workspace_lock(space, command, console):
            for training in trainings:
                begin_folds(_job_of(training, job, place), {training.fold: training.record}, anew)
        failed: list[VmsegError] = []
        for training in sorted(trainings, key=lambda training: training.patients):
            console.say(f"{training.patients} patients, {len(training.record.train)} cases:")
            failed += train_one(_job_of(training, job, place), training.fold, training.record)
        if failed:
            raise SomeCasesFailedError("the curve can't be drawn: validation cases could not be scored", failed)
        with workspace_lock(space, command, console, patience_s=math.inf):
            curve = _conclude(job, place, sizes, trainings, target)
            end_fresh(begun)
    return curve


def _job_of(training: _Training, job: Job, place: CurveFolder) -> Job:
    return replace(job, run=place.size(training.patients))


def _check(sizes: Sequence[int], target: float | None, folds: Sequence[FoldName]) -> None:
    if len(sizes) < 3 or sizes[0] < 1:
        raise InputError(
            f"the numbers of patients are {', '.join(map(str, sizes)) or 'missing'}",
            remedy="A curve takes at least three different ones above 0, such as --patients 10 20 40.",
        )
    if target is not None and not 0 < target < 1:
        raise InputError(f"the Dice asked for is {target:g}", remedy="Give a --target between 0 and 1, such as 0.8.")
    if "all" in folds:
        raise InputError("fold all holds no patient out", remedy="Name numbered folds, such as --folds 0 1.")


def _trainings(job: Job, place: CurveFolder, sizes: Sequence[int], fold: FoldName) -> list[_Training]:
    """Return the trainings of one fold.

    Raises:
        InputError: there is no such fold, or it has fewer patients to train on.
    """
    sides = fold_cases(job.splits, fold, sorted(job.fingerprint.cases))
    owners = {case: job.dataset.patients[case] for case in sides.train}
    if sizes[-1] > (most := len(set(owners.values()))):
        raise InputError(
            f"{sizes[-1]} patients are asked for, but fold {fold} leaves {most} to train on",
            remedy=f"Give numbers up to {most}; the others are the validation patients.",
        )
    whole = record_now(job.fingerprint, job.splits, job.plan, job.config, fold)
    return [
        _Training(size, fold, replace(whole, train={c: whole.train[c] for c in cases}), place.size(size).fold(fold))
        for size, cases in nested_subsets(owners, sizes).items()
    ]


def _tested(job: Job, trainings: Sequence[_Training]) -> set[str]:
    """Return the validation patients.

    Raises:
        InputError: fewer than FEWEST_PATIENTS: no interval can be had from so few.
    """
    tested = {job.dataset.patients[case] for training in trainings for case in training.record.val}
    if len(tested) < FEWEST_PATIENTS:
        raise InputError(
            f"{counted(len(tested), 'patient')} for validation, and an interval takes {FEWEST_PATIENTS}",
            remedy=f"Name more folds, such as --folds {_folds_enough(job)}.",
        )
    return tested


def _folds_enough(job: Job) -> str:
    """Return the first folds whose validation cases are of FEWEST_PATIENTS; all folds, where these are of fewer."""
    names: list[str] = []
    patients: set[str] = set()
    for number, fold in enumerate(job.splits.folds):
        if len(patients) >= FEWEST_PATIENTS:
            break
        names.append(str(number))
        patients |= {job.dataset.patients[case] for case in fold.val}
    return " ".join(names)


def _plan_in_words(job: Job, sizes: Sequence[int], trainings: Sequence[_Training], tested: set[str]) -> str:
    folds = sorted({str(training.fold) for training in trainings})
    which = f"those of fold {folds[0]} alone, to save time" if len(folds) == 1 else f"those of folds {', '.join(folds)}"
    why = why_no_interval(len(tested), len(folds), len(sizes))
    unsure = f" The curve will have no interval: {why}." if why else ""
    return (
        f"{len(trainings)} trainings, on {', '.join(map(str, sizes))} of the cohort's "
        f"{len(set(job.dataset.patients.values()))} patients. {len(tested)} patients validate, {which}.{unsure}"
    )


def _with_epochs(training: _Training, epochs: int) -> _Training:
    record = training.record
    return replace(training, record=replace(record, config=replace(record.config, epochs=epochs)))


def _conclude(
    job: Job, place: CurveFolder, sizes: Sequence[int], trainings: Sequence[_Training], target: float | None
) -> LearningCurve:
    rows = [row for training in trainings for row in _scores(training)]
    folds = tuple(sorted({int(row["fold"]) for row in rows}))
    matrices = [_matrix([row for row in rows if row["fold"] == fold], sizes) for fold in folds]
    curves = fit_curves(sizes, matrices)
    b, c = curves.shape()
    cohort = len(set(job.dataset.patients.values()))
    curve = LearningCurve(
        model=job.run.name,
        folds=folds,
        cohort=cohort,
        tested=sum(len(matrix) for matrix in matrices),
        measured=curves.measured,
        plateau=curves.plateau(),
        b=b,
        c=c,
        forecasts=tuple(curves.forecast(n) for n in (cohort, 2 * cohort)),
        without_interval=curves.reason,
        wanted=curves.wanted(target, cohort) if target is not None else None,
    )
    write_csv(place.table, COLUMNS, rows)
    write_sealed(place.summary, curve.to_json())
    _draw(curve, curves, place)
    job.console.say(f"\nLearning curve of {curve.model}\n{curve.text()}")
    job.console.say(f"Picture, table and numbers: {place.picture}, .csv and .json.")
    return curve


def _scores(training: _Training) -> list[dict[str, Any]]:
    """Return a row for each validation case, with the mean Dice over the labels."""
    dice: dict[tuple[str, str], list[float]] = {}
    table = training.folder.validation / "metrics.csv"
    for row in read_scores(table, remedy="Delete it: the same command makes it again."):
        dice.setdefault((row.case, row.patient), []).append(row.values["dice"])
    about = {"patients": training.patients, "fold": training.fold}
    return [
        {**about, "case": case, "patient": patient, "dice": float(np.mean(values))}
        for (case, patient), values in dice.items()
    ]


def _matrix(rows: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean Dice over the cases of each validation patient [patients, sizes]."""
    names = sorted({row["patient"] for row in rows})
    return np.array(
        [
            [np.mean([r["dice"] for r in rows if r["patient"] == name and r["patients"] == size]) for size in sizes]
            for name in names
        ]
    )


def _draw(curve: LearningCurve, curves: Curves, place: CurveFolder) -> None:
    furthest = max(2 * curve.cohort, curve.wanted.patients or 0 if curve.wanted else 0)
    patients = np.unique(np.append(np.linspace(curves.smallest, furthest, 200), curves.sizes))
    write_charts([learning_curve_chart(curve, patients, curves.band(patients))], place.picture)
