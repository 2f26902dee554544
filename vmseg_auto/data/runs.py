"""The folders of a trained model and of its folds, and the files in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from numbers import Integral
from pathlib import Path

from vmseg_auto.data.dataset import Splits
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.console import quoted
from vmseg_auto.utils.errors import InputError

FoldName = int | str
"""0 to 4, or "all"."""
_OPTIONS = ("--planner", "--trainer", "-w")


def chosen_folds(folds: Iterable[FoldName]) -> list[FoldName]:
    """Return folds as a caller names them, each once, in their order.

    Raises:
        InputError: no fold is named, or something that is none.

    Example:
        >>> chosen_folds([1, "all", 1])
        [1, 'all']
    """
    remedy = 'Give a list of folds, such as [0, 1] or ["all"].'
    if isinstance(folds, (str, bytes)) or not isinstance(folds, Iterable):
        raise InputError(f"folds is {folds!r}, and a list is wanted", remedy=remedy)
    chosen = list(dict.fromkeys(_fold_name(fold, remedy) for fold in folds))
    if not chosen:
        raise InputError("no fold is named", remedy=remedy)
    return chosen


def _fold_name(fold: object, remedy: str) -> FoldName:
    if isinstance(fold, str) and fold == "all":
        return fold
    number = int(fold) if isinstance(fold, str) and fold.isdecimal() else fold
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
        raise InputError(f"{fold!r} is no fold", remedy=remedy)
    return int(number)


@dataclass(frozen=True)
class FoldFolder:
    """One fold of a run."""

    folder: Path

    @property
    def name(self) -> FoldName:
        text = self.folder.name.removeprefix("fold_")
        return text if text == "all" else int(text)

    @property
    def lock(self) -> Path:
        """Held by the command that trains or validates the fold. It lies beside the folder, which --fresh removes."""
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def record(self) -> Path:
        """What the fold is trained on (config, plan, cases) and whether it is finished."""
        return self.folder / "fold.json"

    @property
    def init(self) -> Path:
        """The other model's weights that the training started from, if it did."""
        return self.folder / "init.json"

    @property
    def fresh(self) -> Path:
        """There while the command that has begun the fold anew has not ended."""
        return self.folder / "fresh.json"

    @property
    def aside(self) -> Path:
        """The finished fold that --fresh replaces, until the new one is finished."""
        return self.folder.with_name(f"{self.folder.name}.before")

    @property
    def latest(self) -> Path:
        """State of an unfinished training."""
        return self.folder / "checkpoint_latest.pt"

    @property
    def previous(self) -> Path:
        """The state before that, for the day when the latest one is damaged."""
        return self.folder / "checkpoint_previous.pt"

    @property
    def final(self) -> Path:
        """Weights of a finished training."""
        return self.folder / "checkpoint_final.safetensors"

    @property
    def history(self) -> Path:
        return self.folder / "history.csv"

    @property
    def curve(self) -> Path:
        return self.folder / "curve.png"

    @property
    def validation(self) -> Path:
        """Masks of the fold's validation cases, and their scores."""
        return self.folder / "validation"

    def mask(self, case: str, ending: str) -> Path:
        """Return the path of a case's predicted mask, in a file of the dataset's ending."""
        return self.validation / f"{case}{ending}"

    def probabilities(self, case: str) -> Path:
        """Return the path of a case's foreground probabilities (data/probabilities.py)."""
        return self.validation / "probabilities" / f"{case}.npz"

    def mask_deltas(self, case: str) -> Path:
        """Return the path of a case's masks by the other budgets (data/mask_deltas.py)."""
        return self.validation / "budgets" / f"{case}.npz"

    def mask_without(self, case: str, channel: int, ending: str) -> Path:
        """Return the path of a case's mask, predicted without the channel of this number."""
        return self.validation / "without" / f"{case}_{channel:04d}{ending}"

    @property
    def budgets(self) -> Path:
        """Dice of each validation case by each budget that was tried."""
        return self.validation / "budgets.json"

    @property
    def validation_record(self) -> Path:
        """How certain the fold is of each validation case, and which files its scores were computed from."""
        return self.validation / "cases.json"


