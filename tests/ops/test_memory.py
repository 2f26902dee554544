"""The estimate of memory against convolutions counted by hand."""

from __future__ import annotations

from vmseg_auto.core.plan import NetworkSpec
from vmseg_auto.ops.memory import conv_outputs


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
