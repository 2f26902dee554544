"""How the folds of a run were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from vmseg_auto.data.dataset import Dataset, Splits
from vmseg_auto.data.runs import FoldFolder, FoldName, Run
from vmseg_auto.figures.charts import Chart
from vmseg_auto.figures.training_charts import History, dice_chart, loss_chart
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.networks.transfer_record import Initialisation
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.report.render import Fact, Table
from vmseg_auto.report.words import shown
from vmseg_auto.training.overfitting import OverfittingCheck, overfitting_alarm, overfitting_checks
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.run_tables import read_history
from vmseg_auto.workflows.seen_scans import OTHER_SCANS, read_initialisation, seen_tests


@dataclass(frozen=True)
class Training:
    """The trainings of a run.

    Args:
        facts: what all folds share.
        folds: a row a fold.
        loss: of all folds.
        dice: of validation patches, and of whole training and validation cases; a chart a fold.
        alarms: in words, where the gap widened while validation stood still.
        gaps: of each fold whose whole cases were checked, at the end.
    """

    facts: tuple[Fact, ...]
    folds: Table
    loss: Chart
    dice: tuple[Chart, ...]
    alarms: tuple[str, ...]
    gaps: tuple[float, ...]


def training(run: Run) -> Training | None:
    """Describe a run's trainings by the histories and records of its folds; None where no training has begun."""
    folds = [fold for fold in run.folds() if fold.history.is_file()]
    records = {fold.name: record for fold in folds if (record := read_record(fold))}
    if not records:
        return None
    folds = [fold for fold in folds if fold.name in records]
    histories = {fold.name: read_history(fold) for fold in folds}
    checks = {name: overfitting_checks(history) for name, history in histories.items()}
    config = next(iter(records.values())).config
    alarms = [
        f"Fold {name}: validation last improved in epoch {alarm.since}; in epoch {alarm.check.epoch} the gap had "
        f"widened to {shown(alarm.check.gap)}."
        for name, found in checks.items()
        if (alarm := overfitting_alarm(found, records[name].config.epochs))
    ]
    rows = tuple(_row(fold, histories[fold.name], checks[fold.name]) for fold in folds)
    columns = ("Fold", "Epochs", "Loss, training", "Loss, validation", "Dice, training", "Dice, validation", "Gap")
    return Training(
        facts=_facts(run, config),
        folds=Table("Each fold at the end of its training; Dice of a few whole cases on each side", columns, rows),
        loss=loss_chart(list(histories.values())),
        dice=tuple(dice_chart(name, history) for name, history in histories.items()),
        alarms=tuple(alarms),
        gaps=tuple(found[-1].gap for found in checks.values() if found),
    )


def starts(run: Run, fingerprint: Fingerprint, splits: Splits, dataset: Dataset) -> tuple[str, ...]:
    """Describe in sentences what the weights of each fold's training started from, and which of our cases those had
    seen.

    Raises:
        InputError: an init.json is damaged.
    """
    found = {fold.name: start for fold in run.folds() if (start := read_initialisation(fold))}
    if not found:
        return (f"The trainings of {run.name} began with random weights.",) if run.finished_folds() else ()
    validation: dict[FoldName, tuple[str, ...]] = {number: fold.val for number, fold in enumerate(splits.folds)}
    told = [
        f"Fold {name} of {run.name} began with weights of {start.origin}, trained on {start.seen.text()}: "
        f"{_overlap(start, fingerprint, validation.get(name, ()), dataset)}; {start.taken.text()}."
        for name, start in found.items()
    ]
    return (*told, OTHER_SCANS)


def _overlap(start: Initialisation, fingerprint: Fingerprint, validation: Sequence[str], dataset: Dataset) -> str:
    """Describe which of our cases weights had been trained on."""
    known = {case for case, summary in fingerprint.cases.items() if start.seen.holds(summary.image_content)}
    tests = seen_tests(start.seen, fingerprint, dataset, start.tests)
    told = f"{len(known)} are of this cohort, {len(known & set(validation))} of them validation cases of this fold"
    if fingerprint.tests:
        told += f"; of {len(fingerprint.tests)} test cases {len(tests.cases)} are known, or another scan of the patient"
    return told if start.seen.whole else f"of those recorded, {told}; whether others of ours are is not known"


def _facts(run: Run, config: TrainingConfig) -> tuple[Fact, ...]:
    return (
        Fact("Trainer", run.folder.name),
        Fact("Length", f"{counted(config.epochs, 'epoch')} of {counted(config.iterations_per_epoch, 'step')}"),
        Fact("Optimiser", f"{config.optimizer}, learning rate {config.lr:g}", f"{config.schedule} schedule"),
        Fact("Augmentation", "strong" if config.strong_augmentation else "as in nnU-Net" if config.augment else "none"),
        Fact("Lesion copy-paste", f"{config.copy_paste:.0%} of the patches" if config.copy_paste else "none"),
        *([Fact("Channel dropout", f"{config.channel_dropout:.0%} of each")] if config.channel_dropout else []),
        Fact("Seed", str(config.seed)),
    )


def _row(fold: FoldFolder, history: History, checks: Sequence[OverfittingCheck]) -> tuple[str, ...]:
    end = history[-1] if history else {}
    losses = [shown(end.get(name, nan), 3) for name in ("train_loss", "val_loss")]
    check = checks[-1] if checks else OverfittingCheck(0, nan, nan)
    dice = [shown(check.train), shown(check.val), shown(check.gap, sign=True)]
    state = "" if fold.final.is_file() else " (unfinished)"
    return (f"Fold {fold.name}", f"{len(history)}{state}", *losses, *dice)
