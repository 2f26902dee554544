"""Weights of nnU-Net's networks under the names of ours.

nnU-Net's modules name their layers by what they are (`conv`, `norm`), ours by their place (0, 1). Its checkpoints hold
most tensors two or four times: once as an attribute and once in `all_modules`, and the encoder again in the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.text import listed

LARGEST = 1_000_000_000
"""Parameters; nnU-Net's largest preset has about 140 million."""


def nnunet_name(name: str, spec: NetworkSpec) -> str:
    """Return what nnU-Net calls one of our tensors.

    Args:
        name: in the state dict of `build_network(spec, ...)`.
        spec: a network with a counterpart in nnU-Net.

    Raises:
        InputError: it has none.
    """
    counterpart = spec.family.nnunet
    if counterpart is None:
        raise InputError(f"nnU-Net has no network that is a {spec.family.title}")
    return counterpart.tensor_name(name, spec)


def from_nnunet(
    weights: Mapping[str, torch.Tensor], spec: NetworkSpec, channels: int, classes: int
) -> dict[str, torch.Tensor]:
    """Return a state dict for `build_network(spec, channels, classes)`, made from one of nnU-Net's.

    Args:
        weights: the state dict of nnU-Net's network, each tensor under one or more of its names.
        spec: the same network.
        channels: image channels.
        classes: labels, background included.

    Returns:
        float32 tensors on the CPU, each in memory of its own.

    Raises:
        InputError: tensors are missing, left over, of another shape, not finite, or stored twice and unlike; or the
            network is absurdly large.
    """
    with torch.device("meta"):  # shapes alone: a plan may ask for more than the memory holds
        wanted = build_network(spec, channels, classes).state_dict()
    if (size := sum(tensor.numel() for tensor in wanted.values())) > LARGEST:
        raise InputError(f"the network would have {size / 1e9:.1f} billion parameters; {LARGEST / 1e9:g} are possible")
    if all(kernel[0] == 1 for kernel in spec.kernels):  # nnU-Net's 2-D convolutions have no axis of slices
        weights = {name: tensor.unsqueeze(2) if tensor.dim() == 4 else tensor for name, tensor in weights.items()}
    names = {nnunet_name(name, spec): name for name in wanted}
    found = by_plain_name(weights)
    problems = [
        *_listed("missing", [name for name in names if name not in found]),
        *_listed("left over", [name for name in found if name not in names]),
        *_listed(
            "of another shape",
            [
                f"{theirs} {tuple(found[theirs].shape)} instead of {tuple(wanted[ours].shape)}"
                for theirs, ours in names.items()
                if theirs in found and found[theirs].shape != wanted[ours].shape
            ],
        ),
    ]
    if problems:
        raise InputError(f"the weights do not fit the network that the plans describe: {'; '.join(problems)}")
    if broken := [name for name in names if not _usable(found[name])]:
        raise InputError(f"the weights hold NaN, infinity or no real numbers: {', '.join(broken[:3])}")
    return {ours: found[theirs].to(torch.float32, copy=True).contiguous() for theirs, ours in names.items()}


def by_plain_name(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return each tensor of a state dict of nnU-Net's once.

    Raises:
        InputError: one is stored twice and unlike.
    """
    found: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        first = found.setdefault(_plain_name(name), tensor)
        if first is not tensor and not _same(first, tensor):
            raise InputError(f"the checkpoint is damaged: it holds {_plain_name(name)} twice, and unlike")
    return found


def _plain_name(name: str) -> str:
    """Return one name for all those under which nnU-Net stores the same tensor."""
    name = name.removeprefix("decoder.") if name.startswith("decoder.encoder.") else name
    return name.replace(".all_modules.0.", ".conv.").replace(".all_modules.1.", ".norm.")


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def _usable(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided and bool(torch.isfinite(tensor).all())


def _listed(what: str, names: list[str]) -> list[str]:
    return [f"{what}: {listed(names, 3)}"] if names else []
