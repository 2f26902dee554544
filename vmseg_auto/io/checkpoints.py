"""Trained weights on disk, read without unpickling code."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vmseg_auto.core.codec import decode
from vmseg_auto.core.dataset import checked_labels
from vmseg_auto.core.errors import InputError
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.recipe import Recipe
from vmseg_auto.io.archives import finite_tensors, load_archive
from vmseg_auto.io.atomic import parse_json, replacing

FORMAT = "vmseg_auto checkpoint"
SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """One fold's network and what it takes to use it or to train on.

    Args:
        plan, recipe: what it was trained by.
        labels: label name -> value, background included.
        channels: channel names in order.
        trainer: the trainer's name.
        fold: fold number, or "all".
        epoch: epochs done.
        weights: the state dict to predict with, float32 on the CPU.
        history: one row an epoch.
        optimizer: the optimizer's state dict; empty in a finished fold's checkpoint.
        live: the state dict to learn on from, where it is another; empty in a finished fold's checkpoint.
        best: the weights that a training that stops on the gap would keep; empty in all others.
    """

    plan: Plan
    recipe: Recipe
    labels: dict[str, int]
    channels: tuple[str, ...]
    trainer: str
    fold: int | str
    epoch: int
    weights: dict[str, torch.Tensor]
    history: tuple[dict[str, float], ...]
    optimizer: dict[str, Any] = field(default_factory=dict)
    live: dict[str, torch.Tensor] = field(default_factory=dict)
    best: dict[str, torch.Tensor] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        VmsegError: the disk is full or not writable.
    """
    about = {
        "plan": checkpoint.plan.to_json(),
        "recipe": checkpoint.recipe.to_json(),
        "labels": checkpoint.labels,
        "channels": list(checkpoint.channels),
        "trainer": checkpoint.trainer,
        "fold": checkpoint.fold,
        "epoch": checkpoint.epoch,
        "history": list(checkpoint.history),
    }
    content = {
        "format": FORMAT,
        "schema": SCHEMA,
        "about": json.dumps(about),
        "weights": {name: tensor.detach().cpu() for name, tensor in checkpoint.weights.items()},
        "optimizer": checkpoint.optimizer,
        "live": checkpoint.live,
        "best": {name: tensor.detach().cpu() for name, tensor in checkpoint.best.items()},
    }
    buffer = io.BytesIO()  # writing to the file itself, torch.save hides a full disk in a RuntimeError
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, with `weights_only=True`: no code in it can run.

    Raises:
        InputError: the file is missing, damaged, or no checkpoint of this program, or a weight is NaN or infinite.
    """
    remedy = "Train this fold again with --fresh, or restore the file."
    content = load_archive(path, missing="Train this fold first.", remedy=remedy)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError("this is no checkpoint of vmseg_auto", file=path, remedy=remedy)
    if content.get("schema") != SCHEMA:
        raise InputError(
            f"the checkpoint has schema {content.get('schema')}, and this version reads {SCHEMA}",
            file=path,
            remedy=remedy,
        )
    about = decode(_About, parse_json(content.get("about"), path, remedy), str(path))
    tensors = {
        name: finite_tensors(content.get(name, {}), name, path, remedy) for name in ("weights", "live", "best")
    }
    optimizer = content.get("optimizer", {})
    if not isinstance(optimizer, dict):
        raise InputError("the state of its optimizer is missing", file=path, remedy=remedy)
    return Checkpoint(
        plan=Plan.from_json(about.plan, f"{path}: plan"),
        recipe=Recipe.from_json(about.recipe, f"{path}: recipe"),
        labels=checked_labels(about.labels, f"{path}: labels"),
        channels=about.channels,
        trainer=about.trainer,
        fold="all" if about.fold == "all" else decode(int, about.fold, f"{path}: fold"),
        epoch=about.epoch,
        history=tuple(about.history),
        optimizer=optimizer,
        **tensors,
    )


@dataclass(frozen=True)
class _About:
    """What a checkpoint says in JSON."""

    plan: dict[str, Any]
    recipe: dict[str, Any]
    labels: dict[str, int]
    channels: tuple[str, ...]
    trainer: str
    fold: Any
    epoch: int
    history: tuple[dict[str, Any], ...]


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """Hash (16 hex digits of SHA-256) of names and values, whatever file they lie in."""
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(name.encode())
        sha.update(tensor.cpu().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]
