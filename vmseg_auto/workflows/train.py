"""Train folds, predict and score what each holds out, and sum the cross-validation up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vmseg_auto.data.dataset import beside_folds
from vmseg_auto.data.runs import FoldFolder, FoldName, Run, chosen_folds
from vmseg_auto.models.checkpoints import Checkpoint, TrainingState, load_newest, save_checkpoint
from vmseg_auto.models.final_checkpoint import save_final
from vmseg_auto.models.fold_record import FoldRecord, read_record
from vmseg_auto.models.load import require_own
from vmseg_auto.models.pretrained import PretrainedEncoder
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.registry import load_logger
from vmseg_auto.training.loader import batches_ahead
from vmseg_auto.training.loop import Hooks, seconds_per_step, train_fold
from vmseg_auto.utils.async_writer import AsyncWriter
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.distributed import joined
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.signals import noting_signals
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.fresh_start import begin_folds, begun_fresh, confirm_fresh, drop_replaced, end_fresh
from vmseg_auto.workflows.initial_weights import Start, begin_from, check_fits, find_starts, first_weights
from vmseg_auto.workflows.job import Job, open_job, settle
from vmseg_auto.workflows.locking import folds_at_work, take_folds, workspace_lock
from vmseg_auto.workflows.paths import PathLike, places
from vmseg_auto.workflows.progress import FoldProgress, duration
from vmseg_auto.workflows.seen_scans import SeenTests, seen_tests
from vmseg_auto.workflows.select import choose_run
from vmseg_auto.workflows.staleness import read_standing
from vmseg_auto.workflows.tracking import tracking
from vmseg_auto.workflows.training_disk import require_training_space
from vmseg_auto.workflows.validate import finish_run, validate_fold
from vmseg_auto.workflows.validation_cases import ValidationCases


@telling_left_out
def train(
    folds: Sequence[FoldName],
    *,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    planner: str | None = None,
    trainer: str | None = None,
    settings: Sequence[str] = (),
    hours: float | None = None,
    init: PathLike | None = None,
    loggers: Sequence[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    fresh: bool = False,
    confirm: Callable[[str], bool] = lambda question: True,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Run:
    """Train folds one after another; an interrupted one goes on from its last epoch.

    Processes that torchrun has started share each batch; what comes out does not depend on how many they are.

    Args:
        folds: 0 to 4, or "all" (every case, no validation).
        dataset, workspace: folders, as on the command line.
        planner: whose plan; the only one there is unless given.
        trainer: a name or "module:Class"; the plan's own unless given.
        settings: `field=value` for fields of the TrainingConfig.
        hours: for each fold at most; all get as many of the config's epochs as fit.
        init: another model, its folder or zip, or the file of a pretrained encoder, to start from its weights as far as
            they fit.
        loggers: names or "module:Class" of trackers that log each epoch, beside history.csv.
        device: "auto", "cuda", "mps" or "cpu".
        jobs: processes that make patches; their number changes no result.
        fresh: train these folds anew; finished ones are kept aside until the new ones are finished. Given again before
            it has ended, the same call goes on with what it has begun.
        confirm: is asked before finished folds are trained anew, and says whether to do so.
        left: what of the dataset is not used is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Raises:
        InputError: nothing is planned, an unknown fold, trainer or setting, a training begun with other ones, a
            model to start from that does not fit or has seen validation cases, another command at work on a fold, or
            `confirm` said no.
        VmsegError: the disk is too full for what is to come, or training itself failed.
        SomeCasesFailedError: all is trained, but some validation cases could not be predicted or scored.
        Stopped: a signal (SIGTERM, SIGUSR1) asked for it; the state is saved, and the same call goes on from it.
    """
    folds = chosen_folds(folds)
    folder, space = places(dataset, workspace)
    command = " ".join(["vmseg_train", *map(str, folds)])
    anew = f"{command} --hours {hours:g}" * fresh if hours else command * fresh
    trackers = tuple(load_logger(name) for name in dict.fromkeys(loggers))
    left = left or Inventory()
    with joined() as ranks, ExitStack() as held, ExitStack() as opened:
        console = ranks.console(console or Silent())
        ranks.on_main(space.require_planned)
        other = opened.enter_context(first_weights(init, console)) if init is not None else None
        with ranks.enter_on_main(workspace_lock(space, command, console)):
            job = open_job(dataset, workspace, planner, trainer, settings, hours, device, jobs, left, console, ranks)
            job = replace(job, loggers=trackers if ranks.is_main else ())
            records = {fold: job.record(fold) for fold in folds}
            left.add_all(beside_folds(job.splits, job.fingerprint.cases, folds) if ranks.is_main else ())
            ranks.on_main(lambda: settle(left, console))
            ranks.on_main(lambda: take_folds(held, [job.run.fold(fold) for fold in folds], command, console))
        starts = _starts(job, other, Path(init), records) if init is not None and other else {}
        records = {fold: replace(r, init=starts[fold].hash if starts else "") for fold, r in records.items()}
        opened.close()
        job.introduce()
        if hours is not None:
            first, record = next(iter(records.items()))
            epochs = epochs_in_time(job, [job.run.fold(fold) for fold in records], first, record, hours, anew)
            records = {fold: replace(r, config=replace(r.config, epochs=epochs)) for fold, r in records.items()}
        folders = {job.run.fold(fold): record for fold, record in records.items()}
        ranks.on_main(lambda: require_training_space(job, list(folders.items())))
        ranks.on_main(lambda: confirm_fresh(folders, anew, confirm))
        with ranks.enter_on_main(workspace_lock(space, command, console)):
            ranks.on_main(lambda: begin_folds(job, records, anew))
        failed = [error for fold, record in records.items() for error in train_one(job, fold, record, starts.get(fold))]
        with ranks.enter_on_main(workspace_lock(space, command, console, patience_s=math.inf)):
            held.close()  # within the lock: whoever comes last finds no other fold at work, and nobody else does
            ranks.on_main(lambda: _sum_up(job, folder, jobs, left))
            ranks.on_main(lambda: end_fresh(folders))
    if failed:
        what = f"{counted(len(failed), 'validation case')} could not be predicted or scored"
        raise SomeCasesFailedError(what, failed)
    return job.run


def train_one(job: Job, fold: FoldName, record: FoldRecord, start: Start | None = None) -> list[VmsegError]:
    """Train a fold of `job.run` on the cases of `record`, and score its validation cases; what is done is kept.

    Args:
        fold: its name; with the config's seed it decides all random numbers.
        record: what it is to be trained on, as given to `begin_folds`.
        start: the weights to start from, in place of random ones.

    Returns:
        What went wrong with single validation cases.

    Raises:
        VmsegError: training itself failed.
    """
    folder, ranks = job.run.fold(fold), job.ranks
    patients = {job.dataset.patients[case] for case in record.train}
    given = record.config.settings(job.trainer.config)
    whole = replace(record, settings=given, patients=len(patients))
    ranks.on_main(lambda: write_sealed(folder.record, whole.to_json()))
    if ranks.on_main(folder.final.is_file):
        job.console.say(f"Fold {fold} is already trained; it is kept. To train it again, add --fresh.")
    else:
        _run_training(job, fold, folder, record, start)
    ranks.on_main(lambda: drop_replaced(folder, job.console))
    if fold == "all":
        return []
    held = ValidationCases(folder, tuple(record.val), job.dataset, job.fingerprint)
    return validate_fold(job.run, held, job.preprocessed, job.device.type, job.console, ranks)


def _sum_up(job: Job, dataset: Path, jobs: int | None, left: Inventory) -> None:
    """Sum the cross-validation up and choose, if no other command still works on this run's folds: it will."""
    if others := folds_at_work(job.run.folds()):
        job.console.say(f"The cross-validation is summed up when the others end ({listed(others)}).")
        return
    # As they are now: an edited split may have been planned meanwhile.
    now = read_standing(dataset, job.space, left)
    if finish_run(job.run, job.space, now.fingerprint, now.splits, now.dataset, job.console):
        lenient = Inventory()  # it has been trained, however strict the command is
        choose_run(now, jobs, lenient, job.console)
        left.add_all(lenient.found)


