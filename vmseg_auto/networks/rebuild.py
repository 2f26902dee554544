"""Whether a network is the one that its plan describes, and so can be built again from a checkpoint."""

from __future__ import annotations

import copy

import torch
from torch import nn

from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.text import listed


def why_not_rebuilt(network: nn.Module, spec: NetworkSpec, channels: int, classes: int) -> str | None:
    """Return in words why the network of a plan, with this network's weights, would predict something else.

    Both get the same weights, drawn so that none is zero, and are given the same noise. Neither the network nor torch's
    random numbers are changed.

    Args:
        network: what will be trained.
        spec: the plan's.
        channels, classes: as given to `build_network`.

    Returns:
        None where it would predict the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours, rebuilt = copy.deepcopy(network).cpu().eval(), build_network(spec, channels, classes).eval()
        weights = {name: tensor + 0.1 * torch.rand(tensor.shape) for name, tensor in ours.state_dict().items()}
        try:
            rebuilt.load_state_dict(weights)
        except RuntimeError:
            return _other_tensors(ours, rebuilt)
        ours.load_state_dict(weights)
        image = torch.randn(1, channels, *_smallest_patch(spec))
    with torch.no_grad():
        found, wanted = ours(image), rebuilt(image)
    same = isinstance(found, torch.Tensor) and found.shape == wanted.shape
    if same and (found - wanted).abs().max() <= 1e-3 * wanted.abs().max():
        return None
    return "with the same weights it predicts something else"


def _smallest_patch(spec: NetworkSpec) -> tuple[int, int, int]:
    """Return the shape (Z, Y, X) of two voxels at the coarsest stage, as a single one can't be normalised."""
    z, y, x = spec.divisors
    return z, y, 2 * x


def _other_tensors(ours: nn.Module, rebuilt: nn.Module) -> str:
    """Return in words which tensors differ in name or shape."""
    theirs = {name: tensor.shape for name, tensor in rebuilt.state_dict().items()}
    odd = [name for name, tensor in ours.state_dict().items() if theirs.pop(name, None) != tensor.shape]
    return f"its weights have other names or shapes: {listed(odd or list(theirs), 3)}"
