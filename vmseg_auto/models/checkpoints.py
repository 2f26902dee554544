"""The state of a training on disk, to go on from: files of torch.save, read without unpickling code."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from vmseg_auto.models.hashes import content_hash
from vmseg_auto.models.safe_archive import finite_tensors, load_archive
from vmseg_auto.models.step_record import StepLog
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import parse_json, replacing, sync_folder
from vmseg_auto.utils.errors import DamagedError, InputError
from vmseg_auto.utils.json_codec import NEWER, decode, encode, is_newer
from vmseg_auto.utils.labels import Labels

FORMAT = "vmseg_auto checkpoint"
SCHEMA = 3
REMEDY = (
    "Train this fold again with --fresh, or restore the file from a copy; to predict meanwhile, name other folds with "
    "--folds."
)


@dataclass(frozen=True)
class TrainingState:
    """What it takes to use a fold's network, or to train on.

    Args:
        epoch: epochs done.
        weights: the state dict to predict with, float32 on the CPU.
        history: one row an epoch.
        optimizer: the optimizer's state dict; empty in a finished fold's checkpoint, as all that follows.
        live: the state dict to learn on from, where it is another.
        best: the weights at the best check, of a training with early stopping; empty in all others.
        scaler: the state of the gradients' scale in float16; empty elsewhere.
        lr_factor: what the learning rate is multiplied by since the training went back; 1 before.
        under_way: steps of the next epoch that are taken already, where the training was asked to stop within it.
    """

    epoch: int
    weights: dict[str, torch.Tensor]
    history: tuple[dict[str, float], ...]
    optimizer: dict[str, Any] = field(default_factory=dict)
    live: dict[str, torch.Tensor] = field(default_factory=dict)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    lr_factor: float = 1.0
    under_way: StepLog = field(default_factory=StepLog)


@dataclass(frozen=True, kw_only=True)
class Checkpoint(TrainingState):
    """A fold's state, and whose it is.

    Args:
        plan, config: what it was trained by.
        labels: label name -> value, background included.
        channels: channel names in order.
        trainer: the trainer's name.
        fold: fold number, or "all".
    """

    plan: Plan
    config: TrainingConfig
    labels: Labels
    channels: tuple[str, ...]
    trainer: str
    fold: int | str

    def about(self) -> dict[str, Any]:
        """Return what it was trained by and how, as JSON values: all but tensors and what an unfinished one needs."""
        return {
            "plan": self.plan.to_json(),
            "config": self.config.to_json(),
            "labels": encode(self.labels),
            "channels": list(self.channels),
            "trainer": self.trainer,
            "fold": self.fold,
            "epoch": self.epoch,
            "history": list(self.history),
        }

    @classmethod
    def from_about(cls, about: Any, weights: dict[str, torch.Tensor], path: Path, **state: Any) -> Self:
        """Build a checkpoint from what `about` returned.

        Args:
            about: as it was read from a file: anything may stand in it.
            weights: the state dict.
            path: of the file, for messages.
            state: the other fields, of an unfinished training.

        Raises:
            InputError: a value is missing or can't be; LookupError, TypeError, AttributeError mean the same.
        """
        return cls(
            plan=Plan.from_json(about["plan"], f"{path}: plan"),
            config=TrainingConfig.from_json(about["config"], f"{path}: config"),
            labels=decode(Labels, about["labels"], f"{path}: labels"),
            channels=decode(tuple[str, ...], about["channels"], f"{path}: channels"),
            trainer=decode(str, about["trainer"], f"{path}: trainer"),
            fold=about["fold"] if about["fold"] == "all" else decode(int, about["fold"], f"{path}: fold"),
            epoch=decode(int, about["epoch"], f"{path}: epoch"),
            weights=weights,
            # Not decoded: a history may hold NaN.
            history=tuple({str(name): value + 0 for name, value in row.items()} for row in about["history"]),
            **state,
        )


def save_checkpoint(path: Path, checkpoint: Checkpoint, keep: Path | None = None) -> None:
    """Write a checkpoint with its checksum, whole or not at all; it outlives a power cut from here on.

    Args:
        keep: where a checkpoint that stands at `path` goes, rather than being overwritten.

    Raises:
        VmsegError: the disk is full or not writable.
    """
    about = {
        **checkpoint.about(),
        "lr_factor": checkpoint.lr_factor,
        "under_way": encode(checkpoint.under_way),
    }
    content = {
        "format": FORMAT,
        "schema": SCHEMA,
        "about": json.dumps(about),
        "weights": {name: tensor.detach().cpu() for name, tensor in checkpoint.weights.items()},
        "optimizer": checkpoint.optimizer,
        "live": checkpoint.live,
        "best": {name: tensor.detach().cpu() for name, tensor in checkpoint.best.items()},
        "scaler": checkpoint.scaler,
    }
    buffer = io.BytesIO()  # writing to the file itself, torch.save hides a full disk in a RuntimeError
    torch.save({**content, "sha256": content_hash(content)}, buffer)
    with replacing(path, keep) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    sync_folder(path.parent)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, with `weights_only=True`: no code in it can run.

    Raises:
        DamagedError: the content is not what was written, or a weight is NaN or infinite.
        InputError: the file is missing, or no checkpoint of this program.
    """
    content = load_archive(path, missing="Train this fold first.", remedy=REMEDY)
    if not (isinstance(content, dict) and isinstance(content.get("format"), str) and content["format"] == FORMAT):
        raise InputError("this is no checkpoint of vmseg_auto", file=path, remedy=REMEDY)
    require_schema(content.get("schema"), SCHEMA, path)
    try:
        if content.pop("sha256", None) != content_hash(content):
            raise DamagedError("the checkpoint is damaged: its checksum is wrong", file=path, remedy=REMEDY)
        about = parse_json(content["about"], path, REMEDY)
        return Checkpoint.from_about(
            about,
            finite_tensors(content["weights"], "weights", path, REMEDY),
            path,
            optimizer=content["optimizer"],
            live=finite_tensors(content["live"], "live", path, REMEDY),
            best=finite_tensors(content["best"], "best", path, REMEDY),
            scaler=content["scaler"],
            lr_factor=decode(float, about["lr_factor"], f"{path}: lr_factor"),
            under_way=_steps(about["under_way"], f"{path}: under_way"),
        )
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DamagedError("the checkpoint is damaged or from elsewhere", file=path, remedy=REMEDY) from error