def _run_training(job: Job, fold: FoldName, folder: FoldFolder, record: FoldRecord, start: Start | None) -> None:
    config, setup, ranks = record.config, job.setup(record, fold), job.ranks
    if told := setup.cases_in_words():
        job.console.say(told)
    state = ranks.on_main(lambda: _resume(job, folder, config))
    if start is not None and state is None:
        tests = _known_tests(job, start)
        ranks.on_main(lambda: begin_from(start, setup.parts.network, job.plan.network, folder, tests, job.console))
    done = state.epoch * config.iterations_per_epoch + len(state.under_way) if state else 0
    with (
        tracking(job, folder, config) as log,
        noting_signals() as noted,
        job.console.progress(f"Fold {fold}", config.epochs * config.iterations_per_epoch, done) as progress,
        AsyncWriter() as later,
    ):

        def keep(now: TrainingState) -> None:
            later.do(lambda: save_checkpoint(folder.latest, _checkpoint(job, fold, config, now), keep=folder.previous))

        history, work, ahead = state.history if state else (), setup.validation_work, batches_ahead(job.workers)
        followed = FoldProgress(folder, config, job.console, progress, history, work, log, keep, ahead)
        end = train_fold(setup, followed if ranks.is_main else Hooks(), state, job.workers, ranks, noted)

    def finish() -> None:
        followed.draw()
        save_final(folder.final, _checkpoint(job, fold, config, end))
        for path in (folder.latest, folder.previous):
            path.unlink(missing_ok=True)

    ranks.on_main(finish)


