"""What all trainings of one command share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vmseg_auto.contracts import Logger, Parts, Trainer
from vmseg_auto.data.dataset import Dataset, Fold, Splits
from vmseg_auto.data.dataset_json import ADVISED_DROPOUT
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.runs import FoldName, Run, train_command
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.metrics.score import metrics
from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.networks.rebuild import why_not_rebuilt
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.memory import card_gib
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.registry import load_trainer
from vmseg_auto.training import compiled
from vmseg_auto.training.fold_data import FoldSetup, default_workers
from vmseg_auto.training.held_cases import SHARE
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.device_memory import free_gib
from vmseg_auto.utils.devices import choose_device, cudnn_fault, describe, reduced_precision
from vmseg_auto.utils.distributed import ALONE, Ranks
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import count_outputs, refuse_regions
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.first_stage import first_stage_hash, first_stage_run, with_first_stage
from vmseg_auto.workflows.paths import PathLike, places, plan_command, read_plan, record_now
from vmseg_auto.workflows.staleness import Standing, read_standing
from vmseg_auto.workflows.validate import lacking


@dataclass(frozen=True)
class Job:
    """Everything that the folds of one command share."""

    space: Workspace
    dataset: Dataset
    fingerprint: Fingerprint
    splits: Splits
    plan: Plan
    trainer: Trainer
    config: TrainingConfig
    run: Run
    preprocessed: Path
    device: torch.device
    workers: int
    console: Console
    ranks: Ranks
    loggers: tuple[Logger, ...] = ()

    @property
    def info(self) -> ModelInfo:
        print_ = self.fingerprint
        return ModelInfo(
            self.trainer.name, print_.dataset, print_.channels, print_.labels, self.plan, scans=print_.scans
        )

    def parts(self, config: TrainingConfig, fold: FoldName) -> Parts:
        """Build what the trainer makes for a fold; the same config and fold give the same first weights.

        Raises:
            InputError: its network is not the plan's: no checkpoint could be used.
        """
        torch.manual_seed(config.seed * 1009 + (1000 if fold == "all" else int(fold)))
        classes = count_outputs(self.fingerprint.labels)
        channels = config.input_channels(self.plan, len(self.fingerprint.channels), classes)
        parts = self.trainer(self.plan, config, self.device, channels, classes)
        if why_not := why_not_rebuilt(parts.network, self.plan.network, channels, classes):
            raise InputError(
                f"the trainer {self.trainer.name} trains another network than the plan's {self.plan.network.builder}, "
                f"so its checkpoints could not be used: {why_not}",
                remedy="Give that network a name and a planner (docs/extending/network.md), and plan with it.",
            )
        return parts

    def record(self, fold: FoldName) -> FoldRecord:
        """Return what a training of this fold depends on."""
        record = record_now(self.fingerprint, self.splits, self.plan, self.config, fold)
        masks = first_stage_hash(self.space, self.plan, self.trainer.name, self.splits, self.dataset)
        return replace(record, first_stage=masks)

    def introduce(self) -> None:
        """Say what begins, once all is checked."""
        precision = reduced_precision(self.device) if self.config.amp else None
        together = f", with {self.ranks.world} processes" if self.ranks.world > 1 else ""
        self.console.say(f"Training {self.run.name} on {describe(self.device, precision)}{together}.")
        if self.device.type != "cuda":
            return
        self.console.say(compiled.in_words(self.config, self.plan, self.device))
        needed, free = self._card_gib
        if needed > free:
            self.console.warn(
                f"this training takes about {needed:.2g} GiB of the card, and {free:.2g} GiB are there for it. If it "
                "ends for want of memory, the message names a --memory to plan with."
            )
        if fault := cudnn_fault():
            self.console.warn(f"{fault}.")

    def setup(self, record: FoldRecord, fold: FoldName) -> FoldSetup:
        """Return the fold, to be trained on what `record` says."""
        cases, parts = Fold(tuple(record.train), tuple(record.val)), self.parts(record.config, fold)
        room_gib = None
        if self.device.type == "cuda" and self.config.hold_cases == "auto":
            needed, free = self._card_gib
            room_gib = max(0.0, SHARE * (free - needed))
        return FoldSetup(parts, self.plan, self.preprocessed, cases, fold, self.device, room_gib)

    @property
    def _card_gib(self) -> tuple[float, float]:
        """The GiB of the card that a training takes, and those that are there for it."""
        return card_gib(self.plan, len(self.fingerprint.labels), self.config), free_gib(self.device)


def open_job(
    dataset: PathLike | None,
    workspace: PathLike | None,
    planner: str | None,
    trainer: str | None,
    settings: Sequence[str],
    hours: float | None,
    device: str,
    jobs: int | None,
    left: Inventory,
    console: Console,
    ranks: Ranks = ALONE,
) -> Job:
    """Read what is planned; the arguments are those of `train`, and `ranks` the processes that train together.

    Raises:
        InputError: nothing is planned, the dataset has changed since, a case is not preprocessed or out of date, an
            unknown trainer, setting or device, clicks where they do not fit, a broken metric of a package, an
            impossible time, or channels that are missing, or can't be dropped, as the config says.
    """
    folder, space = places(dataset, workspace)
    metrics()  # a package whose metric is broken is told of now, not after a night of training
    plan = read_plan(space, planner)
    chosen = load_trainer(trainer or plan.trainer)
    config = chosen.config.with_settings(settings)
    if hours is not None and not 0 < hours <= 10_000:
        raise InputError(f"the time is {hours:g} hours", remedy="Give --hours above 0, such as 2 or 0.5.")
    where = choose_device(device)
    compiled.compile_mode(config, plan, where)  # refused now, where it is asked for and can't be had
    standing = ranks.on_main(lambda: read_standing(folder, space, left))
    config.require_clicks_fit(plan, count_outputs(standing.fingerprint.labels))
    if not getattr(chosen, "regions", False):
        refuse_regions(standing.fingerprint.labels, f"training by {chosen.name}, which does not say that it can,")
    _require_channels(standing.fingerprint, config)
    return Job(
        space=space,
        dataset=standing.dataset,
        fingerprint=standing.fingerprint,
        splits=standing.splits,
        plan=plan,
        trainer=chosen,
        config=config,
        run=space.run(plan.planner, chosen.name),
        preprocessed=ranks.on_main(lambda: _preprocessed(standing, plan, chosen.name, console)),
        device=where,
        workers=jobs or default_workers(where),
        console=console,
        ranks=ranks,
    )


def _require_channels(fingerprint: Fingerprint, config: TrainingConfig) -> None:
    """Refuse cases that lack a channel where the training drops none, and dropping the only channel."""
    if config.channel_dropout and len(fingerprint.channels) == 1:
        problem = f"channel_dropout is {config.channel_dropout:g}, and there is one channel, {fingerprint.channels[0]}"
        raise InputError(problem, remedy="Leave --set channel_dropout out.")
    lacking = [case for case, summary in fingerprint.cases.items() if summary.missing]
    if lacking and not config.channel_dropout:
        names = listed([name for n, name in enumerate(fingerprint.channels) if _lacks(fingerprint, n)])
        raise InputError(
            f"{listed(lacking)} lack a channel ({names}), and this training would not teach the network to do without",
            remedy=f"Add --set {ADVISED_DROPOUT}, or add the scans.",
        )


def _lacks(fingerprint: Fingerprint, channel: int) -> bool:
    return any(channel in summary.missing for summary in fingerprint.cases.values())


def settle(left: Inventory, console: Console) -> None:
    """Say what is left out before a training begins, as its end may be days away.

    Raises:
        DatasetError: something is, and that is not wanted.
    """
    left.require_nothing()
    if left.unwanted:
        console.warn(left.text())


def _preprocessed(standing: Standing, plan: Plan, trainer: str, console: Console) -> Path:
    """Return the folder of preprocessed cases, all read once: damage shows before a night of training.

    Those of a cascade's second stage are made here, as they take the masks of a trained first one.

    Raises:
        InputError: a case is missing, out of date or damaged.
    """
    space, fingerprint = standing.space, standing.fingerprint
    folder = PreprocessedFolder(space.preprocessed(plan.voxels_hash))
    lacking = [case for case, summary in fingerprint.cases.items() if not folder.holds(case, summary.content)]
    if lacking:
        raise InputError(
            f"{len(lacking)} of {len(fingerprint.cases)} cases are not preprocessed for this plan, as {lacking[0]}",
            file=folder.folder,
            remedy=f"Run `{plan_command(space, plan.planner)}` again; it preprocesses what is missing.",
        )
    for case in fingerprint.cases:
        folder.verify(case)
    if not plan.first_stage:
        return folder.folder
    _require_first_stage(standing, plan, trainer)
    with console.progress("Adding the first stage's masks", len(fingerprint.cases)) as bar:
        made = with_first_stage(space, plan, trainer, standing.splits, standing.dataset, folder, bar.advance)
    return made.folder


def _require_first_stage(standing: Standing, plan: Plan, trainer: str) -> None:
    run, folds = first_stage_run(standing.space, plan, trainer), range(len(standing.splits.folds))
    why = f"{run.name} is not trained"
    held_out = {case for fold in standing.splits.folds for case in fold.val}
    if alone := sorted({case for fold in standing.splits.folds for case in fold.train} - held_out):
        problem = f"no fold leaves out {listed(alone)}, so that a cascade's first stage has no mask of it"
        raise InputError(problem, file=standing.space.splits, remedy="Let each case be validated in some fold.")
    if run.model.is_file():
        found = lacking(run, standing.space, standing.fingerprint, standing.splits, standing.dataset)
        if found is None:
            return
        why = found
    command = train_command(folds, plan.first_stage, trainer if trainer != plan.trainer else None)
    raise InputError(
        f"the cascade's first stage has no masks of all cases yet: {why}", remedy=f"Run `{command}` first."
    )
