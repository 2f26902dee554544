"""nnU-Net's plain U-Net (Isensee et al., Nature Methods 2021): stages of convolutions, the first of which strides."""

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
    from vmseg_auto.networks.blocks import conv_blocks
    from vmseg_auto.networks.unet import with_conv_decoder

    widths = pairwise((channels, *spec.features))
    stages = [
        conv_blocks(inputs, outputs, kernel, stride, blocks)
        for (inputs, outputs), kernel, stride, blocks in zip(
            widths, spec.kernels, spec.strides, spec.blocks, strict=True
        )
    ]
    return with_conv_decoder(stages, spec, classes)


def layers(spec: NetworkSpec, classes: int) -> Iterator[Layer]:
    """List its convolutions; those of one image channel."""
    widths = pairwise((1, *spec.features))
    for stage, ((inputs, outputs), kernel, blocks) in enumerate(zip(widths, spec.kernels, spec.blocks, strict=True)):
        yield Layer.conv(stage, inputs, outputs, kernel)
        yield from [Layer.conv(stage, outputs, outputs, kernel)] * (blocks - 1)
    yield from decoder_layers(spec, classes)


def nnunet_name(name: str, spec: NetworkSpec) -> str:
    """Return what nnU-Net calls one of its tensors."""
    if theirs := decoder_name(name):
        return theirs
    _, stage, block, place, kind = name.split(".")
    return f"encoder.stages.{stage}.0.convs.{block}.{KINDS[place]}.{kind}"


NETWORK = NetworkFamily(
    title="plain U-Net",
    block="convolutions",
    decoder_block="convolution",
    build=build,
    layers=layers,
    nnunet=Counterpart((f"{CLASSES}.unet.PlainConvUNet",), "n_conv_per_stage", nnunet_name),
)
