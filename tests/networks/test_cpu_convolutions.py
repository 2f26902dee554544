"""What oneDNN is asked directly gives what torch's public functions give, and is left where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunet_model import SPECS

from vmseg_auto.networks.blocks import Conv, ConvTranspose
from vmseg_auto.networks.cpu_convolutions import Convolution, convolve, convolve_transposed
from vmseg_auto.networks.unet import build_network

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


@st.composite
def operands(draw: st.DrawFn, transposed: bool) -> tuple[Any, ...]:
    """x, weight, bias, stride and padding, in 2-D or 3-D, in either layout."""
    axes, small = draw(st.sampled_from((2, 3))), st.integers(1, 3)
    inputs, outputs, batch = draw(st.integers(1, 40)), draw(st.integers(1, 40)), draw(st.integers(1, 2))
    kernel, stride = draw(st.tuples(*[small] * axes)), draw(st.tuples(*[small] * axes))
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    size = draw(st.tuples(*[st.integers(4, 9)] * axes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn((batch, inputs, *size), generator=generator)
    ends = (inputs, outputs) if transposed else (outputs, inputs)
    weight = torch.randn((*ends, *kernel), generator=generator)
    if draw(st.booleans()):
        x, weight = (tensor.contiguous(memory_format=LAYOUTS[axes]) for tensor in (x, weight))
    bias = torch.randn(outputs, generator=generator) if draw(st.booleans()) else None
    return x, weight, bias, stride, padding


@settings(deadline=None)
@given(operands(transposed=False))
def test_a_direct_convolution_is_the_public_one(given_: tuple[Any, ...]) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(convolve.direct(*given_), convolve.public(*given_), rtol=1e-4, atol=1e-3)


@settings(deadline=None)
@given(operands(transposed=True))
def test_a_direct_transposed_convolution_is_the_public_one(given_: tuple[Any, ...]) -> None:
    with torch.inference_mode():
        found, expected = convolve_transposed.direct(*given_), convolve_transposed.public(*given_)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_both_are_trusted_with_the_torch_of_these_tests() -> None:
    assert convolve.trusted
    assert convolve_transposed.trusted


def absent(*arguments: Any) -> torch.Tensor:
    result: torch.Tensor = torch.ops.mkldnn._an_operator_that_torch_has_not(*arguments)
    return result


def wrong(x: torch.Tensor, weight: torch.Tensor, bias: Any, stride: Any, padding: Any, /) -> torch.Tensor:
    return convolve.public(x, weight, bias, stride, padding) * 1.01


def wrong_in_one_layout(x: torch.Tensor, weight: torch.Tensor, bias: Any, stride: Any, padding: Any, /) -> torch.Tensor:
    found = convolve.public(x, weight, bias, stride, padding)
    return found if x.is_contiguous() else found.flip(1)


def other_arguments(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x


def infinite(x: torch.Tensor, weight: torch.Tensor, bias: Any, stride: Any, padding: Any, /) -> torch.Tensor:
    return convolve.public(x, weight, bias, stride, padding) / 0


@pytest.mark.parametrize("direct", [absent, wrong, wrong_in_one_layout, other_arguments, infinite])
def test_the_public_function_is_taken_where_the_direct_one_is_absent_or_wrong(direct: Any) -> None:
    asked = Convolution(direct, convolve.public)
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3)
    arguments = x, weight, None, (1, 1, 1), (1, 1, 1)
    with torch.inference_mode():
        assert torch.equal(asked(*arguments), convolve.public(*arguments))
    assert not asked.trusted


def test_it_is_asked_in_predictions_in_float32_alone() -> None:
    """Everything else goes the way that torch chooses itself."""
    asked: list[torch.dtype] = []

    def noted(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        asked.append(x.dtype)
        return convolve.public(x, *rest)

    both = Convolution(noted, convolve.public)
    assert both.trusted
    asked.clear()
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        arguments = torch.ones(1, 2, 4, 4, 4, dtype=dtype), torch.ones(3, 2, 3, 3, 3, dtype=dtype)
        with torch.inference_mode():
            both(*arguments, None, (1, 1, 1), (1, 1, 1))
    assert asked == [torch.float32]
    x, weight = torch.ones(1, 2, 4, 4, 4), torch.ones(3, 2, 3, 3, 3, requires_grad=True)
    both(x, weight, None, (1, 1, 1), (1, 1, 1)).sum().backward()
    with torch.no_grad():
        both(x, weight, None, (1, 1, 1), (1, 1, 1))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        both(x, weight, None, (1, 1, 1), (1, 1, 1))
    with torch.inference_mode(), without_onednn():
        both(x, weight, None, (1, 1, 1), (1, 1, 1))
    assert asked == [torch.float32]


@contextmanager
def without_onednn() -> Iterator[None]:
    switch: Any = torch.backends.mkldnn.set_flags
    before = switch(_enabled=False)
    try:
        yield
    finally:
        switch(*before)


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize("last", [False, True])
def test_a_network_predicts_the_same_with_and_without(name: str, last: bool) -> None:
    torch.manual_seed(0)
    network = build_network(SPECS[name], 1, 2).eval()
    if last:
        network = network.to(memory_format=torch.channels_last_3d)
    image = torch.randn(1, 1, 8, 16, 16)
    with torch.no_grad():
        expected = network(image)
    with torch.inference_mode():
        found = network(image)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(found.argmax(1), expected.argmax(1))


@pytest.mark.parametrize(
    "layer", [Conv(8, 8, 3, (1, 1, 1), (1, 1, 1)), Conv(8, 8, 1), ConvTranspose(8, 8, (2, 2, 2), (2, 2, 2))]
)
def test_layers_of_a_small_window_leave_torch_s_own_code_only_in_predictions(layer: torch.nn.Module) -> None:
    image = torch.randn(1, 8, 4, 6, 6)
    assert any("slow_conv" in name for name in operators(layer, image, torch.no_grad()))
    assert not any("slow_conv" in name for name in operators(layer, image, torch.inference_mode()))


def operators(layer: torch.nn.Module, image: torch.Tensor, mode: Any) -> set[str]:
    """The names of all that torch computes."""
    layer(image)
    with mode, torch.autograd.profiler.profile() as profile:
        layer(image)
    return {event.name for event in profile.function_events}
