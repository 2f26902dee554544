"""Networks as nnU-Net builds them, and what they cost as planners count it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from nnunet_model import KINDS, SPECS, golden, state_dict
from tiny import NETWORK, tiny_plan
from torch import nn

from vmseg_auto.networks.blocks import Conv, ConvTranspose, InstanceNorm, MeanPool, ResidualBlock
from vmseg_auto.networks.nnunet_weights import from_nnunet
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.memory import conv_outputs
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.errors import InputError

FLAT = NetworkSpec(
    builder="plain_unet",
    features=(4, 6, 8, 10),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 4, 2)),
    kernels=((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 5)),
    blocks=(2, 1, 3, 2),
    decoder_blocks=(2, 1, 3),
)
RESIDUAL = replace(FLAT, builder="residual_unet", blocks=(1, 3, 4, 2))
FLAT_PATCH = (4, 32, 16)


def spec(**changes: Any) -> NetworkSpec:
    return tiny_plan(**changes).network


@pytest.mark.parametrize("network", [FLAT, RESIDUAL])
def test_training_gives_every_level_the_finest_first(network: NetworkSpec) -> None:
    outputs = build_network(network, channels=2, classes=3).train()(torch.zeros(1, 2, *FLAT_PATCH))
    assert [tuple(out.shape) for out in outputs] == [(1, 3, 4, 32, 16), (1, 3, 4, 16, 8), (1, 3, 2, 8, 4)]


@pytest.mark.parametrize("spec", [FLAT, RESIDUAL])
def test_prediction_gives_the_finest_level_alone_and_the_same_one(spec: NetworkSpec) -> None:
    torch.manual_seed(0)
    network = build_network(spec, channels=1, classes=2)
    image = torch.randn(2, 1, *FLAT_PATCH)
    with torch.no_grad():
        training, predicted = network.train()(image), network.eval()(image)
    assert isinstance(predicted, torch.Tensor)
    assert torch.equal(training[0], predicted)


def test_without_deep_supervision_training_gives_a_list_of_one() -> None:
    outputs = build_network(spec(deep_supervision=False), 1, 2).train()(torch.zeros(1, 1, 8, 16, 16))
    assert [tuple(out.shape) for out in outputs] == [(1, 2, 8, 16, 16)]


@pytest.mark.parametrize(("first_kernel", "first_stride", "parameters"), [
    ((3, 3, 3), (2, 2, 2), 5_603_177),
    ((1, 3, 3), (1, 2, 2), 5_520_454),
])  # fmt: skip
def test_parameters_are_those_of_nnunet(
    first_kernel: tuple[int, int, int], first_stride: tuple[int, int, int], parameters: int
) -> None:
    """Counted in nnU-Net 2.8.1's own checkpoints of hippocampus53 (two labels) and vmsemi53 (one)."""
    cube, halve = (3, 3, 3), (2, 2, 2)
    network = build_network(
        NetworkSpec(
            builder="plain_unet",
            features=(32, 64, 128, 256),
            strides=((1, 1, 1), first_stride, halve, halve),
            kernels=(first_kernel, cube, cube, cube),
            blocks=(2, 2, 2, 2),
            decoder_blocks=(2, 2, 2),
        ),
        channels=1,
        classes=3 if first_kernel == cube else 2,
    )
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("network", "patch"),
    [
        (FLAT, FLAT_PATCH),
        (RESIDUAL, FLAT_PATCH),
        (NETWORK, (8, 16, 16)),
        (spec(deep_supervision=False), (2, 4, 6)),
    ],
)
def test_planners_count_what_convolutions_really_put_out(network: NetworkSpec, patch: tuple[int, int, int]) -> None:
    measured: list[int] = []
    built = build_network(network, channels=2, classes=3).eval()
    for module in built.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            module.register_forward_hook(lambda _module, _inputs, output: measured.append(output.numel()))
    with torch.no_grad():
        built(torch.zeros(1, 2, *patch))
    assert conv_outputs(network, patch, classes=3) == sum(measured)


