"""Choose the run, or the ensemble of runs, that a workspace predicts with, and say what the choice is worth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.confidence import Confidence, VolumeConfidence
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import Candidate, Selection, Worth
from vmseg_auto.selection.candidates import Candidates, score_candidates
from vmseg_auto.selection.choose import (
    CHANGE,
    Choice,
    Runs,
    Setting,
    choose,
    dice_of,
    estimate,
    nested_dice,
    plain,
    settle,
)
from vmseg_auto.selection.comparison import choice_reasons, comparison_text, label_reasons, threshold_reason
from vmseg_auto.selection.component_filter import LearntFilter, filter_reason, learn_filters, lesion_filter
from vmseg_auto.selection.component_tables import save_components
from vmseg_auto.selection.out_of_fold_cases import OutOfFoldCases
from vmseg_auto.selection.validation_volumes import ValidationVolumes
from vmseg_auto.utils.atomic import read_stored, write_sealed
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import foreground_labels
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.postprocessing import PostProcessing
from vmseg_auto.workflows.locking import workspace_lock
from vmseg_auto.workflows.paths import (
    PathLike,
    first_training,
    places,
    read_plan,
    trained_on,
    warn_of_stale,
)
from vmseg_auto.workflows.staleness import Standing, read_standing
from vmseg_auto.workflows.validate import lacking
from vmseg_auto.workflows.validation_cases import validation_cases


@telling_left_out
def select(
    *,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Selection:
    """Compare all wholly cross-validated runs of a workspace, and write the choice into its selection.json.

    Each run's own threshold and post-processing, its lesion filter, and how far volumes are off with them, go into its
    model.json.

    Args:
        dataset, workspace: folders, as on the command line.
        jobs: threads.
        left: what of the dataset, and which runs, are not used is noted here; a strict one ends the work before it
            begins.
        console: where words and progress go.

    Raises:
        InputError: nothing is planned, the dataset has changed since, no run is wholly cross-validated, a file of one
            is missing or damaged, or another command writes to the workspace.
    """
    console = console or Silent()
    folder, space = places(dataset, workspace)
    space.require_planned()
    left = left or Inventory()
    with workspace_lock(space, "vmseg_select", console):
        return choose_run(read_standing(folder, space, left), jobs, left, console)


def choose_run(standing: Standing, jobs: int | None, left: Inventory, console: Console) -> Selection:
    """Select as `select` does, for a caller that holds the `workspace_lock` already."""
    space, data = standing.space, standing.dataset
    runs, left_out = _cross_validated(standing, left)
    left.require_nothing()
    warn_of_stale(runs, space, standing.fingerprint, standing.splits, console)
    threads = jobs or min(4, os.cpu_count() or 1)
    cases = OutOfFoldCases.of(standing.splits, data)
    candidates = score_candidates(runs, cases, data, threads, console)
    settings = {names: settle(scores, candidates.folds) for names, scores in candidates.scores.items()}
    choice = choose(candidates.scores, candidates.folds)
    learnt = {
        names: learn_filters([run for run in runs if run.name in names], settings[names], cases, data, threads, console)
        for names in dict.fromkeys([*((run.name,) for run in runs), choice.runs])
    }
    labels = foreground_labels(data.labels)
    confidence = {run.name: _confidence(run, standing) for run in runs}
    volumes = {
        names: candidates.volumes(
            names, setting, labels, confidence[_best(names, candidates, settings)], learnt.get(names, ())
        )
        for names, setting in settings.items()
    }
    described = {
        names: _candidate(names, candidates, setting, labels, volumes[names].trusted, learnt.get(names))
        for names, setting in settings.items()
    }
    for run in runs:
        _keep_setting(run, described[(run.name,)])
        volumes[(run.name,)].save(run)
        save_components(run, learnt[(run.name,)])
    selection = Selection(
        runs=choice.runs,
        reasons=tuple(choice_reasons(choice, len(runs))),
        candidates=tuple(described.values()),
        worth=_worth(candidates, runs[0].name, choice),
        patients=len(candidates.patients),
        left_out=left_out,
        made_from={name: trained_on(space, name) for name in (run.name for run in runs)},
    )
    write_sealed(space.selection, selection.to_json())
    _tell(selection, volumes[choice.runs], learnt[choice.runs], console)
    console.say(f"The choice: {space.selection}")
    return selection


def _cross_validated(standing: Standing, left: Inventory) -> tuple[list[Run], dict[str, str]]:
    """Return the runs to choose from, what a user gets without choosing first, and why others take no part.

    Raises:
        InputError: there is none.
    """
    space, splits = standing.space, standing.splits
    left_out = {
        run.name: why
        for run in space.runs()
        if (why := lacking(run, space, standing.fingerprint, splits, standing.dataset))
    }
    runs = sorted((run for run in space.runs() if run.name not in left_out), key=lambda run: _rank(run, space))
    if not runs:
        listed = "".join(f"\n  {name}: {why}" for name, why in left_out.items())
        raise InputError(
            "no run of this workspace is cross-validated yet" + (f":{listed}\n" if listed else ""),
            file=space.root,
            remedy=(
                "Train what is missing first."
                if left_out
                else f"Train all folds first, with `{first_training(space, range(len(splits.folds)))}`."
            ),
        )
    for name, why in left_out.items():
        left.add("run", f"{name} ({why})", "not cross-validated as a whole")
    return runs, left_out


def _tell(selection: Selection, volumes: ValidationVolumes, learnt: Sequence[LearntFilter], console: Console) -> None:
    """Say what was chosen, and what is known of its volumes and components."""
    console.say(comparison_text(selection))
    for reason in volumes.reasons:
        console.say(f"Volumes: {reason}")
    for one in learnt:
        console.say(f"Lesion filter: {filter_reason(one)}")


def _rank(run: Run, space: Workspace) -> tuple[bool, bool, str]:
    """Return a sort key that puts first what a user gets without choosing: the default planner's plan, trained as the
    plan says.
    """
    planner, trainer = run.folder.parent.name, run.folder.name
    return planner != "default", read_plan(space, planner).trainer != trainer, run.name


def _confidence(run: Run, standing: Standing) -> dict[str, Confidence]:
    """Return the confidence of each validation case of a run's folds."""
    folds = validation_cases(run, standing.fingerprint, standing.splits, standing.dataset)
    return {case: confidence for fold in folds for case, confidence in fold.confidence.items()}


