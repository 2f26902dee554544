"""A network is the plan's where it would predict the same with the same weights, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nnunet_model import SPECS
from torch import nn

from vmseg_auto.networks.rebuild import why_not_rebuilt
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.network import NetworkSpec


def with_dropout(network: nn.Module) -> None:
    network.get_submodule("encoder.0").append(nn.Dropout(0.5))


def with_relu(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 0.0


def with_wider_heads(network: nn.Module) -> None:
    network.set_submodule("heads.0", nn.Conv3d(1, 9, 1))


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_the_plans_own_network_is_rebuilt_and_nothing_is_changed(spec: NetworkSpec) -> None:
    torch.manual_seed(3)
    network = build_network(spec, 2, 3).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    draws = torch.get_rng_state()
    assert why_not_rebuilt(network, spec, 2, 3) is None
    assert torch.equal(torch.get_rng_state(), draws)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_what_differs_in_training_alone_is_no_other_network() -> None:
    network = build_network(SPECS["residual"], 1, 2)
    with_dropout(network)
    assert why_not_rebuilt(network, SPECS["residual"], 1, 2) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [(with_relu, "with the same weights it predicts something else"), (with_wider_heads, "shapes: heads.0.weight")],
)
@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_another_network_is_told(spec: NetworkSpec, change: Callable[[nn.Module], None], words: str) -> None:
    network = build_network(spec, 1, 2)
    change(network)
    assert words in (why_not_rebuilt(network, spec, 1, 2) or "")


def test_a_network_of_other_layers_is_told_by_their_names() -> None:
    assert "names or shapes: 0.weight, 0.bias" in (
        why_not_rebuilt(nn.Sequential(nn.Conv3d(1, 2, 3)), SPECS["plain"], 1, 2) or ""
    )
