"""nnU-Net's residual-encoder U-Net (Isensee et al., MICCAI 2024): a convolution as stem, stages of residual blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from vmseg_auto.networks.conv_decoder import CLASSES, KINDS, decoder_layers, decoder_name
from vmseg_auto.planning.network import Counterpart, Layer, NetworkFamily, NetworkSpec

if TYPE_CHECKING:
    from torch import nn


def build(spec: NetworkSpec, channels: int, classes: int) -> nn.Module:
    """Build the network; see `build_network`."""
    from torch import nn

    from vmseg_auto.networks.blocks import ConvBlock, ResidualBlock
    from vmseg_auto.networks.unet import with_conv_decoder

    stem = ConvBlock(channels, spec.features[0], spec.kernels[0])
    widths = pairwise((spec.features[0], *spec.features))
    stages = [
        nn.Sequential(
            ResidualBlock(inputs, outputs, kernel, stride),
            *(ResidualBlock(outputs, outputs, kernel) for _ in range(blocks - 1)),
        )
        for (inputs, outputs), kernel, stride, blocks in zip(
            widths, spec.kernels, spec.strides, spec.blocks, strict=True
        )
    ]
    stages[0].insert(0, stem)
    return with_conv_decoder(stages, spec, classes)


def layers(spec: NetworkSpec, classes: int) -> Iterator[Layer]:
    """List its convolutions, and the shortcuts that pool or change the channels; those of one image channel."""
    yield Layer.conv(0, 1, spec.features[0], spec.kernels[0])
    widths = pairwise((spec.features[0], *spec.features))
    for stage, ((inputs, outputs), kernel, blocks) in enumerate(zip(widths, spec.kernels, spec.blocks, strict=True)):
        if inputs != outputs:
            yield Layer.conv(stage, inputs, outputs)
        elif max(spec.strides[stage]) > 1:
            yield Layer(stage, outputs)
        yield Layer.conv(stage, inputs, outputs, kernel)
        yield from [Layer.conv(stage, outputs, outputs, kernel)] * (2 * blocks - 1)
    yield from decoder_layers(spec, classes)


def nnunet_name(name: str, spec: NetworkSpec) -> str:
    """Return what nnU-Net calls one of its tensors."""
    if theirs := decoder_name(name):
        return theirs
    _, stage, block, *layer, kind = name.split(".")
    if stage == "0":  # our first stage begins with the stem
        if block == "0":
            return f"encoder.stem.convs.0.{KINDS[layer[0]]}.{kind}"
        block = str(int(block) - 1)
    branch, place = layer
    if branch == "project":  # behind the pooling, where there is one
        branch = f"skip.{int(max(spec.strides[int(stage)]) > 1)}"
    return f"encoder.stages.{stage}.blocks.{block}.{branch}.{KINDS[place]}.{kind}"


NETWORK = NetworkFamily(
    title="residual-encoder U-Net",
    block="blocks of two convolutions",
    decoder_block="convolution",
    build=build,
    layers=layers,
    nnunet=Counterpart(
        (f"{CLASSES}.unet.ResidualEncoderUNet", f"{CLASSES}.residual_unet.ResidualEncoderUNet"),
        "n_blocks_per_stage",
        nnunet_name,
    ),
)
