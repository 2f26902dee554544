"""Take over what fits of another network's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from vmseg_auto.networks.transfer_record import PartTaken, Taken

Weights = Mapping[str, torch.Tensor]

_PARTS = {"up": "decoder"}
"""The module of our U-Net that is no part of its own."""


def transfer(own: Weights, other: Weights) -> tuple[dict[str, torch.Tensor], Taken]:
    """Replace a network's weights by another's, layer by layer, where names and shapes agree.

    A layer is taken whole or not at all: a bias is worth nothing without its kernel.

    Args:
        own: state dict of the network to train.
        other: state dict of the trained network.

    Returns:
        A state dict of the same names, shapes and types as `own`, and what was taken.

    Example:
        >>> own = {"conv.weight": torch.zeros(2, 1), "heads.0.weight": torch.zeros(3, 2)}
        >>> other = {"conv.weight": torch.ones(2, 1), "heads.0.weight": torch.ones(2, 2)}
        >>> transfer(own, other)[1].text()
        'taken: conv 1 of 1 tensors; not taken: heads (2 classes there, 3 here)'
    """
    layers: dict[str, list[str]] = {}
    for name in own:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    left = [names for names in layers.values() if any(n not in other or other[n].shape != own[n].shape for n in names)]
    refused = {name for names in left for name in names}
    merged = {name: tensor if name in refused else other[name].to(tensor) for name, tensor in own.items()}
    members: dict[str, list[str]] = {}
    for name in own:
        members.setdefault(_part(name), []).append(name)
    parts = {part: PartTaken(sum(n not in refused for n in names), len(names)) for part, names in members.items()}
    return merged, Taken(parts, tuple(_reasons(own, other, left)))


def _part(name: str) -> str:
    module = name.partition(".")[0]
    return _PARTS.get(module, module)


def _reasons(own: Weights, other: Weights, left: Iterable[list[str]]) -> list[str]:
    """Return in words why layers were not taken, each reason once with the number of its tensors."""
    first = next((name for name, tensor in own.items() if tensor.ndim > 1), "")
    counts: dict[str, int] = {}
    alone: list[str] = []
    for names in left:
        kernel = names[0]
        ours, theirs = own[kernel].shape, other[kernel].shape if kernel in other else None
        if theirs is None or any(name not in other for name in names):
            reason = f"of the {_part(kernel)} that the other network lacks"
        elif _part(kernel) == "heads" and ours[1:] == theirs[1:]:
            alone.append(f"heads ({theirs[0]} classes there, {ours[0]} here)")
            continue
        elif kernel == first and (ours[0], *ours[2:]) == (theirs[0], *theirs[2:]):
            alone.append(f"first convolution (image channels: {theirs[1]} there, {ours[1]} here)")
            continue
        else:
            reason = f"of the {_part(kernel)} with another shape"
        counts[reason] = counts.get(reason, 0) + len(names)
    return [*dict.fromkeys(alone), *(f"{count} tensors {reason}" for reason, count in counts.items())]
