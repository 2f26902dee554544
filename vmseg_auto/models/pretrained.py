"""Encoders that were pretrained without masks, as files: checkpoints of nnssl, as published for nnU-Net.

Such a checkpoint holds the weights of a network and, in `nnssl_adaptation_plan`, by which names its stem and its stages
are known, and what the network is called (ResEncL).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vmseg_auto.models.nnunet import STAND_INS
from vmseg_auto.models.safe_archive import finite_tensors, load_archive
from vmseg_auto.networks.nnunet_weights import by_plain_name
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import decode

ENDINGS = (".pth", ".pt")
"""Of checkpoints of torch."""
_AGAIN = "Download it again."
_STEM, _STAGES = "encoder.stem", "encoder.stages"
"""What nnU-Net calls them."""
_BLOCK = re.compile(rf"{re.escape(_STAGES)}\.(\d+)\.blocks\.\d+\.conv1\.conv\.weight")


@dataclass(frozen=True)
class PretrainedEncoder:
    """The encoder of a checkpoint.

    Args:
        file: that it was read from.
        network: what the network is called there.
        weights: stem and stages under nnU-Net's names, each tensor once.
    """

    file: Path
    network: str
    weights: dict[str, torch.Tensor]

    @property
    def stages(self) -> int:
        return 1 + max(int(found[1]) for name in self.weights if (found := _BLOCK.fullmatch(name)))


def read_pretrained(path: Path) -> PretrainedEncoder:
    """Read the encoder of a checkpoint; no code in it can run.

    Raises:
        InputError: the file is missing or damaged, holds objects other than numbers, is no checkpoint of nnssl, or its
            encoder is no residual one of three dimensions.
    """
    data = load_archive(path, missing="Check the name.", remedy=_AGAIN, stand_ins=STAND_INS)
    plan = data.get("nnssl_adaptation_plan") if isinstance(data, dict) else None
    if not isinstance(plan, dict):
        problem = "the checkpoint holds no pretrained encoder (nnssl_adaptation_plan is missing)"
        remedy = "Of a model that nnU-Net has trained import the whole folder with `vmseg_model import`, and name that."
        raise InputError(problem, file=path, remedy=remedy)
    network = shown(_text(plan.get("architecture_plans"), "arch_class_name", path), lines=False)[:40]
    places = {_text(plan, "key_to_stem", path): _STEM, _text(plan, "key_to_encoder", path): _STAGES}
    weights = finite_tensors(data.get("network_weights"), "network_weights", path, _AGAIN)
    found = by_plain_name(
        {
            ours + name.removeprefix(theirs): tensor
            for theirs, ours in places.items()
            for name, tensor in weights.items()
            if name.startswith(f"{theirs}.")
        }
    )
    blocks = [tensor for name, tensor in found.items() if _BLOCK.fullmatch(name)]
    if not blocks or any(tensor.ndim != 5 for tensor in blocks):
        problem = f"its encoder ({network}) is no residual encoder in three dimensions"
        raise InputError(problem, file=path, remedy="Take one that is, such as ResEnc-L or ResEnc-M.")
    return PretrainedEncoder(path, network, found)


def _text(data: Any, field: str, path: Path) -> str:
    if not isinstance(data, dict) or field not in data:
        raise InputError(f"nnssl_adaptation_plan lacks {field}", file=path, remedy=_AGAIN)
    return decode(str, data[field], f"{path}: {field}")
