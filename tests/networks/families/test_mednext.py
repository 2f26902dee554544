"""MedNeXt as the paper has it, and what it costs as planners count it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import tiny_plan
from torch import nn

from vmseg_auto.networks.onnx import onnx_difference, to_onnx
from vmseg_auto.networks.rebuild import why_not_rebuilt
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.memory import conv_outputs
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.errors import InputError

FLAT = NetworkSpec(
    builder="mednext",
    features=(4, 8, 16),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 4)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 5, 3)),
    blocks=(1, 2, 1),
    decoder_blocks=(2, 1),
    arguments={"expansion": [2, 3]},
)
PATCH = (4, 16, 32)


@pytest.mark.parametrize(("expansion", "millions"), [([2], 5.6), ([2, 3, 4], 10.5)], ids=["S", "B"])
def test_it_has_as_many_parameters_as_in_the_paper(expansion: list[int], millions: float) -> None:
    """Table 1 of Roy et al., kernel 3."""
    spec = NetworkSpec(
        builder="mednext",
        features=(32, 64, 128, 256, 512),
        strides=((1, 1, 1), *((2, 2, 2),) * 4),
        kernels=((3, 3, 3),) * 5,
        blocks=(2,) * 5,
        decoder_blocks=(2,) * 4,
        arguments={"expansion": expansion},
    )
    with torch.device("meta"):
        network = build_network(spec, channels=1, classes=3)
    assert sum(weights.numel() for weights in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_planners_count_what_its_convolutions_really_put_out_and_learn() -> None:
    measured: list[tuple[int, int]] = []

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        assert isinstance(module, (nn.Conv3d, nn.ConvTranspose3d))
        measured.append((output.numel(), module.weight.numel()))

    network = build_network(FLAT, channels=1, classes=3).eval()
    for module in network.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 1, *PATCH))
    outputs, weights = map(sum, zip(*measured, strict=True))
    assert conv_outputs(FLAT, PATCH, classes=3) == outputs
    assert sum(layer.weights for layer in FLAT.layers(classes=3)) == weights


def test_training_gives_every_level_the_finest_first_and_predicting_the_finest_alone() -> None:
    network, image = build_network(FLAT, channels=2, classes=3), torch.randn(1, 2, *PATCH)
    levels = network.train()(image)
    assert [tuple(level.shape) for level in levels] == [(1, 3, 4, 16, 32), (1, 3, 4, 8, 16)]
    sum(level.square().sum() for level in levels).backward()
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in network.parameters())
    assert torch.equal(network.eval()(image), levels[0])
    assert len(build_network(replace(FLAT, deep_supervision=False), 2, 3).train()(image)) == 1


def test_it_is_rebuilt_from_its_plan_and_given_away_as_onnx() -> None:
    network = build_network(FLAT, channels=1, classes=2).eval()
    assert why_not_rebuilt(network, FLAT, 1, 2) is None
    assert why_not_rebuilt(network, replace(FLAT, arguments={"expansion": [2, 2]}), 1, 2)
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    assert onnx_difference(network, to_onnx(network, 1, PATCH), 1, PATCH, windows=3) < 1e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "arguments lacks the field expansion"),
        ({"expansion": 2}, "arguments: expansion must be a list"),
        ({"expansion": [2.5]}, r"expansion\[0\] must be a whole number"),
        ({"expansion": []}, r"expansion is \(\)"),
        ({"expansion": [2, 17]}, r"expansion is \(2, 17\).*numbers from 1 to 16"),
        ({"expansion": [2], "kernel": 5}, "arguments has an unknown field: kernel"),
    ],
)
def test_wrong_arguments_are_named_when_a_plan_is_read(arguments: dict[str, Any], words: str) -> None:
    stored = json.loads(json.dumps(tiny_plan(builder="mednext", arguments={"expansion": [2]}).to_json()))
    assert Plan.from_json(stored).network.arguments == {"expansion": [2]}
    stored["network"]["arguments"] = arguments
    with pytest.raises(InputError, match=r"plan\.json: network: .*" + words):
        Plan.from_json(stored, "plan.json")