def test_weights_depend_on_the_seed_alone() -> None:
    def build(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build_network(NETWORK, 1, 2).state_dict()

    first, again, other = build(1), build(1), build(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_nnunet(kind: str) -> None:
    """With nnU-Net's weights of an anisotropic network; both builders."""
    arrays, spec = golden(kind), SPECS[kind]
    network = build_network(spec, channels=2, classes=3).eval()
    network.load_state_dict(from_nnunet(state_dict(kind), spec, channels=2, classes=3))
    with torch.no_grad():
        logits = network(torch.from_numpy(arrays["patch"].astype(np.float32))).numpy()
    np.testing.assert_allclose(logits, arrays["logits"], atol=1e-5)


@pytest.mark.parametrize(
    "ours", [Conv(3, 4, (1, 3, 3), (1, 2, 2), (0, 1, 1)), ConvTranspose(3, 4, (1, 2, 2), (1, 2, 2))]
)
def test_a_single_slice_is_convolved_to_the_same(ours: Conv | ConvTranspose) -> None:
    image = torch.randn(2, 3, 1, 9, 8, requires_grad=True)
    own, theirs = ours(image), type(ours).__mro__[1].forward(ours, image)  # type: ignore[attr-defined]
    assert own.shape == theirs.shape
    assert torch.allclose(own, theirs, atol=1e-5)
    for mine, wanted in zip(*(torch.autograd.grad(out.sum(), ours.parameters()) for out in (own, theirs)), strict=True):
        assert torch.allclose(mine, wanted, atol=1e-4)


def test_an_untrained_residual_block_is_its_shortcut() -> None:
    block = ResidualBlock(3, 3, (3, 3, 3))
    image = torch.randn(1, 3, 4, 4, 4).abs()
    assert torch.equal(block(image), image)


@pytest.mark.parametrize("spec", [FLAT, RESIDUAL])
def test_every_parameter_learns(spec: NetworkSpec) -> None:
    network = build_network(spec, 1, 2).train()
    sum(out.square().sum() for out in network(torch.randn(1, 1, *FLAT_PATCH))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_an_unknown_builder_is_refused_and_never_imported() -> None:
    with pytest.raises(InputError, match=r"there is no network 'os:system'.*Known are: .*plain_unet"):
        build_network(spec(builder="os:system"), 1, 2)


@pytest.mark.parametrize("block", [(2, 2, 2), (1, 2, 2), (1, 3, 1)])
def test_means_of_blocks_are_the_same_where_only_one_order_of_sums_is_allowed(block: tuple[int, int, int]) -> None:
    """CUDA has no deterministic gradient of nn.AvgPool3d, so it is computed in another way there."""
    image = torch.randn(2, 3, 5, 8, 7, requires_grad=True)
    pool = MeanPool(block, block)
    usual = pool(image)
    weights = torch.randn(usual.shape)
    (slope,) = torch.autograd.grad((usual * weights).sum(), image)
    torch.use_deterministic_algorithms(True)
    try:
        other = pool(image)
        (other_slope,) = torch.autograd.grad((other * weights).sum(), image)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.allclose(usual, other, atol=1e-6)
    assert torch.allclose(slope, other_slope, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_instance_norm_keeps_channels_last_and_gives_the_same(batch: int) -> None:
    torch.manual_seed(batch)
    norm = InstanceNorm(5, affine=True).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    found = []
    image = torch.randn(batch, 5, 4, 6, 7, dtype=torch.float64)
    weights = torch.randn_like(image)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        laid_out = image.contiguous(memory_format=layout).requires_grad_()
        result = norm(laid_out)
        assert result.is_contiguous(memory_format=layout)
        found.append((result, *torch.autograd.grad((result * weights).sum(), (laid_out, norm.weight, norm.bias))))
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected)
