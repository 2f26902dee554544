"""Every tensor of ours has one in nnU-Net's network, and what does not fit is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunet_model import KINDS, SPECS, state_dict

from vmseg_auto.networks.nnunet_weights import from_nnunet, nnunet_name
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.errors import InputError

HEAD = "decoder.seg_layers.1.weight"


@st.composite
def specs(draw: st.DrawFn) -> NetworkSpec:
    stages = draw(st.integers(2, 4))
    triples = st.tuples(*[st.sampled_from((1, 2))] * 3)
    return NetworkSpec(
        builder=draw(st.sampled_from(("plain_unet", "residual_unet"))),
        features=draw(st.tuples(*[st.integers(1, 3)] * stages)),
        strides=((1, 1, 1), *draw(st.tuples(*[triples] * (stages - 1)))),
        kernels=((3, 3, 3),) * stages,
        blocks=draw(st.tuples(*[st.integers(1, 12)] * stages)),
        decoder_blocks=draw(st.tuples(*[st.integers(1, 3)] * (stages - 1))),
    )


@settings(max_examples=60)
@given(specs())
def test_names_are_one_to_one_and_weights_come_back(spec: NetworkSpec) -> None:
    ours = build_network(spec, channels=1, classes=2).state_dict()
    theirs = {nnunet_name(name, spec): tensor for name, tensor in ours.items()}
    assert len(theirs) == len(ours)
    again = from_nnunet(theirs, spec, channels=1, classes=2)
    assert list(again) == list(ours)
    assert all(torch.equal(again[name], ours[name]) for name in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_that_nnunet_wrote(kind: str) -> None:
    written = state_dict(kind)
    ours = build_network(SPECS[kind], channels=2, classes=3).state_dict()
    names = {nnunet_name(name, SPECS[kind]) for name in ours}
    assert names <= written.keys()
    apart = {name.replace("all_modules.0", "conv").replace("all_modules.1", "norm") for name in written}
    assert names == {name.removeprefix("decoder.") if "decoder.encoder." in name else name for name in apart}


def test_tensors_are_float32_in_memory_of_their_own() -> None:
    weights = {name: tensor.half() for name, tensor in state_dict("plain").items()}
    for tensor in from_nnunet(weights, SPECS["plain"], 2, 3).values():
        assert tensor.dtype == torch.float32
        assert tensor.untyped_storage().nbytes() == 4 * tensor.numel()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({HEAD: None}, f"do not fit the network that the plans describe: missing: {HEAD}"),
        ({"encoder.stages.0.0.convs.0.norm.running_mean": torch.zeros(3)}, r"left over: encoder\..*running_mean"),
        ({"module.extra": torch.zeros(1)}, r"left over: module\.extra"),
        ({HEAD: torch.zeros(4, 3, 1, 1, 1)}, r"of another shape: .* \(4, 3, 1, 1, 1\) instead of \(3, 3, 1, 1, 1\)"),
        ({HEAD: torch.full((3, 3, 1, 1, 1), torch.nan)}, f"NaN, infinity or no real numbers: {HEAD}"),
        ({HEAD: torch.ones(3, 3, 1, 1, 1, dtype=torch.int32)}, f"NaN, infinity or no real numbers: {HEAD}"),
        ({HEAD: torch.ones(3, 3, 1, 1, 1).to_sparse()}, f"NaN, infinity or no real numbers: {HEAD}"),
        (
            {"encoder.stages.0.0.convs.0.all_modules.1.bias": torch.zeros(3)},
            r"damaged: it holds encoder\.stages\.0\.0\.convs\.0\.norm\.bias twice, and unlike",
        ),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], words: str) -> None:
    weights = {name: t for name, t in (state_dict("plain") | changes).items() if t is not None}
    with pytest.raises(InputError, match=words):
        from_nnunet(weights, SPECS["plain"], 2, 3)


def test_another_number_of_channels_or_classes_is_named() -> None:
    with pytest.raises(InputError, match=r"another shape: encoder\.stages\.0\.0\.convs\.0\.conv\.weight"):
        from_nnunet(state_dict("plain"), SPECS["plain"], 1, 3)
    with pytest.raises(InputError, match=r"another shape: decoder\.seg_layers\.0\.weight .* and 1 more"):
        from_nnunet(state_dict("plain"), SPECS["plain"], 2, 2)


def test_an_absurd_network_is_refused_without_being_built() -> None:
    wide = NetworkSpec("plain_unet", (4096, 4096), ((1, 1, 1), (2, 2, 2)), ((15, 15, 15),) * 2, (64, 64), (64,))
    with pytest.raises(InputError, match=r"would have \d+\.\d billion parameters; 1 are possible"):
        from_nnunet({}, wide, 1, 2)
