"""Make folds ready for training: on from where they are, anew, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from vmseg_auto.data.runs import FoldFolder, FoldName
from vmseg_auto.models.checkpoints import load_newest
from vmseg_auto.models.final_checkpoint import load_final, save_final
from vmseg_auto.models.fold_record import FoldRecord, FreshStart, read_record
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.utils.atomic import read_stored, unwritable, write_sealed
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.logs import LOGGER
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.job import Job
from vmseg_auto.workflows.seen_scans import read_initialisation


def begun_fresh(folder: FoldFolder, command: str) -> bool:
    """Return whether this very command has begun the fold anew before, and was stopped: given again, it goes on."""
    if not folder.fresh.is_file():
        return False
    try:
        return read_stored(FreshStart, folder.fresh).command == command
    except InputError:  # a damaged mark says nothing
        return False


def goes_on(folder: FoldFolder, record: FoldRecord, command: str) -> bool:
    """Return whether a command with --fresh goes on with the fold: it has begun it, and what there is can be gone on
    from.
    """
    if not begun_fresh(folder, command):
        return False
    try:
        before = read_record(folder)
        if folder.final.is_file():
            load_final(folder.final)
        else:
            load_newest((folder.latest, folder.previous))
    except VmsegError:
        return False
    return before is None or not before.differences(record)


def confirm_fresh(records: Mapping[FoldFolder, FoldRecord], command: str, confirm: Callable[[str], bool]) -> None:
    """Ask before a command with --fresh trains finished folds anew; an empty command replaces none.

    Raises:
        InputError: the answer was no.
    """
    finished = [
        folder for folder, record in records.items() if folder.final.is_file() and not goes_on(folder, record, command)
    ]
    if not command or not finished:
        return
    names = listed([str(folder.folder) for folder in finished])
    asked = f"{names}: finished. Train anew? What is there is kept aside until the new training is finished."
    if not confirm(asked):
        raise InputError("nothing was begun", remedy="Without --fresh, finished folds are kept as they are.")


def begin_folds(job: Job, records: Mapping[FoldName, FoldRecord], fresh: str = "") -> None:
    """Make folds of `job.run` ready for `train_one`; call it within `workspace_lock`, with their locks held.

    Args:
        records: what they are to be trained on.
        fresh: the command that is to train them anew; empty where they are to go on. Finished folds are kept aside.
            Given again before it has ended, the command goes on with what it has begun.

    Raises:
        InputError: one was begun with other settings, data or first weights.
        VmsegError: a folder can't be written to.
    """
    folders = {fold: job.run.fold(fold) for fold in records}
    # Read before any fold is set aside: another version's model is refused as it stands.
    known = read_stored(ModelInfo, job.run.model) if job.run.model.is_file() else None
    _warn_of_other_settings(job, records)
    for fold, folder in folders.items():
        if fresh and not goes_on(folder, records[fold], fresh):
            _set_aside(folder, fresh, job.console)
        elif fresh and (folder.final.is_file() or folder.latest.is_file()):
            job.console.say(f"Fold {fold} was begun anew by this command; to begin once more, delete {folder.folder}.")
        _refuse_differences(records[fold], fold, folder)
        _renew_names(job, records[fold], folder)
        LOGGER.info("fold %s: %s", fold, records[fold].config)
    if known is None or _identity(known) != _identity(job.info):
        write_sealed(job.run.model, job.info.to_json())


def end_fresh(folders: Iterable[FoldFolder]) -> None:
    """Note that the command that trained these folds has ended: the next --fresh begins anew."""
    for folder in folders:
        folder.fresh.unlink(missing_ok=True)


def drop_replaced(folder: FoldFolder, console: Console) -> None:
    """Remove the fold that was kept aside for one that is finished now."""
    if folder.aside.is_dir():
        shutil.rmtree(folder.aside, ignore_errors=True)
        console.say(f"Fold {folder.name} is finished; the one from before --fresh is removed.")


def _identity(info: ModelInfo) -> tuple[object, ...]:
    """Return the values that make it another model."""
    return info.plan.content_hash, info.labels, info.channels


def _set_aside(folder: FoldFolder, command: str, console: Console) -> None:
    """Clear the fold's place; a finished fold is kept beside it, and what never was finished is removed."""
    try:
        if folder.final.is_file():
            shutil.rmtree(folder.aside, ignore_errors=True)
            os.replace(folder.folder, folder.aside)
            console.say(f"Fold {folder.name} is kept as {folder.aside} until the new training is finished.")
        shutil.rmtree(folder.folder, ignore_errors=True)
    except OSError as error:
        raise unwritable(folder.folder, error) from error
    write_sealed(folder.fresh, FreshStart(command).to_json())


def _warn_of_other_settings(job: Job, records: Mapping[FoldName, FoldRecord]) -> None:
    """Warn where other folds of the run were trained with other settings: they would be one model."""
    config = next(iter(records.values())).config
    unlike: dict[str, list[str]] = {}
    for folder in job.run.folds():
        before = read_record(folder) if folder.name not in records else None
        if before and (changes := before.config.differences(config)):
            unlike.setdefault("; ".join(changes), []).append(str(folder.name))
    for differences, folds in unlike.items():
        which = f"fold {folds[0]}" if len(folds) == 1 else f"folds {listed(folds)}"
        job.console.warn(
            f"{which} of {job.run.name} had other settings (then against now: {differences}): scores and masks of "
            "unlike folds would be mixed. Give all folds of a run the same --set and --hours."
        )


def _refuse_differences(record: FoldRecord, fold: FoldName, folder: FoldFolder) -> None:
    before = read_record(folder)
    if before is None:
        if folder.final.is_file():
            raise InputError(
                f"it is not recorded what fold {fold} was trained on",
                file=folder.folder,
                remedy="--fresh trains it anew.",
            )
        return
    if changes := before.differences(record):
        begun = read_initialisation(folder)
        again = f" It was begun with --init {begun.model}." if begun and before.init != record.init else ""
        raise InputError(
            f"fold {fold} was begun with other settings or data (then against now: {'; '.join(changes)})",
            file=folder.folder,
            remedy=f"Use the same ones to go on, or --fresh to train it anew.{again}",
        )


def _renew_names(job: Job, record: FoldRecord, folder: FoldFolder) -> None:
    """Give a finished fold the names that labels and channels have now; its scores are to be summed up under them."""
    before = read_record(folder)
    old = before.old_names(record) if before and folder.final.is_file() else []
    if not old:
        return
    checkpoint = load_final(folder.final)
    save_final(folder.final, replace(checkpoint, labels=job.info.labels, channels=job.info.channels))
    (folder.validation / "metrics.json").unlink(missing_ok=True)
    job.console.say(f"Fold {folder.name}: names renewed ({'; '.join(old)}); the weights stay.")
