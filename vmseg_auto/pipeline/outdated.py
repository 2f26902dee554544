"""What a changed cohort leaves to be done for the folds that are trained."""

from __future__ import annotations

from vmseg_auto.core.console import Console, listed
from vmseg_auto.core.dataset import Dataset, Splits
from vmseg_auto.core.fingerprint import Fingerprint
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.workspace import Workspace
from vmseg_auto.pipeline.held_out import HeldOutCases
from vmseg_auto.pipeline.places import read_record, record_now, stale_folds


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
        for fold, changes in stale.items():
            console.warn(
                f"fold {fold} of {run.name} is stale ({'; '.join(changes)}); "
                f"train it again with `vmseg_train {fold} --fresh`."
            )
        for folder in run.finished_folds():
            if folder.name in stale:
                continue
            record = read_record(folder)
            now = record_now(fingerprint, splits, plan, record.recipe, folder.name) if record else None
            if record and now and (old := record.old_names(now)):
                console.say(
                    f"Fold {folder.name} of {run.name} keeps its weights, with old names ({'; '.join(old)}); "
                    f"`vmseg_train {folder.name}` renews them without training."
                )
            if folder.name == "all":
                continue
            held = HeldOutCases(folder, splits.folds[int(folder.name)].val, dataset, fingerprint)
            if not held.is_current():
                console.say(f"{_what_is_due(held)}; `vmseg_train {folder.name}` does it without training ({run.name}).")


def _what_is_due(held: HeldOutCases) -> str:
    images = [case.id for case in held.unpredicted()]
    masks = [case.id for case in held.unscored() if case.id not in images]
    due = [f"{listed(images)} to be predicted"] if images else []
    if masks or not images:
        due.append(f"{listed(masks)} to be scored again" if masks else "its scores to be summed up again")
    return f"Fold {held.folder.name} keeps its weights, with {' and '.join(due)}"
