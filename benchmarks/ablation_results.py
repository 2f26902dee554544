"""What each trained fold of the ablation gave, and where it was made: one JSON file a fold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results import Machine, our_versions, this_machine
from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.training.overfitting import overfitting_checks
from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.json_codec import Stored


@dataclass(frozen=True, order=True)
class Protocol:
    """What all rows that are compared share.

    Args:
        memory_gb: budget of the plan.
        epochs, steps: of each fold; steps are those of an epoch.
    """

    memory_gb: float
    epochs: int
    steps: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.memory_gb:g}GB_{self.epochs}x{self.steps}"


@dataclass(frozen=True)
class Cell:
    """One training: a fold of a row with a seed."""

    row: str
    seed: int
    fold: int

    def text(self) -> str:
        return f"{self.row}, seed {self.seed}, fold {self.fold}"


@dataclass(frozen=True)
class InputSource:
    """Where a training ran.

    Args:
        machine: its torch_threads are those of the training.
        device: such as "CPU", or the GPU's name.
        precision: such as "bfloat16".
        jobs: trainings side by side.
        versions: package -> version.
    """

    machine: Machine
    device: str
    precision: str
    jobs: int
    versions: dict[str, str]

    @classmethod
    def here(cls, device: str, amp: bool, jobs: int, threads: int = 1) -> InputSource:
        """This machine and these versions, on that device ("cpu", "auto" ...), so many threads for each training."""
        from vmseg_auto.utils.devices import choose_device, describe, reduced_precision

        where = choose_device(device)
        words = describe(where, reduced_precision(where) if amp else None).split(", ")
        return cls(replace(this_machine(), torch_threads=threads), words[0], words[-1], jobs, our_versions())

    def text(self) -> str:
        versions = ", ".join(f"{package} {number}" for package, number in self.versions.items())
        side = "one training at a time" if self.jobs == 1 else f"{self.jobs} trainings side by side"
        return f"{self.machine.text()}; trained on {self.device} in {self.precision}, {side}; {versions}."


@dataclass(frozen=True)
class Scores:
    """What a finished fold gave.

    Args:
        dice: validation case -> Dice, mean over the labels.
        patients: validation case -> patient.
        train_dice, gap: the overfitting monitor's last; None where nothing was monitored.
        seconds: of all epochs together; predicting the validation cases comes on top.
    """

    dice: dict[str, float]
    patients: dict[str, str]
    train_dice: float | None
    gap: float | None
    seconds: float


@dataclass(frozen=True)
class FoldResult(Stored):
    """A training that was begun.

    Args:
        protocol, cell: which.
        trainer, planner, settings: of its row.
        config: of the training, as JSON.
        made: where; more than one, if it went on elsewhere.
        scores: None until it is finished.
    """

    protocol: Protocol
    cell: Cell
    trainer: str
    planner: str
    settings: tuple[str, ...]
    config: dict[str, Any]
    made: tuple[InputSource, ...]
    scores: Scores | None = None
    schema: int = 1

    def begun_at(self, origin: InputSource) -> FoldResult:
        """The same, begun or going on at `origin`."""
        return self if self.made[-1:] == (origin,) else replace(self, made=(*self.made, origin))


def path_of(work: Path, protocol: Protocol, cell: Cell) -> Path:
    return work / "ablation" / "results" / protocol.name / cell.row / f"seed_{cell.seed}_fold_{cell.fold}.json"


def workspace_of(work: Path, protocol: Protocol, cell: Cell) -> Path:
    """All folds of a row with one seed share a workspace."""
    return work / "ablation" / "workspaces" / protocol.name / cell.row / f"seed_{cell.seed}"


def load(work: Path, protocol: Protocol, cell: Cell) -> FoldResult | None:
    """None where the training was never begun."""
    path = path_of(work, protocol, cell)
    return read_stored(FoldResult, path) if path.is_file() else None


def load_all(work: Path) -> list[FoldResult]:
    """Everything begun so far."""
    paths = sorted((work / "ablation" / "results").glob("*/*/*.json"))
    return [read_stored(FoldResult, path) for path in paths]


def save(work: Path, result: FoldResult) -> None:
    """Whole or not at all."""
    write_json(path_of(work, result.protocol, result.cell), result.to_json())


def read_scores(fold: FoldFolder) -> Scores:
    """The scores of a finished and validated fold."""
    table = pd.read_csv(fold.validation / "metrics.csv", dtype={"case": str, "patient": str})
    cases = table.groupby(["case", "patient"], as_index=False)[["dice"]].mean().to_dict("records")
    history = pd.read_csv(fold.history)
    checks = overfitting_checks(
        [{str(name): value for name, value in row.items()} for row in history.to_dict("records")]
    )
    return Scores(
        dice={row["case"]: float(row["dice"]) for row in cases},
        patients={row["case"]: row["patient"] for row in cases},
        train_dice=checks[-1].train if checks else None,
        gap=checks[-1].gap if checks else None,
        seconds=float(history["seconds"].sum()),
    )
