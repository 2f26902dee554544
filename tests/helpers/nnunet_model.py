"""Small model folders as nnU-Net v2 leaves them, to be used whole or spoiled. tests/golden/nnunet/make.py made them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vmseg_auto.planning.network import NetworkSpec

KINDS = ("plain", "residual", "slices", "regions")
_SIZES: dict[str, Any] = {
    "features": (3, 4, 5),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "decoder_blocks": (2, 1),
}
SPECS = {
    "plain": NetworkSpec(builder="plain_unet", blocks=(2, 1, 2), **_SIZES),
    "residual": NetworkSpec(builder="residual_unet", blocks=(1, 3, 4), **_SIZES),
    "slices": NetworkSpec(
        builder="plain_unet",
        blocks=(2, 1, 2),
        **{**_SIZES, "strides": ((1, 1, 1), (1, 2, 2), (1, 2, 2)), "kernels": ((1, 3, 3),) * 3},
    ),
    "regions": NetworkSpec(builder="plain_unet", blocks=(1, 1, 1), **_SIZES),
}
"""What the files of each kind describe."""
CONFIGURATIONS = {"plain": "3d_fullres", "residual": "3d_fullres", "slices": "2d", "regions": "3d_fullres"} | {
    "lowres": "3d_lowres",
    "cascade": "3d_cascade_fullres",
}
DATA = Path(__file__).parents[1] / "golden" / "nnunet"


def golden(kind: str) -> dict[str, Any]:
    """What nnU-Net gave: arrays patch, logits, image, spacing_mm, mask, mirror_axes."""
    with np.load(DATA / kind / "golden.npz") as arrays:
        return {name: arrays[name] for name in arrays.files if not name.startswith("tensor_")}


def state_dict(kind: str) -> dict[str, torch.Tensor]:
    """The network's weights under all of nnU-Net's names; those that it stores twice are one tensor here as there."""
    with np.load(DATA / kind / "golden.npz") as arrays:
        index = arrays["index"]
        tensors = [torch.from_numpy(arrays[f"tensor_{n}"].astype(np.float32)) for n in range(index.max() + 1)]
        return {str(name): tensors[n] for name, n in zip(arrays["names"], index, strict=True)}


def checkpoint(kind: str, **changes: Any) -> dict[str, Any]:
    """The content of a checkpoint_final.pth; a change to None leaves the entry out."""
    axes = tuple(int(axis) for axis in golden(kind)["mirror_axes"])
    content = {
        "network_weights": state_dict(kind),
        "optimizer_state": None,
        "grad_scaler_state": {"scale": 65536.0, "_growth_tracker": 3},
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.625)], "epoch": [np.int64(7)]},
        "_best_ema": np.float32(0.45),
        "current_epoch": 10,
        "init_args": {"configuration": CONFIGURATIONS[kind], "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": axes or None,
    } | changes
    return {name: value for name, value in content.items() if value is not None}


def nnunet_model(folder: Path, kind: str = "plain", folds: Sequence[int | str] = (0,)) -> Path:
    """Write plans.json, dataset.json and each fold's checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(DATA / kind / name, folder / name)
    for fold in folds:
        save(folder, checkpoint(kind), fold)
    return folder


def save(folder: Path, content: Any, fold: int | str = 0, name: str = "checkpoint_final.pth") -> Path:
    path = folder / f"fold_{fold}" / name
    path.parent.mkdir(exist_ok=True)
    torch.save(content, path)
    return path


def edit(file: Path, where: Sequence[str], value: Any) -> None:
    """Set one field of a JSON file; to Ellipsis takes it away."""
    data = json.loads(file.read_text())
    inner = data
    for key in where[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[where[-1]]
    else:
        inner[where[-1]] = value
    file.write_text(json.dumps(data))


PRETRAINED = DATA / "pretrained" / "checkpoint.pth"
"""An encoder in the form of nnssl's checkpoints. tests/golden/nnunet/make_pretrained.py made it."""
_HALVES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
TO_TRAIN = {
    "same": NetworkSpec("residual_unet", (3, 4, 5, 5), _HALVES, ((3, 3, 3),) * 4, (1, 2, 2, 1), (1, 1, 1)),
    "flat": NetworkSpec(
        "residual_unet",
        (3, 4, 5),
        ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
        ((1, 3, 3), (1, 3, 3), (3, 3, 3)),
        (1, 3, 1),
        (1, 1),
    ),
    "deep": NetworkSpec(
        "residual_unet", (3, 4, 5, 5, 6), (*_HALVES, (1, 2, 2)), ((3, 3, 3),) * 5, (1, 1, 2, 1, 1), (1,) * 4
    ),
}
"""Networks that start from it."""


def to_train(kind: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The random state dict of such a network under nnU-Net's names; and patch and logits with the encoder in it."""
    with np.load(DATA / "pretrained" / f"{kind}.npz") as arrays:
        index = arrays["index"]
        tensors = [torch.from_numpy(arrays[f"tensor_{n}"].astype(np.float32)) for n in range(index.max() + 1)]
        names = {str(name): tensors[n] for name, n in zip(arrays["names"], index, strict=True)}
        return names, {name: arrays[name] for name in ("patch", "logits")}
