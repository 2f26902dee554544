"""The folders and files of a workspace. With runs.py the only place that names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vmseg_auto.data.runs import FoldFolder, Run, names_fold
from vmseg_auto.utils.errors import InputError

USUAL = "vmseg"
"""What a workspace in its dataset's folder is called, unless it is named."""
_FOLDS = ("runs/*/*/fold_*", "learning_curve/*/*/*/fold_*")


@dataclass(frozen=True)
class CurveFolder:
    """A learning curve, and the trainings on growing groups of patients that it is drawn through."""

    folder: Path

    @property
    def summary(self) -> Path:
        return self.folder / "learning_curve.json"

    @property
    def table(self) -> Path:
        """Dice of each validation case for each number of patients trained on."""
        return self.folder / "learning_curve.csv"

    @property
    def picture(self) -> Path:
        return self.folder / "learning_curve.png"

    def size(self, patients: int) -> Run:
        """Return the run of trainings on that many patients."""
        return Run(self.folder / f"n_{patients}")


@dataclass(frozen=True)
class Workspace:
    """Everything made from one dataset."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the command that writes what all share: whatever lies outside the folds' folders."""
        return self.root / "workspace.lock"

    @property
    def dataset(self) -> Path:
        """Where the dataset lies and what it holds."""
        return self.root / "dataset.json"

    @property
    def fingerprint(self) -> Path:
        return self.root / "fingerprint.json"

    @property
    def shared_fingerprint(self) -> Path:
        """The same without any name, to be given to other hospitals."""
        return self.root / "fingerprint_shared.json"

    @property
    def merged_fingerprint(self) -> Path:
        """Of the cohorts of several hospitals, where they are planned for together."""
        return self.root / "fingerprint_merged.json"

    @property
    def splits(self) -> Path:
        return self.root / "splits.json"

    @property
    def selection(self) -> Path:
        """Which run or ensemble of runs predicts."""
        return self.root / "selection.json"

    @property
    def report(self) -> Path:
        """The report of the workspace, unless it is asked for elsewhere."""
        return self.root / "report.html"

    @property
    def logs(self) -> Path:
        """One file for each of the latest commands."""
        return self.root / "logs"

    @property
    def decoded(self) -> Path:
        """Cases between check and preprocessing; gone when the command ends."""
        return self.root / "decoded"

    def plan(self, planner: str) -> Path:
        return self.root / "plans" / planner / "plan.json"

    def plans(self) -> list[str]:
        """List the planners whose plans stand here."""
        return sorted(p.parent.name for p in self.root.glob("plans/*/plan.json"))

    def tracking(self, logger: str) -> Path:
        """Return the folder where a logger of `vmseg_train --logger` may write."""
        return self.root / "tracking" / logger

    def preprocessed(self, voxels_hash: str) -> Path:
        """Return the folder of cases preprocessed with one set of voxel-deciding numbers."""
        return self.root / "preprocessed" / voxels_hash

    def run(self, planner: str, trainer: str) -> Run:
        return Run(self.root / "runs" / planner / trainer)

    def runs(self) -> list[Run]:
        return [Run(p.parent) for p in sorted(self.root.glob("runs/*/*/model.json"))]

    def fold_folders(self) -> list[FoldFolder]:
        """Return every fold on disk, or locked by some command; those of learning curves too."""
        found = [path for kind in _FOLDS for path in self.root.glob(kind)]
        names = {path.with_suffix("") if path.suffix == ".lock" else path for path in found}
        return [FoldFolder(path) for path in sorted(names) if names_fold(path)]

    def learning_curve(self, planner: str, trainer: str) -> CurveFolder:
        return CurveFolder(self.root / "learning_curve" / planner / trainer)

    def require_planned(self) -> None:
        """Raise InputError where nothing is planned yet."""
        if not self.fingerprint.is_file():
            raise InputError(
                "nothing is planned in this workspace yet",
                file=self.root,
                remedy="Run `vmseg_plan_and_preprocess` first. Planned elsewhere? Name the dataset with -d, or its "
                "workspace with -w.",
            )


@dataclass(frozen=True)
class OutputFolder:
    """A folder outside workspaces that a command writes to."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the command that writes to it."""
        return self.folder / "vmseg.lock"

    @property
    def sources(self) -> Path:
        """Which scan each case is: there in every folder of predicted masks."""
        return self.folder / "sources.csv"

    @property
    def failures(self) -> Path:
        """Which scans have no mask, and why: there where some have none."""
        return self.folder / "failed.csv"

    @property
    def replaced(self) -> Path:
        """Masks corrected by hand that `--overwrite-edited` has set aside."""
        return self.folder / "replaced"

    @property
    def report(self) -> Path:
        """The report of predictions, unless it is asked for elsewhere."""
        return self.folder / "report.html"

    @property
    def logs(self) -> Path:
        """Logs of commands that work without a workspace."""
        return self.folder / "logs"


def workspace_root(dataset: str | Path | None, workspace: str | Path | None) -> Path:
    """Return the workspace's folder: as given, else `vmseg` in the dataset's, which is the current one unless given."""
    if workspace is not None:
        return Path(workspace)
    return (Path(dataset) if dataset is not None else Path.cwd()) / USUAL