def _starts(
    job: Job, other: Run | PretrainedEncoder, model: Path, records: dict[FoldName, FoldRecord]
) -> Mapping[FoldName, Start]:
    starts = find_starts(other, model, job.run, job.dataset.name, records, job.console)
    fold, start = next(iter(starts.items()))
    check_fits(start, job.parts(job.config, fold).network.state_dict(), job.plan.network)
    for warning in dict.fromkeys(_known_tests(job, start).warning() for start in starts.values()):
        if warning:
            job.console.warn(warning)
    return starts


def _known_tests(job: Job, start: Start) -> SeenTests:
    return seen_tests(start.seen, job.fingerprint, job.dataset, start.ids(start.dataset == job.dataset.name))


def epochs_in_time(
    job: Job, folders: Sequence[FoldFolder], fold: FoldName, record: FoldRecord, hours: float, fresh: str
) -> int:
    """Return the same number of epochs for several trainings: that of one begun before, else what fits.

    Args:
        folders: of all these trainings.
        fold, record: of one of them, whose steps are timed.
        hours: for each training at most.
        fresh: the command that is to train them anew, which passes over what it has not begun; empty where none is.

    Raises:
        InputError: not even one epoch fits.
    """
    going_on = [folder for folder in folders if not fresh or begun_fresh(folder, fresh)]
    begun = [before for folder in going_on if (before := read_record(folder))]
    return begun[0].config.epochs if begun else _fitting_epochs(job, record, fold, hours)


def _fitting_epochs(job: Job, record: FoldRecord, fold: FoldName, hours: float) -> int:
    """Return as many of the config's epochs as fit, beside the prediction of the validation cases and a twentieth to
    spare.

    Raises:
        InputError: not even one fits.
    """
    config, setup = record.config, job.setup(record, fold)
    one = seconds_per_step(setup, job.workers, job.ranks)
    epoch, validation = one * config.epoch_work, one * setup.validation_work
    left = hours * 3600 * 0.95 - validation
    epochs = min(int(left / epoch), config.epochs)
    if epochs < 1:
        steps = int(left / one)
        shorten = f", or shorten the epochs with --set iterations_per_epoch={steps}" if steps >= 1 else ""
        raise InputError(
            f"one epoch takes {duration(epoch)} here and predicting the validation cases {duration(validation)}, "
            f"longer than the {hours:g} hours given",
            remedy=f"Give more hours{shorten}.",
        )
    job.console.say(
        f"{epochs} of {config.epochs} epochs of {config.iterations_per_epoch} steps fit into {duration(hours * 3600)}, "
        f"with {duration(validation)} for predicting the validation cases."
    )
    return epochs


def _resume(job: Job, folder: FoldFolder, config: TrainingConfig) -> TrainingState | None:
    """Load the newest state that is whole. What is damaged is named and removed, as the next state would push the whole
    one out otherwise.
    """
    checkpoint, damaged = load_newest((folder.latest, folder.previous))
    if checkpoint is None:
        return None
    require_own(checkpoint, job.info, folder.name, folder.latest, names_count=False)
    for error in damaged:
        job.console.warn(
            f"{error.file}: {error.problem}. It is removed; the state of epoch {checkpoint.epoch}, before it, is used."
        )
        Path(str(error.file)).unlink()
    steps = f" and {len(checkpoint.under_way)} steps" if checkpoint.under_way else ""
    job.console.say(f"Fold {folder.name} goes on after epoch {checkpoint.epoch}{steps} of {config.epochs}.")
    return checkpoint


def _checkpoint(job: Job, fold: FoldName, config: TrainingConfig, state: TrainingState) -> Checkpoint:
    info = job.info
    return Checkpoint(
        **vars(state),
        plan=job.plan,
        config=config,
        labels=info.labels,
        channels=info.channels,
        trainer=info.trainer,
        fold=fold,
    )
