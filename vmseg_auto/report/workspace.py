"""Everything that the report of a workspace tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from vmseg_auto.data.dataset import Dataset, Splits
from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.fold_record import settings_of
from vmseg_auto.models.selection_record import Selection
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.report.cases import Album, Gallery, Suspects
from vmseg_auto.report.claim import Study, claim
from vmseg_auto.report.cohort import cohort, planned
from vmseg_auto.report.manifest import manifest
from vmseg_auto.report.render import Fact, Table
from vmseg_auto.report.scores import Scores, scores
from vmseg_auto.report.training import Training, starts, training
from vmseg_auto.report.words import between_or_why, shown
from vmseg_auto.selection.choose import RULE
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.statistics import without_interval
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.paths import read_plan, stale_folds
from vmseg_auto.workflows.run_tables import CaseScore, read_cross_validation, unlike_folds
from vmseg_auto.workflows.staleness import read_standing


@dataclass(frozen=True)
class WorkspaceStudy:
    """What stands in a workspace.

    Args:
        runs: what predicts; all that were begun where nothing was chosen yet.
        rows: scores of each of them; none before its cross-validation.
        unlike: of each whose cross-validation is not of its folds as they are, the cases with other scores.
    """

    space: Workspace
    dataset: Dataset
    fingerprint: Fingerprint
    splits: Splits
    plan: Plan
    selection: Selection | None
    runs: tuple[Run, ...]
    rows: Mapping[str, tuple[CaseScore, ...]]
    unlike: Mapping[str, tuple[str, ...]]

    @property
    def patients(self) -> dict[str, str]:
        """Case id -> patient, of every case that the report may name."""
        scored = {row.case: row.patient for rows in self.rows.values() for row in rows}
        return {case: case for case in self.fingerprint.cases} | scored | self.dataset.patients


@dataclass(frozen=True)
class RunReport:
    """One run; what it lacks yet is None or empty.

    Args:
        stale: folds that were trained before cohort, plan or split changed.
        withheld: why its cross-validation is not shown, in a sentence; empty where it is, or where there is none.
        starts: what its trainings started from, in sentences.
    """

    name: str
    training: Training | None
    scores: Scores | None
    galleries: tuple[Gallery, ...]
    suspects: Suspects | None
    stale: tuple[str, ...]
    withheld: str
    starts: tuple[str, ...]

    @property
    def headline(self) -> tuple[Fact, ...]:
        """The figures that count most."""
        scored = self.scores.headline if self.scores else ()
        if self.training is None or not self.training.gaps:
            return scored
        over = counted(len(self.training.gaps), "fold")
        note = f"how much higher Dice was on training cases, at the end; mean over {over}; no interval: few cases each"
        return (*scored, Fact("Gap", shown(fmean(self.training.gaps), sign=True), note))


def read_study(folder: Path, space: Workspace, left: Inventory) -> WorkspaceStudy:
    """Read a workspace; `folder` is the dataset's, and what of it is not used is noted in `left`.

    Raises:
        InputError: nothing is planned yet, the dataset has changed since, or a file is missing or damaged.
        DatasetError: the dataset can't be read.
    """
    standing = read_standing(folder, space, left)
    selection = None
    runs = space.runs()
    if space.selection.is_file():
        selection = read_stored(Selection, space.selection)
        for run in runs:
            if run.name not in selection.runs:
                left.add("run", run.name, "not chosen by vmseg_select, and not in the report", meant=True)
        runs = [run for run in runs if run.name in selection.runs]
    planner = runs[0].folder.parent.name if runs else (space.plans() or ["default"])[0]
    unlike = {run.name: tuple(cases) for run in runs if (cases := unlike_folds(run))}
    shown = [run for run in runs if run.name not in unlike]
    rows = {run.name: tuple(found[0]) for run in shown if (found := read_cross_validation(run))}
    plan = read_plan(space, planner)
    planned = (standing.dataset, standing.fingerprint, standing.splits)
    return WorkspaceStudy(space, *planned, plan, selection, tuple(runs), rows, unlike)


def gather_workspace(study: WorkspaceStudy, names: Names, identity: bool) -> dict[str, Any]:
    """Gather the values of the template `workspace`."""
    patients = {case: study.patients[case] for case in study.fingerprint.cases}
    rows = next(iter(study.rows.values()), ())
    runs = [_run(run, study, names, identity) for run in study.runs]
    selection = None if study.unlike else study.selection
    written = Study(
        fingerprint=study.fingerprint,
        patients=patients,
        splits=study.splits,
        plan=study.plan,
        scores=rows,
        selection=selection,
        tests=len(study.dataset.test_cases),
        learning_curve=any(study.space.root.glob("learning_curve/*/*/learning_curve.json")),
        starts=[words for run in runs for words in run.starts],
    )
    return {
        "title": study.fingerprint.dataset,
        "cohort": cohort(study.fingerprint, patients, names),
        "plan": planned(study.plan, study.splits, study.fingerprint),
        "comparison": _comparison(selection),
        "runs": runs,
        "checklist": claim(written),
        "manifest": manifest(study.fingerprint, study.plan, study.splits, study.runs, names),
    }


def _run(run: Run, study: WorkspaceStudy, names: Names, identity: bool) -> RunReport:
    plan = read_plan(study.space, run.folder.parent.name)
    stale = stale_folds(run, study.fingerprint, study.splits, plan)
    withheld = _withheld(run, study, names)
    scored = None if withheld else scores(run, study.splits, names, study.patients)
    album = Album(run, study.splits, study.dataset, names, whole=identity)
    drawn = album.drawable(scored.dice) if scored else {}
    return RunReport(
        name=run.name,
        training=training(run),
        scores=scored,
        galleries=album.galleries(drawn) if drawn else (),
        suspects=album.suspects() if scored else None,
        stale=tuple(str(fold) for fold in stale),
        withheld=withheld,
        starts=starts(run, study.fingerprint, study.splits, study.dataset),
    )


def _withheld(run: Run, study: WorkspaceStudy, names: Names) -> str:
    """Describe why the cross-validation of a run is not shown; empty where it is."""
    if not (cases := study.unlike.get(run.name, ())):
        return ""
    command = run.train_command(range(len(study.splits.folds)), settings_of(run, 0))
    called = listed([names.cases.get(case, "a case that is gone") for case in cases])
    return (
        "The cross-validation was summed up from other folds than those that are there now: one was trained or scored "
        f"anew since, or is gone. Other scores by now: {called}. "
        f"`{command}` does what is due and sums it up."
    )


def _comparison(selection: Selection | None) -> Table | None:
    """Return a table of all runs and ensembles that were compared; None where there was nothing to compare."""
    if selection is None or len(selection.candidates) < 2:
        return None
    rows = tuple(
        (
            candidate.name,
            f"{candidate.threshold:g}",
            shown(dice.mean, 3),
            between_or_why(dice.low_95, dice.high_95, dice.patients, 3),
            "chosen" if candidate.runs == selection.runs else "",
        )
        for candidate in selection.candidates
        if (dice := candidate.dice)
    )
    caption = " ".join(
        [
            f"Runs and ensembles that were compared by Dice, mean over {counted(selection.patients, 'patient')}:",
            f"{'; '.join(selection.reasons)}.",
            RULE,
            *without_interval(selection.patients),
        ]
    )
    return Table(caption, ("Run", "Threshold", "Dice, mean over patients", "95 % interval", ""), rows)
