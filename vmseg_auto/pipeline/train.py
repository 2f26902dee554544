"""Train folds, predict and score what each holds out, and sum the cross-validation up."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vmseg_auto.contracts import Parts, Trainer
from vmseg_auto.core.console import Console, Silent
from vmseg_auto.core.dataset import Dataset, Fold
from vmseg_auto.core.errors import InputError, VmsegError
from vmseg_auto.core.fingerprint import Fingerprint
from vmseg_auto.core.fold_record import FoldRecord
from vmseg_auto.core.model import ModelInfo
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.recipe import Recipe
from vmseg_auto.core.workspace import FoldFolder, FoldName, Run, Workspace
from vmseg_auto.io.atomic import read_json, write_json
from vmseg_auto.io.cases import read_dataset
from vmseg_auto.io.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from vmseg_auto.io.later import Later
from vmseg_auto.io.prepared import PreparedFolder
from vmseg_auto.ops.devices import choose_device, describe, reduced_precision
from vmseg_auto.pipeline.cross_validation import finish_run, validate_fold
from vmseg_auto.pipeline.held_out import HeldOutCases
from vmseg_auto.pipeline.places import (
    PathLike,
    places,
    read_fingerprint,
    read_plan,
    read_record,
    read_splits,
    record_now,
)
from vmseg_auto.pipeline.watching import Watcher, duration
from vmseg_auto.plugins import load_trainer
from vmseg_auto.stages.train import Hooks, TrainingState, seconds_per_step, train_fold


@dataclass(frozen=True)
class _Job:
    """Everything that the folds of one command share."""

    dataset: Dataset
    fingerprint: Fingerprint
    plan: Plan
    trainer: Trainer
    run: Run
    prepared: Path
    device: torch.device
    workers: int
    console: Console

    @property
    def info(self) -> ModelInfo:
        print_ = self.fingerprint
        return ModelInfo(
            self.trainer.name, print_.dataset, print_.channels, print_.labels, self.plan, scans=print_.scans
        )


def train(
    folds: Sequence[FoldName],
    *,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    planner: str | None = None,
    trainer: str | None = None,
    settings: Sequence[str] = (),
    hours: float | None = None,
    device: str = "auto",
    jobs: int | None = None,
    fresh: bool = False,
    console: Console | None = None,
) -> Run:
    """Train folds one after another; an interrupted one goes on from its last epoch.

    Args:
        folds: 0 to 4, or "all" (every case, no validation).
        dataset, workspace: folders, as on the command line.
        planner: whose plan; the only one there is unless given.
        trainer: a name or "module:Class"; the plan's own unless given.
        settings: `field=value` for fields of the Recipe.
        hours: for each fold at most; all get as many of the recipe's epochs as fit.
        device: "auto", "cuda", "mps" or "cpu".
        jobs: processes that make patches; their number changes no result.
        fresh: forget what these folds were trained to before.
        console: where words and progress go.

    Raises:
        InputError: nothing is planned, an unknown fold, trainer or setting, or a training begun with other ones.
        VmsegError: training itself failed.
    """
    console = console or Silent()
    folder, space = places(dataset, workspace)
    fingerprint, splits, plan = read_fingerprint(space), read_splits(space), read_plan(space, planner)
    chosen = load_trainer(trainer or plan.trainer)
    recipe = chosen.recipe.with_settings(settings)
    records = {fold: record_now(fingerprint, splits, plan, recipe, fold) for fold in folds}
    if hours is not None and not 0 < hours <= 10_000:
        raise InputError(f"the time is {hours:g} hours", remedy="Give --hours above 0, such as 2 or 0.5.")
    where = choose_device(device)
    job = _Job(
        dataset=read_dataset(folder),
        fingerprint=fingerprint,
        plan=plan,
        trainer=chosen,
        run=space.run(plan.planner, chosen.name),
        prepared=_prepared(space, plan, fingerprint),
        device=where,
        workers=jobs or default_workers(where),
        console=console,
    )
    precision = reduced_precision(where) if recipe.amp else None
    console.say(f"Training {job.run.name} on {describe(where, precision)}.")
    if hours is not None:
        records = _in_time(job, records, hours, fresh)
    if fresh:
        for fold in records:
            shutil.rmtree(job.run.fold(fold).folder, ignore_errors=True)
    for fold, record in records.items():
        _train_one(job, fold, record)
    finish_run(job.run, fingerprint, splits, job.dataset, console)
    return job.run


def default_workers(device: torch.device) -> int:
    """Processes that make patches: one keeps a CPU busy with training, a GPU wants more."""
    import os

    return 1 if device.type == "cpu" else max(1, min(8, (os.cpu_count() or 2) - 1))


def _train_one(job: _Job, fold: FoldName, record: FoldRecord) -> None:
    folder = job.run.fold(fold)
    if before := read_record(folder):
        _refuse_differences(before, record, fold, folder)
    write_json(folder.record, record.to_json())
    if folder.final.is_file():
        job.console.say(f"Fold {fold} is already trained; it is kept. To train it again, add --fresh.")
    else:
        if not job.run.model.is_file() or _known_plan(job.run) != job.plan.content_hash:
            write_json(job.run.model, job.info.to_json())
        _run_training(job, fold, folder, record)
    if fold != "all":
        held = HeldOutCases(folder, tuple(record.val), job.dataset, job.fingerprint)
        validate_fold(job.run, folder, held, job.prepared, job.device.type, job.console)


def _run_training(job: _Job, fold: FoldName, folder: FoldFolder, record: FoldRecord) -> None:
    recipe = record.recipe
    state = _resume(job, folder, recipe)
    cases = Fold(tuple(record.train), tuple(record.val))
    title = f"Fold {fold}"
    done = state.epoch * recipe.steps if state else 0
    with job.console.progress(title, recipe.epochs * recipe.steps, done) as progress, Later() as later:
        watcher = Watcher(folder, recipe, job.console, progress, state.history if state else ())

        def save(now: TrainingState) -> None:
            later.do(lambda: _save(job, folder.latest, fold, recipe, now))

        hooks = Hooks(watcher.stepped, watcher.epoch_ended, save)
        end = train_fold(
            _parts(job, recipe, fold), job.plan, job.prepared, cases, fold, job.device, hooks, state, job.workers
        )
    watcher.draw()
    _save(job, folder.final, fold, recipe, replace(end, optimizer={}))
    folder.latest.unlink(missing_ok=True)


def _parts(job: _Job, recipe: Recipe, fold: FoldName) -> Parts:
    torch.manual_seed(recipe.seed * 1009 + (1000 if fold == "all" else int(fold)))
    print_ = job.fingerprint
    return job.trainer(job.plan, recipe, job.device, len(print_.channels), len(print_.labels))


def _in_time(job: _Job, records: dict[FoldName, FoldRecord], hours: float, fresh: bool) -> dict[FoldName, FoldRecord]:
    """The same records with the same number of epochs: that of a fold begun before, else what fits."""
    begun = [before for fold in records if (before := read_record(job.run.fold(fold)))]
    if begun and not fresh:
        epochs = begun[0].recipe.epochs
    else:
        fold, record = next(iter(records.items()))
        epochs = _fitting_epochs(job, record, fold, hours)
    return {fold: replace(r, recipe=replace(r.recipe, epochs=epochs)) for fold, r in records.items()}


def _fitting_epochs(job: _Job, record: FoldRecord, fold: FoldName, hours: float) -> int:
    """As many of the recipe's epochs as fit, a twentieth of the time kept for predicting the validation cases.

    Raises:
        InputError: not even one fits.
    """
    recipe, cases = record.recipe, Fold(tuple(record.train), tuple(record.val))
    one = seconds_per_step(_parts(job, recipe, fold), job.plan, job.prepared, cases, fold, job.device, job.workers)
    epoch = one * recipe.steps * (1 + 0.3 * recipe.validation_share)
    epochs = min(int(hours * 3600 * 0.95 / epoch), recipe.epochs)
    if epochs < 1:
        raise InputError(
            f"one epoch takes {duration(epoch)} here, longer than the {hours:g} hours given",
            remedy=f"Give more hours, or shorten the epochs with --set steps={max(1, int(hours * 3420 / one))}.",
        )
    job.console.say(f"{epochs} of {recipe.epochs} epochs of {recipe.steps} steps fit into {duration(hours * 3600)}.")
    return epochs


def _resume(job: _Job, folder: FoldFolder, recipe: Recipe) -> TrainingState | None:
    if not folder.latest.is_file():
        return None
    checkpoint = load_checkpoint(folder.latest)
    job.console.say(f"Fold {folder.name} goes on after epoch {checkpoint.epoch} of {recipe.epochs}.")
    return TrainingState(checkpoint.epoch, checkpoint.weights, checkpoint.optimizer, checkpoint.history)


def _save(job: _Job, path: Path, fold: FoldName, recipe: Recipe, state: TrainingState) -> None:
    info = job.info
    save_checkpoint(
        path,
        Checkpoint(
            plan=job.plan,
            recipe=recipe,
            labels=info.labels,
            channels=info.channels,
            trainer=info.trainer,
            fold=fold,
            epoch=state.epoch,
            weights=state.weights,
            history=state.history,
            optimizer=state.optimizer,
        ),
    )


def _refuse_differences(before: FoldRecord, record: FoldRecord, fold: FoldName, folder: FoldFolder) -> None:
    if changes := before.differences(record):
        raise InputError(
            f"fold {fold} was begun with other settings or data ({'; '.join(changes)})",
            file=folder.folder,
            remedy="Use the same ones to go on, or --fresh to train it anew.",
        )


def _known_plan(run: Run) -> str:
    return ModelInfo.from_json(read_json(run.model), str(run.model)).plan.content_hash


def _prepared(space: Workspace, plan: Plan, fingerprint: Fingerprint) -> Path:
    """The folder of prepared cases.

    Raises:
        VmsegError: a case is missing or out of date.
    """
    folder = PreparedFolder(space.prepared(plan.voxels_hash))
    lacking = [case for case, summary in fingerprint.cases.items() if not folder.holds(case, summary.content)]
    if lacking:
        raise VmsegError(
            f"{len(lacking)} of {len(fingerprint.cases)} cases are not prepared for this plan, {lacking[0]} for one",
            file=folder.folder,
            remedy="Run `vmseg_plan_and_preprocess` again; it prepares what is missing.",
        )
    return folder.folder
