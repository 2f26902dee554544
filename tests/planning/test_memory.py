"""The estimate of memory against convolutions counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.planning.memory import conv_outputs, smaller_budget_gb
from vmseg_auto.planning.network import NetworkSpec


def test_two_stages_by_hand() -> None:
    network = NetworkSpec(
        builder="plain_unet",
        features=(4, 8),
        strides=((1, 1, 1), (1, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3)),
        blocks=(2, 3),
        decoder_blocks=(1,),
    )
    fine, coarse = 3 * 8 * 8, 3 * 4 * 4
    encoder = 2 * fine * 4 + 3 * coarse * 8
    decoder = fine * 4 + fine * 4  # one convolution, one transposed convolution
    assert conv_outputs(network, (3, 8, 8), classes=2) == encoder + decoder + fine * 2


def test_residual_stages_by_hand() -> None:
    network = NetworkSpec(
        builder="residual_unet",
        features=(4, 8, 8, 8),
        strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 1, 1)),
        kernels=((3, 3, 3),) * 4,
        blocks=(1, 3, 2, 1),
        decoder_blocks=(1, 1, 1),
    )
    fine, middle, coarse = 4 * 8 * 8, 4 * 4 * 4, 2 * 2 * 2
    blocks = 2 * fine * 4 + 6 * middle * 8 + 4 * coarse * 8 + 2 * coarse * 8
    shortcuts = middle * 8 + coarse * 8  # the second only pools; the last stage changes nothing
    decoder = 2 * (coarse * 8 + middle * 8 + fine * 4)
    assert conv_outputs(network, (4, 8, 8), classes=2) == fine * 4 + blocks + shortcuts + decoder + fine * 2


def test_counts_are_those_of_nnunet() -> None:
    """As ResidualEncoderUNet.compute_conv_feature_map_size of dynamic_network_architectures counts them."""
    cube = NetworkSpec(
        builder="residual_unet",
        features=(32, 64, 128, 256, 320, 320),
        strides=((1, 1, 1), *((2, 2, 2),) * 5),
        kernels=((3, 3, 3),) * 6,
        blocks=(1, 3, 4, 6, 6, 6),
        decoder_blocks=(1,) * 5,
    )
    flat = replace(
        cube,
        features=(*cube.features, 320),
        strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2)),
        kernels=((1, 3, 3), (1, 3, 3), *((3, 3, 3),) * 5),
        blocks=(*cube.blocks, 6),
        decoder_blocks=(1,) * 6,
    )
    assert conv_outputs(cube, (128, 128, 128), classes=3) == 557_420_544
    assert conv_outputs(flat, (24, 256, 256), classes=2) == 676_509_696


@pytest.mark.parametrize(
    ("planned", "free", "peak", "expected"),
    [
        (8, 6.0, 5.5, 5),  # 8 x 0.9 x 6 / 8
        (8, 10.0, 9.8, 7),  # it took more than planned: 8 x 0.9 x 10 / 9.8
        (24, 80.0, 1.0, 21),  # the card was someone else's for a moment
        (8, None, 0.0, 4),
        (0.01, None, 0.0, 0.005),
        (1.5, 1.01, 0.9, 0.9),
    ],
)
def test_a_smaller_budget_by_hand(planned: float, free: float | None, peak: float, expected: float) -> None:
    assert smaller_budget_gb(planned, free, peak) == pytest.approx(expected)


@given(
    planned=st.floats(0.05, 500),
    free=st.none() | st.floats(0, 500),
    peak=st.floats(0, 500),
)
def test_a_smaller_budget_is_smaller_and_above_0(planned: float, free: float | None, peak: float) -> None:
    assert 0 < smaller_budget_gb(planned, free, peak) < planned
