"""Every file of a workspace looked at: what is damaged, stale or left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Dataset, Splits, beside_folds, check_splits
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.probabilities import read_probabilities
from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.confidence import ValidationRecord
from vmseg_auto.evaluation.learning_curve_record import LearningCurve
from vmseg_auto.evaluation.scores import ScoreSummary
from vmseg_auto.models.checkpoints import load_checkpoint
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.models.fold_record import FoldRecord, FreshStart, settings_of
from vmseg_auto.models.load import read_info, require_own
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import Selection
from vmseg_auto.networks.transfer_record import Initialisation
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.inference_budget import Trials
from vmseg_auto.planning.plan import Plan
from vmseg_auto.selection.lesion_filter_record import FilterFigures
from vmseg_auto.utils.atomic import leftovers, read_json
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.disk import in_words
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.locks import holder
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.outdated import report_outdated
from vmseg_auto.workflows.paths import Source, accepted_patients
from vmseg_auto.workflows.run_tables import (
    read_confidence,
    read_cross_validation,
    read_froc,
    read_history,
    read_label_check,
    read_validation_volumes,
)
from vmseg_auto.workflows.staleness import Standing, changes_since, file_hashes, plan_again, require_same_cohort
from vmseg_auto.workflows.summary import memory_needed
from vmseg_auto.workflows.validation_cases import ValidationCases, validation_cases

T = TypeVar("T")
P = ParamSpec("P")
Reader = Callable[[Any, str], object]
_CHECKPOINTS = (".pt", ".safetensors")
_READERS: dict[str, Reader] = {
    "dataset.json": Source.from_json,
    "fingerprint.json": Fingerprint.from_json,
    "fingerprint_shared.json": Fingerprint.from_json,
    "fingerprint_merged.json": Fingerprint.from_json,
    "splits.json": Splits.from_json,
    "selection.json": Selection.from_json,
    "plan.json": Plan.from_json,
    "model.json": ModelInfo.from_json,
    "fold.json": FoldRecord.from_json,
    "fresh.json": FreshStart.from_json,
    "init.json": Initialisation.from_json,
    "budgets.json": Trials.from_json,
    "cases.json": ValidationRecord.from_json,
    "learning_curve.json": LearningCurve.from_json,
    "lesion_filter.json": FilterFigures.from_json,
    "metrics.json": ScoreSummary.from_json,
}


class Checkup:
    """Checks a workspace without changing it.

    Args:
        space: the workspace.
        dataset: its dataset's folder; where the workspace remembers it to be, unless given.
        thorough: read every file wholly, those of the dataset too.
        jobs: threads.
        left: what of the dataset is not used is noted here.
        console: where progress goes.

    Attributes:
        findings: an error for each thing that wants attention.
        notes: what is worth knowing, in words.
    """

    def __init__(
        self, space: Workspace, dataset: Path | None, thorough: bool, jobs: int, left: Inventory, console: Console
    ) -> None:
        self.space, self.dataset, self.thorough, self.jobs = space, dataset, thorough, jobs
        self.left, self.console = left, console
        self.findings: list[VmsegError] = []
        self.notes: list[str] = []

    def run(self) -> None:
        """Check everything."""
        self._locks()
        values = dict(self._values())
        fingerprint, splits = values.get(self.space.fingerprint), values.get(self.space.splits)
        plans = [
            plan for path in map(self.space.plan, self.space.plans()) if isinstance(plan := values.get(path), Plan)
        ]
        self._tables()
        self._checkpoints()
        self._leftovers(plans)
        if not isinstance(fingerprint, Fingerprint):
            return
        for plan in plans:
            self._preprocessed(plan, fingerprint)
            needed = memory_needed(plan, len(fingerprint.labels))
            self.notes.append(f"the plan of {plan.planner} is for {plan.memory_gb:g} GB; {needed}")
        source = values.get(self.space.dataset)
        folder = self.dataset or (Path(source.folder) if isinstance(source, Source) else None)
        if folder is None or self.space.dataset not in values:
            return
        data = self._try(self._cohort, folder, fingerprint)
        if data is None:
            return
        self._sources(folder, data, fingerprint)
        if isinstance(splits, Splits):
            self._try(self._folds, data, fingerprint, splits, plans)

    def _try(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | None:
        """Return what `work` gives; None where it fails, which is a finding."""
        try:
            return work(*args, **options)
        except VmsegError as error:
            self.findings.append(error)
            return None

    def _locks(self) -> None:
        locks = [self.space.lock, *(fold.lock for fold in self.space.fold_folders())]
        owners = [holder(lock) for lock in locks]
        for owner in dict.fromkeys(owner for owner in owners if owner):
            self.notes.append(f"at work: {owner}; what it has not finished yet may be told of below")

    def _values(self) -> Iterator[tuple[Path, object]]:
        """Yield every JSON file that can be read, and what it holds."""
        for path in sorted(self.space.root.rglob("*.json")):
            if self.space.root / "preprocessed" in path.parents or path.name.startswith("."):
                continue
            value = self._try(_read, path)
            if value is not None:
                yield path, value

    def _tables(self) -> None:
        """Read every table of the runs, as the report does."""
        for run in self.space.runs():
            self._try(read_cross_validation, run)
            for path, read in (
                (run.confidence, read_confidence), (run.froc, read_froc), (run.label_check, read_label_check),
                (run.volumes, read_validation_volumes),
            ):  # fmt: skip
                if path.is_file():
                    self._try(read, run)
            for fold in run.folds():
                if fold.history.is_file():
                    self._try(read_history, fold)

    def _checkpoints(self) -> None:
        files = [
            path
            for fold in self.space.fold_folders()
            for path in sorted(fold.folder.glob("checkpoint_*"))
            if path.suffix in _CHECKPOINTS
        ]
        with self.console.progress("Reading checkpoints", len(files)) as progress:
            for path in files:
                self._try(_read_checkpoint, path)
                progress.advance()
        for run in self.space.runs():
            for fold in run.gone_folds():
                if not fold.folder.is_dir():
                    again = run.train_command([fold.name], settings_of(run, fold.name))
                    self.notes.append(f"{fold.folder} is gone; `{again}` trains it again")
        for fold in self.space.fold_folders():
            if fold.final.is_file() and not fold.record.is_file():
                problem, remedy = "it is not recorded what this fold was trained on", "Train it again with --fresh."
                self.findings.append(VmsegError(problem, file=fold.folder, remedy=remedy))
            weights = fold.final, fold.latest, fold.previous
            if fold.record.is_file() and not any(map(Path.is_file, weights)) and holder(fold.lock) is None:
                run = Run(fold.folder.parent)
                command = run.train_command([fold.name], settings_of(run, fold.name))
                self.notes.append(f"{fold.folder} has no weights" + (f"; `{command}` trains it" if command else ""))
            if fold.latest.is_file() and not fold.final.is_file() and holder(fold.lock) is None:
                self.notes.append(f"{fold.folder} is not trained to its end; the command that began it goes on with it")
            if fold.aside.is_dir() and holder(fold.lock) is None:
                self.notes.append(f"{fold.aside} is the fold from before --fresh; it goes when the new one is finished")

    def _preprocessed(self, plan: Plan, fingerprint: Fingerprint) -> None:
        folder = PreprocessedFolder(self.space.preprocessed(plan.voxels_hash))
        due = [name for name, case in fingerprint.cases.items() if not folder.holds(name, case.content)]
        if due:
            problem = f"not preprocessed for the plan of {plan.planner}, or not as they are now: {listed(due)}"
            self.findings.append(VmsegError(problem, file=folder.folder, remedy=plan_again(self.space, plan.planner)))
        cases = sorted(set(fingerprint.cases) - set(due))
        check: Callable[[str], object] = folder.verify if self.thorough else folder.load
        with self.console.progress("Reading preprocessed cases", len(cases)) as progress:
            for case in cases:
                self._try(check, case)
                progress.advance()

    def _cohort(self, folder: Path, fingerprint: Fingerprint) -> Dataset:
        data = read_dataset(folder).with_patients(accepted_patients(self.space))
        require_same_cohort(data, fingerprint, self.space)
        self.left.add_all(data.left_out)
        return data

    def _sources(self, folder: Path, data: Dataset, fingerprint: Fingerprint) -> None:
        """Check whether the dataset is still the one that was planned for."""
        contents = (self._try(file_hashes, data, self.jobs) if self.thorough else None) or {}
        changes = changes_since(fingerprint, data, contents)
        if changes:
            problem = f"the dataset has changed since it was planned for ({changes.text()})"
            self.findings.append(VmsegError(problem, file=folder, remedy=plan_again(self.space)))

    def _folds(self, data: Dataset, fingerprint: Fingerprint, splits: Splits, plans: list[Plan]) -> None:
        check_splits(splits, data.patients, str(self.space.splits))
        self.left.add_all(beside_folds(splits, data.patients))
        standing = Standing(self.space, data, fingerprint, splits)
        for plan in plans:
            self._try(report_outdated, standing, plan, _ToCheckup(self))
        for run in self.space.runs() if self.thorough else ():
            for validation in validation_cases(run, fingerprint, splits, data):
                self._validation(validation, len(fingerprint.labels))

    def _validation(self, validation: ValidationCases, classes: int) -> None:
        """Read the predictions of a fold's validation cases."""
        due = {case.id for case in validation.unpredicted()}
        for name in sorted(set(validation.known) - due):
            shape = validation.content[name].shape
            self._try(read_mask, validation.files[name][0], name)
            self._try(read_probabilities, validation.folder.probabilities(name), name, classes - 1, shape)

    def _leftovers(self, plans: list[Plan]) -> None:
        if holder(self.space.lock) is None:
            if self.space.decoded.exists():
                self.notes.append(f"{self.space.decoded} was left by a killed command; the next one removes it")
            if left := leftovers(self.space.root, below=lambda path: not _at_work(path)):
                self.notes.append(
                    f"{len(left)} unfinished files are left of killed commands; the next ones remove them"
                )
        if len(plans) < len(self.space.plans()):
            return  # a plan that can't be read may be the one that a folder belongs to
        wanted = {plan.voxels_hash for plan in plans}
        for folder in sorted(self.space.root.glob("preprocessed/*")):
            if folder.is_dir() and folder.name.partition("_")[0] not in wanted:  # a cascade's names its first stage too
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                self.notes.append(f"{folder} belongs to no plan any more; deleting it frees {in_words(size)}")


class _ToCheckup(Silent):
    """Adds warnings to the findings, and other messages to the notes."""

    def __init__(self, checkup: Checkup) -> None:
        self._checkup = checkup

    def say(self, text: str) -> None:
        self._checkup.notes.append(text)

    def warn(self, text: str) -> None:
        self._checkup.findings.append(VmsegError(text.rstrip(".")))


def _at_work(folder: Path) -> bool:
    return folder.name.startswith("fold_") and holder(FoldFolder(folder).lock) is not None


def _read(path: Path) -> object:
    data = read_json(path)
    return _READERS[path.name](data, str(path)) if path.name in _READERS else data


def _read_checkpoint(path: Path) -> None:
    """Read the state of a training, or the weights of a finished fold, which must be those of this fold of this model.

    Raises:
        InputError: it is damaged, or another's.
    """
    if path.suffix == ".pt":
        load_checkpoint(path)
        return
    checkpoint, fold = load_final(path), FoldFolder(path.parent)
    try:
        info = read_info(Run(fold.folder.parent))
    except InputError:
        return  # a broken model.json is named by itself
    require_own(checkpoint, info, fold.name, path)
