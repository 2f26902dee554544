"""What a changed cohort leaves to be done for the folds that are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vmseg_auto.core.console import Console, listed
from vmseg_auto.core.dataset import Dataset, Splits
from vmseg_auto.core.fingerprint import Fingerprint
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.runs import FoldName
from vmseg_auto.core.workspace import Workspace
from vmseg_auto.pipeline.held_out import HeldOutCases
from vmseg_auto.pipeline.places import read_record, record_now, stale_folds, train_command


def report_outdated(
    space: Workspace, dataset: Dataset, fingerprint: Fingerprint, splits: Splits, plan: Plan, console: Console
) -> None:
    """Warn of this planner's folds that are stale, and name those whose weights hold, but whose validation cases have
    changed since.
    """
    for run in space.runs():
        if run.folder.parent.name != plan.planner:
            continue
        stale = stale_folds(run, fingerprint, splits, plan)
        if stale:
            console.warn(
                f"folds of {run.name} are stale; `{train_command(space, run, stale, plan)} --fresh`, with the --set or "
                f"--hours that they had, trains them again:\n{_stale_in_words(stale)}"
            )
        for folder in run.finished_folds():
            if folder.name in stale:
                continue
            again = train_command(space, run, [folder.name], plan)
            record = read_record(folder)
            now = record_now(fingerprint, splits, plan, record.recipe, folder.name) if record else None
            if record and now and (old := record.old_names(now)):
                console.say(
                    f"Fold {folder.name} of {run.name} keeps its weights, with old names ({'; '.join(old)}); "
                    f"`{again}` renews them without training."
                )
            if folder.name == "all":
                continue
            held = HeldOutCases(folder, splits.folds[int(folder.name)].val, dataset, fingerprint)
            if not held.is_current():
                console.say(f"{_what_is_due(held)}; `{again}` does it without training ({run.name}).")


def training_due(space: Workspace, fingerprint: Fingerprint, splits: Splits, plan: Plan) -> list[str]:
    """The commands that train what this planner's runs lack: unfinished folds, and stale ones anew. Where there is no
    run yet, all folds by the plan's own trainer.
    """
    due = []
    own = [run for run in space.runs() if run.folder.parent.name == plan.planner]
    for run in own or [space.run(plan.planner, plan.trainer)]:
        stale = stale_folds(run, fingerprint, splits, plan)
        if unfinished := [fold for fold in run.unfinished_folds(len(splits.folds)) if fold not in stale]:
            due.append(train_command(space, run, unfinished, plan))
        if stale:
            due.append(f"{train_command(space, run, stale, plan)} --fresh")
    return due


def _stale_in_words(stale: Mapping[FoldName, Sequence[str]]) -> str:
    """A line for all folds that are stale for the same reason."""
    reasons: dict[str, list[str]] = {}
    for fold, changes in stale.items():
        reasons.setdefault("; ".join(changes), []).append(str(fold))
    return "\n".join(
        f"  - {'fold' if len(folds) == 1 else 'folds'} {', '.join(folds)}: {why}" for why, folds in reasons.items()
    )


def _what_is_due(held: HeldOutCases) -> str:
    images = [case.id for case in held.unpredicted()]
    masks = [case.id for case in held.unscored() if case.id not in images]
    due = [f"{listed(images)} to be predicted"] if images else []
    if masks or not images:
        due.append(f"{listed(masks)} to be scored again" if masks else "its scores to be summed up again")
    return f"Fold {held.folder.name} keeps its weights, with {' and '.join(due)}"
