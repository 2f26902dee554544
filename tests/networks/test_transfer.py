"""Weights of another network are taken layer by layer, and what is not taken is said."""

from __future__ import annotations

from dataclasses import replace

import torch
from nnunet_model import SPECS
from torch import nn

from vmseg_auto.networks.transfer import transfer
from vmseg_auto.networks.transfer_record import PartTaken
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.network import NetworkSpec

PLAIN = SPECS["plain"]


def weights(spec: NetworkSpec = PLAIN, channels: int = 1, classes: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = build_network(spec, channels, classes)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return dict(network.state_dict())


def assert_from(merged: dict[str, torch.Tensor], source: dict[str, torch.Tensor], names: set[str]) -> None:
    assert names
    for name in names:
        assert torch.equal(merged[name], source[name]), name


def test_the_same_network_is_taken_whole() -> None:
    own, other = weights(seed=1), weights(seed=2)
    merged, taken = transfer(own, other)
    assert list(merged) == list(own)
    assert_from(merged, other, set(own))
    assert taken.parts == {"encoder": PartTaken(20, 20), "decoder": PartTaken(16, 16), "heads": PartTaken(4, 4)}
    assert taken.text() == "taken: encoder 20 of 20 tensors, decoder 16 of 16, heads 4 of 4"


def test_other_channels_and_classes_cost_the_first_convolution_and_the_heads() -> None:
    own, other = weights(seed=1), weights(channels=2, classes=3, seed=2)
    merged, taken = transfer(own, other)
    left = {name for name in own if name.startswith(("heads.", "encoder.0.0.0."))}
    assert_from(merged, own, left)
    assert_from(merged, other, set(own) - left)
    assert taken.text() == (
        "taken: encoder 18 of 20 tensors, decoder 16 of 16; not taken: "
        "first convolution (image channels: 2 there, 1 here), heads (3 classes there, 2 here)"
    )


def test_of_another_topology_what_agrees_is_taken() -> None:
    """A residual encoder shares its first convolution, and the decoder, with a plain one."""
    own, other = weights(SPECS["residual"], seed=1), weights(seed=2)
    merged, taken = transfer(own, other)
    assert taken.parts["encoder"].taken == 4
    assert taken.parts["decoder"] == PartTaken(16, 16)
    assert_from(merged, other, {name for name in own if name.startswith(("encoder.0.0.", "up.", "decoder."))})
    lacking = taken.parts["encoder"].tensors - 4
    assert taken.left == (f"{lacking} tensors of the encoder that the other network lacks",)


def test_another_shape_is_said_by_part() -> None:
    own, other = weights(seed=1), weights(replace(PLAIN, features=(3, 4, 6)), seed=2)
    _, taken = transfer(own, other)
    assert taken.left == ("8 tensors of the encoder with another shape", "2 tensors of the decoder with another shape")


def test_a_bias_without_its_kernel_is_not_taken() -> None:
    own, other = nn.Conv3d(1, 4, 3).state_dict(), nn.Conv3d(1, 4, 5).state_dict()
    merged, taken = transfer({f"x.{n}": t for n, t in own.items()}, {f"x.{n}": t for n, t in other.items()})
    assert torch.equal(merged["x.bias"], own["bias"])
    assert taken.tensors == 0
    assert taken.text() == "taken: nothing; not taken: 2 tensors of the x with another shape"


def test_types_are_those_of_the_own_network() -> None:
    own, other = weights(seed=1), {name: tensor.double() for name, tensor in weights(seed=2).items()}
    merged, _ = transfer(own, other)
    assert {tensor.dtype for tensor in merged.values()} == {torch.float32}
