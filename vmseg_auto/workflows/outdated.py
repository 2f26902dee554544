"""What a changed cohort leaves to be done for the folds that are trained."""

from __future__ import annotations

from vmseg_auto.data.dataset_json import ADVISED_DROPOUT
from vmseg_auto.data.runs import FoldFolder, FoldName, Run
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.first_stage import first_stage_hash
from vmseg_auto.workflows.paths import alike_folds, record_now, stale_folds, stale_in_words, train_command
from vmseg_auto.workflows.staleness import Standing
from vmseg_auto.workflows.validation_cases import ValidationCases


def report_outdated(now: Standing, plan: Plan, console: Console) -> list[str]:
    """Warn of this planner's folds that are stale, and name those whose weights hold, but whose validation cases have
    changed since.

    Returns:
        The commands that do what is due, training included. Where there is no run yet, the one that trains all folds
        by the plan's own trainer.
    """
    space, due = now.space, []
    advised = (ADVISED_DROPOUT,) if any(case.missing for case in now.fingerprint.cases.values()) else ()
    own = [run for run in space.runs() if run.folder.parent.name == plan.planner]
    for run in own or [space.run(plan.planner, plan.trainer)]:
        stale = _stale(run, now, plan)
        for folds in alike_folds(run, stale):
            due.append(f"{train_command(space, run, folds, plan)} --fresh")
            console.warn(
                f"folds of {run.name} are stale; `{due[-1]}` trains them again:\n"
                f"{stale_in_words({fold: stale[fold] for fold in folds})}"
            )
        kept = {folder.name: _due_without_training(folder, run, now, plan) for folder in run.finished_folds()}
        for fold, words in kept.items():
            if words and fold not in stale:
                command = train_command(space, run, [fold], plan)
                console.say(
                    f"Fold {fold} keeps its weights, with {words}; `{command}` does it without training ({run.name})."
                )
        left = [fold for fold, words in kept.items() if words] + run.unfinished_folds(len(now.splits.folds))
        for folds in alike_folds(run, sorted({fold for fold in left if fold not in stale}, key=str)):
            due.append(train_command(space, run, folds, plan, advised))
    return due


def _stale(run: Run, now: Standing, plan: Plan) -> dict[FoldName, list[str]]:
    """Find folds trained on data, plans or masks of a first stage that have changed since, each with what changed."""
    stale = stale_folds(run, now.fingerprint, now.splits, plan)
    masks = first_stage_hash(now.space, plan, run.folder.name, now.splits, now.dataset)
    for folder in run.folds():
        record = read_record(folder)
        if record and record.first_stage != masks:
            stale.setdefault(folder.name, []).append("the first stage has other masks")
    return stale


def _due_without_training(folder: FoldFolder, run: Run, now: Standing, plan: Plan) -> str:
    """Describe what is to be done again of a finished fold though its weights hold; empty where nothing is."""
    record = read_record(folder)
    if record and folder.name != "all" and int(folder.name) >= len(now.splits.folds):
        return ""
    due = []
    if record:
        as_it_is = record_now(now.fingerprint, now.splits, plan, record.config, folder.name)
        if old := record.old_names(as_it_is):
            due.append(f"old names ({'; '.join(old)}) to be renewed")
    if folder.name != "all":
        validation = ValidationCases(folder, now.splits.folds[int(folder.name)].val, now.dataset, now.fingerprint)
        if not validation.is_current():
            due += _of_validation_cases(validation)
    return " and ".join(due)


def _of_validation_cases(validation: ValidationCases) -> list[str]:
    images = [case.id for case in validation.unpredicted()]
    masks = [case.id for case in validation.unscored() if case.id not in images]
    due = [f"{listed(images)} to be predicted"] if images else []
    if masks or not images:
        due.append(f"{listed(masks)} to be scored again" if masks else "its scores to be summed up again")
    return due