@dataclass(frozen=True)
class Run:
    """One planner's plan trained by one trainer: a model."""

    folder: Path

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def model(self) -> Path:
        return self.folder / "model.json"

    @property
    def cross_validation(self) -> Path:
        """Scores of all folds' validation cases together (metrics.csv, metrics.json)."""
        return self.folder / "cross_validation"

    @property
    def confidence(self) -> Path:
        """Every validation case, the least certain first, with the Dice that was to be expected."""
        return self.cross_validation / "confidence.csv"

    @property
    def confidence_figures(self) -> Path:
        """What that certainty is worth, in figures."""
        return self.cross_validation / "confidence.json"

    @property
    def confidence_picture(self) -> Path:
        return self.cross_validation / "confidence.png"

    @property
    def froc(self) -> Path:
        """Lesions found and false ones at every threshold of the validation probabilities."""
        return self.cross_validation / "froc.csv"

    @property
    def components(self) -> Path:
        """Every predicted component of every validation case, with the probability that it is a lesion."""
        return self.cross_validation / "components.csv"

    @property
    def lesion_filter(self) -> Path:
        """What these probabilities are worth, in figures."""
        return self.cross_validation / "lesion_filter.json"

    @property
    def missing_channels(self) -> Path:
        """Dice of every validation case, as it was scanned and without each channel."""
        return self.cross_validation / "missing_channels.csv"

    @property
    def label_check(self) -> Path:
        """Every validation case, the one first whose mask its prediction contradicts most."""
        return self.cross_validation / "label_check.csv"

    @property
    def volumes(self) -> Path:
        """Volumes of every validation case: as outlined, as measured, and their intervals by the other patients."""
        return self.cross_validation / "volumes.csv"

    @property
    def volumes_picture(self) -> Path:
        return self.cross_validation / "volumes.png"

    def require_model(self) -> None:
        """Refuse by an InputError what is no model's folder, and say what it may be instead."""
        if not self.model.is_file():
            problem = "this is no model folder: it has no model.json"
            raise InputError(problem, file=self.folder, remedy=self._other_than_model())

    def _other_than_model(self) -> str:
        """Describe what to do with a folder that was taken for a model's."""
        inside = [path.parent for kind in ("", "vmseg/") for path in self.folder.glob(f"{kind}runs/*/*/model.json")]
        if inside:
            return f"Give a model within it, such as {sorted(inside)[0]}."
        if (self.folder.parent / self.model.name).is_file():
            return f"This is a fold: give its model, {self.folder.parent}. `vmseg_predict --folds` chooses folds."
        if (self.folder / "plans.json").is_file():
            return f"It looks like one of nnU-Net: `vmseg_model import {self.folder} -o MODEL` makes a model of it."
        if (self.folder / "manifest.json").is_file():
            return "It looks like a model's zip that was unpacked: give the zip itself."
        return "Give WORKSPACE/runs/PLANNER/TRAINER, which vmseg_train writes, or a model's zip."

    def fold(self, fold: FoldName) -> FoldFolder:
        return FoldFolder(self.folder / f"fold_{fold}")

    def folds(self) -> list[FoldFolder]:
        """Return the folds that stand on disk, `all` last."""
        found = [FoldFolder(p) for p in sorted(self.folder.glob("fold_*")) if _is_fold(p)]
        return sorted(found, key=lambda f: math.inf if f.name == "all" else int(f.name))

    def finished_folds(self) -> list[FoldFolder]:
        return [fold for fold in self.folds() if fold.final.is_file()]

    def unfinished_folds(self, count: int) -> list[int]:
        """Return which of that many numbered folds are not finished."""
        return [number for number in range(count) if not self.fold(number).final.is_file()]

    def split_folds(self) -> int | None:
        """Return how many folds the split of this run's workspace has; None of a model in no workspace.

        Raises:
            InputError: splits.json is damaged.
        """
        splits = (self._workspace() or self.folder) / "splits.json"
        return len(read_stored(Splits, splits).folds) if splits.is_file() else None

    def gone_folds(self) -> list[FoldFolder]:
        """Return the numbered folds that the cross-validation had, and that have no weights any more.

        A fold that --fresh trains anew has those that are kept aside.
        """
        if not self.cross_validation.is_dir():
            return []
        there = [int(fold.name) + 1 for fold in self.folds() if fold.name != "all"]
        expected = (self.fold(number) for number in range(max(self.split_folds() or 0, *there, 0)))
        weights = ((fold, (fold.final, fold.latest, fold.aside)) for fold in expected)
        return [fold for fold, places in weights if not any(map(Path.exists, places))]

    def usable_folds(self, wanted: Iterable[FoldName] | None) -> list[FoldFolder]:
        """Return the finished folds to predict with: those wanted, else all numbered ones, else `all`.

        Raises:
            InputError: this is no model's folder, no fold is finished, one that is wanted is not, or none is named.
        """
        self.require_model()
        finished = {str(fold.name): fold for fold in self.finished_folds()}
        if wanted is not None:
            wanted = chosen_folds(wanted)
            missing = [str(name) for name in wanted if str(name) not in finished]
            if missing:
                raise self._without_fold(missing, list(finished))
            return [finished[str(name)] for name in wanted]
        if not finished:
            remedy = self._training_first([0], "Give another model, or the whole of this one.")
            raise InputError("no fold of this model is finished", file=self.folder, remedy=remedy)
        return [fold for name, fold in finished.items() if name != "all"] or [finished["all"]]

    def train_command(self, folds: Iterable[FoldName | str], settings: Sequence[str] = ()) -> str | None:
        """Return the command that trains folds of this run, from any folder; None of a model in no workspace."""
        workspace, planner, trainer = self._workspace(), self.folder.parent.name, self.folder.name
        return train_command(folds, planner, trainer, workspace, settings) if workspace else None

    def _workspace(self) -> Path | None:
        """Return the workspace that the run lies in; None of a model in none."""
        folder = self.folder.resolve()
        planned = folder.parent.parent.name == "runs" and (folder.parents[2] / "fingerprint.json").is_file()
        return folder.parents[2] if planned else None

    def _without_fold(self, missing: Sequence[str], finished: Sequence[str]) -> InputError:
        """Return what is wrong with asking for folds that are not finished, or that the model can't have."""
        count, there = self.split_folds(), ", ".join(finished) or "none"
        own = {"all", *finished, *map(str, range(count or 0))}
        if count is None:
            problem, remedy = f"this model has no fold {', '.join(missing)}; it has {there}", "Choose other folds."
        elif unknown := [fold for fold in missing if fold not in own]:
            split = f"the split has {count} folds, 0 to {count - 1}; finished: {there}"
            problem, remedy = f"there is no fold {', '.join(unknown)}: {split}", "Choose other folds."
        else:
            problem = f"not finished: fold {', '.join(missing)}; finished: {there}"
            remedy = self._training_first(missing, "Choose other folds.")
        return InputError(problem, file=self.folder, remedy=remedy)

    def _training_first(self, folds: Sequence[FoldName | str], otherwise: str) -> str:
        command = self.train_command(folds)
        return f"Train with `{command}` first. {otherwise}" if command else otherwise


def train_command(
    folds: Iterable[FoldName | str],
    planner: str | None = None,
    trainer: str | None = None,
    workspace: Path | None = None,
    settings: Sequence[str] = (),
) -> str:
    """Return the command that trains folds, with these options; None leaves an option out."""
    given = (planner, trainer and importable("trainers", trainer), workspace and quoted(workspace))
    options = "".join(f" {flag} {value}" for flag, value in zip(_OPTIONS, given, strict=True) if value)
    changed = f" --set {' '.join(map(quoted, settings))}" if settings else ""
    return f"vmseg_train {' '.join(map(str, folds))}{options}{changed}"


def importable(kind: str, name: str) -> str:
    """Return a planner's or trainer's name for the command line: one of the user's own needs more than its name."""
    return name if name in entry_points(group=f"vmseg_auto.{kind}").names else "MODULE:CLASS"


def _is_fold(path: Path) -> bool:
    return path.is_dir() and names_fold(path)


def names_fold(path: Path) -> bool:
    """Return whether a path is named as a fold's folder is."""
    text = path.name.removeprefix("fold_")
    return path.name.startswith("fold_") and (text == "all" or text.isdecimal())
