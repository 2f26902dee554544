"""How far the trainings of a workspace are, by the files of their folds: words, time left and charts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.figures.charts import Chart
from vmseg_auto.figures.training_charts import dice_chart, loss_chart
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.paths import read_fingerprint, read_plan, read_splits, stale_folds
from vmseg_auto.workflows.progress import duration
from vmseg_auto.workflows.run_tables import read_history

_JUDGED = 5
"""Latest epochs by which the time left is estimated."""


@dataclass(frozen=True)
class FoldTraining:
    """How far a fold's training is.

    Args:
        folder: of the fold.
        done, epochs: how many epochs are done, and how many there will be.
        seconds: of each of the latest epochs.
        finished: whether its weights are there.
    """

    folder: FoldFolder
    done: int
    epochs: int
    seconds: tuple[float, ...]
    finished: bool

    @classmethod
    def read(cls, folder: FoldFolder) -> FoldTraining | None:
        """Read how far a fold is; None before its first epoch, and where its files can't be read."""
        with suppress(InputError, ValueError, KeyError):
            record = read_record(folder)
            rows = read_csv(folder.history) if folder.history.is_file() else []
            if record is not None:
                seconds = tuple(float(row["seconds"]) for row in rows[-_JUDGED:])
                return cls(folder, len(rows), record.config.epochs, seconds, folder.final.is_file())
        return None


def latest_folds(space: Workspace) -> list[FoldTraining]:
    """Return the folds of the run that was trained last, in their order; none before any training."""
    runs: dict[Path, float] = {}
    for record in space.root.glob("runs/*/*/fold_*/fold.json"):
        history = FoldFolder(record.parent).history
        with suppress(OSError):
            runs[record.parents[1]] = max(
                runs.get(record.parents[1], 0.0), (history if history.exists() else record).stat().st_mtime
            )
    if not runs:
        return []
    folds = Run(max(runs, key=lambda folder: runs[folder])).folds()
    return [training for fold in folds if (training := FoldTraining.read(fold))]


def sound_folds(space: Workspace, folds: Sequence[FoldTraining]) -> list[FoldTraining]:
    """Return the folds of a run that were trained on data and plan as they stand now.

    Raises:
        InputError: data, split or plan can't be read.
    """
    if not folds:
        return []
    run = Run(folds[0].folder.folder.parent)
    plan = read_plan(space, run.folder.parent.name)
    stale = stale_folds(run, read_fingerprint(space), read_splits(space), plan)
    return [fold for fold in folds if fold.folder.name not in stale]


def training_in_words(folds: Sequence[FoldTraining], count: int) -> str:
    """Return in words how far the folds of a split are.

    Args:
        count: how many folds the split has.
    """
    finished = sum(fold.finished for fold in folds if fold.folder.name != "all")
    words = [f"{finished} of {count} folds are trained"]
    words += [
        f"fold {fold.folder.name} has done {fold.done} of {fold.epochs} epochs" for fold in folds if not fold.finished
    ]
    return "; ".join(words) + "."


def time_left(folds: Sequence[FoldTraining], asked: Sequence[str]) -> str:
    """Return in words how long a running training will take; empty where nothing is known yet.

    Args:
        folds: as they stand.
        asked: names of the folds that the command trains.
    """
    by_name = {str(fold.folder.name): fold for fold in folds}
    measured = [fold for fold in folds if fold.seconds]
    if not measured:
        return ""
    current = next((fold for fold in measured if not fold.finished), measured[-1])
    epochs = sum(
        current.epochs if name not in by_name else by_name[name].epochs - by_name[name].done
        for name in asked
        if name not in by_name or not by_name[name].finished
    )
    return f"About {duration(epochs * statistics.mean(current.seconds))} left, and the validation of each fold."


def training_charts(folds: Sequence[FoldTraining]) -> list[Chart]:
    """Return the charts of the fold that is being trained, or of the one trained last: loss, and Dice."""
    begun = [fold for fold in folds if fold.done]
    if not begun:
        return []
    shown = next((fold for fold in begun if not fold.finished), begun[-1])
    try:
        history = read_history(shown.folder)
    except InputError:  # it is being replaced, or damaged, which the commands will tell
        return []
    return [loss_chart([history]), dice_chart(shown.folder.name, history)]
