"""Trained weights on disk, read without unpickling code."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vmseg_auto.models.safe_archive import finite_tensors, load_archive
from vmseg_auto.models.step_record import StepLog
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import parse_json, replacing, sync_folder
from vmseg_auto.utils.errors import DamagedError, InputError
from vmseg_auto.utils.json_codec import NEWER, decode, encode, is_newer

FORMAT = "vmseg_auto checkpoint"
SCHEMA = 2
WITHOUT_CHECKSUM = 1
"""The schema before there was one; it is still read."""
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
        optimizer: the optimizer's state dict; empty in a finished fold's checkpoint.
        live: the state dict to learn on from, where it is another; empty in a finished fold's checkpoint.
        best: the weights at the best look, of a training that stops on the gap; empty in all others.
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
    labels: dict[str, int]
    channels: tuple[str, ...]
    trainer: str
    fold: int | str


def save_checkpoint(path: Path, checkpoint: Checkpoint, keep: Path | None = None) -> None:
    """Write a checkpoint with its checksum, whole or not at all; it outlives a power cut from here on.

    Args:
        keep: where a checkpoint that stands at `path` goes, rather than being overwritten.

    Raises:
        VmsegError: the disk is full or not writable.
    """
    about = {
        "plan": checkpoint.plan.to_json(),
        "config": checkpoint.config.to_json(),
        "labels": checkpoint.labels,
        "channels": list(checkpoint.channels),
        "trainer": checkpoint.trainer,
        "fold": checkpoint.fold,
        "epoch": checkpoint.epoch,
        "history": list(checkpoint.history),
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
    schema, checksum = content.get("schema"), content.pop("sha256", None)
    if not isinstance(schema, int) or schema not in (SCHEMA, WITHOUT_CHECKSUM):
        raise InputError(
            f"the checkpoint has schema {schema}, and this version reads {SCHEMA}",
            file=path,
            remedy=NEWER if is_newer(schema, SCHEMA) else REMEDY,
        )
    try:
        if schema == SCHEMA and checksum != content_hash(content):
            raise DamagedError("the checkpoint is damaged: its checksum is wrong", file=path, remedy=REMEDY)
        return _checkpoint(content, path)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DamagedError("the checkpoint is damaged or from elsewhere", file=path, remedy=REMEDY) from error


def load_newest(generations: Sequence[Path]) -> tuple[Checkpoint | None, list[DamagedError]]:
    """The newest state that is whole, and what is wrong with those that are newer; None where there is no file.

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


def content_hash(value: Any) -> str:
    """SHA-256, in hex, of tensors, numbers and texts in dicts and lists, whatever file they lie in.

    Raises:
        TypeError: something else is among them.
    """
    sha = hashlib.sha256()
    _add(sha, value)
    return sha.hexdigest()


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """Hash (16 hex digits of SHA-256) of names and values, whatever file they lie in."""
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(name.encode())
        sha.update(_bytes(tensor))
    return sha.hexdigest()[:16]


def _checkpoint(content: dict[str, Any], path: Path) -> Checkpoint:
    about = parse_json(content["about"], path, REMEDY)
    return Checkpoint(
        plan=Plan.from_json(about["plan"], f"{path}: plan"),
        config=TrainingConfig.from_json(about["config"], f"{path}: config"),
        labels=decode(dict[str, int], about["labels"], f"{path}: labels"),
        channels=decode(tuple[str, ...], about["channels"], f"{path}: channels"),
        trainer=decode(str, about["trainer"], f"{path}: trainer"),
        fold=about["fold"] if about["fold"] == "all" else decode(int, about["fold"], f"{path}: fold"),
        epoch=decode(int, about["epoch"], f"{path}: epoch"),
        weights=finite_tensors(content["weights"], "weights", path, REMEDY),
        # Not decoded: a history may hold NaN.
        history=tuple({str(name): value + 0 for name, value in row.items()} for row in about["history"]),
        optimizer=content["optimizer"],
        live=finite_tensors(content.get("live", {}), "live", path, REMEDY),
        best=finite_tensors(content.get("best", {}), "best", path, REMEDY),
        scaler=content.get("scaler", {}),
        lr_factor=decode(float, about.get("lr_factor", 1.0), f"{path}: lr_factor"),
        under_way=_steps(about.get("under_way", encode(StepLog())), f"{path}: under_way"),
    )


def _steps(data: Any, where: str) -> StepLog:
    # Losses are not decoded: a skipped step's may be NaN.
    return StepLog(
        losses=tuple(loss + 0.0 for loss in data["losses"]),
        good=decode(tuple[bool, ...], data["good"], where),
        cases=decode(tuple[tuple[str, ...], ...], data["cases"], where),
    )


def _add(sha: Any, value: Any) -> None:
    """Each value with its kind and size before it, so that no two contents give the same bytes."""
    if isinstance(value, torch.Tensor):
        sha.update(f"tensor {value.dtype} {tuple(value.shape)};".encode())
        sha.update(_bytes(value))
    elif isinstance(value, dict):
        sha.update(f"dict {len(value)};".encode())
        for key in sorted(value, key=repr):
            _add(sha, key)
            _add(sha, value[key])
    elif isinstance(value, (list, tuple)):
        sha.update(f"list {len(value)};".encode())
        for item in value:
            _add(sha, item)
    elif value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value)
        sha.update(f"{type(value).__name__} {len(text)};{text}".encode())
    else:
        raise TypeError(f"a checkpoint holds no {type(value).__name__}")


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