def require_schema(found: Any, known: int, path: Path) -> None:
    """Refuse a checkpoint of another version.

    Raises:
        InputError: its schema is not the known one.
    """
    if not isinstance(found, int) or found != known:
        raise InputError(
            f"the checkpoint has schema {found}, and this version reads {known}",
            file=path,
            remedy=NEWER if is_newer(found, known) else REMEDY,
        )


def load_newest(generations: Sequence[Path]) -> tuple[Checkpoint | None, list[DamagedError]]:
    """Load the newest state that is whole, and say what is wrong with those that are newer; None where there is none.

    Args:
        generations: where states of one training may lie, the newest first.

    Raises:
        DamagedError: there are files, and none is whole.
        InputError: as `load_checkpoint`, of what is not damage.
    """
    damaged: list[DamagedError] = []
    for path in generations:
        if not path.is_file():
            continue
        try:
            return load_checkpoint(path), damaged
        except DamagedError as error:
            damaged.append(error)
    if damaged:
        raise damaged[0]
    return None, []


def _steps(data: Any, where: str) -> StepLog:
    # Losses are not decoded: a skipped step's may be NaN.
    return StepLog(
        losses=tuple(loss + 0.0 for loss in data["losses"]),
        good=decode(tuple[bool, ...], data["good"], where),
        cases=decode(tuple[tuple[str, ...], ...], data["cases"], where),
    )
