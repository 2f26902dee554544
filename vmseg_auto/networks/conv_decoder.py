"""What nnU-Net's decoder of convolutions costs, and what nnU-Net calls its tensors; no torch, as planners ask."""

from __future__ import annotations

from collections.abc import Iterator

from vmseg_auto.planning.network import Layer, NetworkSpec

CLASSES = "dynamic_network_architectures.architectures"
"""The package of nnU-Net's networks."""
KINDS = {"0": "conv", "1": "norm"}
"""nnU-Net names the layers of a block by what they are, we by their place."""


def decoder_layers(spec: NetworkSpec, classes: int) -> Iterator[Layer]:
    """List the decoder's transposed convolutions and convolutions, and the finest logits."""
    for stage, blocks in enumerate(spec.decoder_blocks):
        fine, coarse, kernel = spec.features[stage], spec.features[stage + 1], spec.kernels[stage]
        yield Layer.conv(stage, coarse, fine, spec.strides[stage + 1])
        yield Layer.conv(stage, 2 * fine, fine, kernel)
        yield from [Layer.conv(stage, fine, fine, kernel)] * (blocks - 1)
    yield Layer.conv(0, spec.features[0], classes)


def decoder_name(name: str) -> str | None:
    """Return what nnU-Net calls one of the decoder's tensors; None for one of the encoder's."""
    match name.split("."):
        case ["up", level, kind]:
            return f"decoder.transpconvs.{level}.{kind}"
        case ["heads", level, kind]:
            return f"decoder.seg_layers.{level}.{kind}"
        case ["decoder", level, block, place, kind]:
            return f"decoder.stages.{level}.convs.{block}.{KINDS[place]}.{kind}"
    return None