def _best(names: Runs, candidates: Candidates, settings: Mapping[Runs, Setting]) -> str:
    """Return the run of an ensemble whose confidence counts when it predicts (workflows/ensemble.py)."""
    return max(names, key=lambda name: float(dice_of(candidates.scores[(name,)], settings[(name,)]).mean()))


def _candidate(
    names: Runs,
    candidates: Candidates,
    setting: Setting,
    labels: Sequence[str],
    volumes: dict[str, VolumeConfidence],
    learnt: Sequence[LearntFilter] | None,
) -> Candidate:
    scores = candidates.scores[names]
    largest = tuple(label for label, keep in zip(labels, setting.keep_largest, strict=True) if keep)
    return Candidate(
        runs=names,
        threshold=setting.threshold,
        postprocessing=PostProcessing(largest, tuple(label_reasons(scores, setting, labels))),
        plain=estimate(dice_of(scores, plain(scores)), candidates.patients),
        dice=estimate(dice_of(scores, setting), candidates.patients),
        reasons=(threshold_reason(scores, candidates.folds, setting),),
        volumes=volumes,
        lesion_filter=None if learnt is None else lesion_filter(learnt),
    )


def _keep_setting(run: Run, candidate: Candidate) -> None:
    info = read_stored(ModelInfo, run.model)
    calibration = info.calibration and replace(info.calibration, volumes=candidate.volumes)
    settled = replace(
        info,
        threshold=candidate.threshold,
        postprocessing=candidate.postprocessing,
        calibration=calibration,
        lesion_filter=candidate.lesion_filter,
    )
    if settled != info:
        write_sealed(run.model, settled.to_json())


def _worth(candidates: Candidates, reference: str, choice: Choice) -> Worth:
    scores = candidates.scores[(reference,)]
    before = dice_of(scores, plain(scores))
    after = dice_of(candidates.scores[choice.runs], choice.setting)
    nested = nested_dice(candidates.scores, candidates.folds)
    return Worth(
        reference=reference,
        reference_dice=estimate(before, candidates.patients),
        chosen_gain=estimate(after - before, candidates.patients, CHANGE),
        nested_dice=None if nested is None else estimate(nested, candidates.patients),
        nested_gain=None if nested is None else estimate(nested - before, candidates.patients, CHANGE),
    )
