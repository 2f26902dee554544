"""MedNeXt (Roy et al., MICCAI 2023, arXiv:2303.09975): a U-Net of ConvNeXt blocks throughout.

A block is a depthwise convolution, a norm of each channel, and two convolutions of a single voxel that widen the
channels by the expansion ratio and narrow them again, with GELU in between, beside a shortcut. The blocks that halve
and double the resolution are the same with a strided depthwise convolution, and a strided convolution of a single
voxel as shortcut. Where the decoder meets the encoder, the two are added.

Unlike the paper, kernels and strides are those of the plan, which spare thick slices, and the coarsest stage gives no
logits: deep supervision is that of our other networks.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmseg_auto.planning.network import Int3, Layer, NetworkFamily, NetworkSpec
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import decode

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Arguments:
    """What a MedNeXt needs beside the numbers of every network.

    Args:
        expansion: ratio of each stage, the finest first, in encoder and decoder; the last holds for all deeper ones.
    """

    expansion: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.expansion) <= 10 or not all(1 <= ratio <= 16 for ratio in self.expansion):
            raise InputError(f"expansion is {self.expansion}", remedy="It is a list of 1 to 10 numbers from 1 to 16.")


def build(spec: NetworkSpec, channels: int, classes: int) -> nn.Module:
    """Build the network; see `build_network`."""
    from torch import nn

    from vmseg_auto.networks.blocks import Conv
    from vmseg_auto.networks.unet import UNet

    features, kernels, strides, ratios = spec.features, spec.kernels, spec.strides, expansion(spec)

    def stage(level: int, blocks: int) -> Iterator[nn.Module]:
        width = features[level]
        return (block(width, width, ratios[level], kernels[level]) for _ in range(blocks))

    encoder = [nn.Sequential(Conv(channels, features[0], 1), *stage(0, spec.blocks[0]))]
    up, decoder, heads = [], [], []
    for level in range(1, len(features)):
        fine, coarse, resample = features[level - 1], features[level], (kernels[level], strides[level])
        down = block(fine, coarse, ratios[level], *resample)
        encoder.append(nn.Sequential(down, *stage(level, spec.blocks[level])))
        up.append(block(coarse, fine, ratios[level - 1], *resample, up=True))
        decoder.append(nn.Sequential(*stage(level - 1, spec.decoder_blocks[level - 1])))
        heads.append(Conv(fine, classes, 1))
    return UNet(encoder, up[::-1], decoder[::-1], heads[::-1], spec.deep_supervision, join=operator.add)


def block(
    inputs: int, outputs: int, ratio: int, kernel: Int3, stride: Int3 | None = None, up: bool = False
) -> nn.Module:
    """Return a block; with a stride, one that changes the resolution.

    Args:
        inputs, outputs: channels.
        ratio: of expansion.
        kernel: of the depthwise convolution.
        stride: None where the resolution stays.
        up: whether the resolution becomes finer by the stride, rather than coarser.
    """
    from torch import nn

    from vmseg_auto.networks.blocks import Conv, InstanceNorm, Sum

    def conv(outputs: int, kernel: Int3, groups: int = 1) -> nn.Module:
        (z, y, x), steps = kernel, stride or (1, 1, 1)
        padding = z // 2, y // 2, x // 2
        if up:
            missing = steps[0] - 1, steps[1] - 1, steps[2] - 1
            return nn.ConvTranspose3d(inputs, outputs, kernel, steps, padding, missing, groups)
        return nn.Conv3d(inputs, outputs, kernel, steps, padding, groups=groups)

    body = nn.Sequential(
        conv(inputs, kernel, groups=inputs),
        InstanceNorm(inputs, affine=True),  # the paper's GroupNorm of one channel a group
        Conv(inputs, ratio * inputs, 1),
        nn.GELU(),
        Conv(ratio * inputs, outputs, 1),
    )
    return Sum(body, conv(outputs, (1, 1, 1)) if stride else nn.Identity())


def layers(spec: NetworkSpec, classes: int) -> Iterator[Layer]:
    """List its convolutions; those of one image channel."""
    ratios = expansion(spec)

    def body(stage: int, inputs: int, outputs: int, kernel: Int3) -> Iterator[Layer]:
        yield Layer.conv(stage, inputs, inputs, kernel, groups=inputs)
        yield Layer.conv(stage, inputs, ratios[stage] * inputs)
        yield Layer.conv(stage, ratios[stage] * inputs, outputs)

    yield Layer.conv(0, 1, spec.features[0])
    for stage, (width, kernel) in enumerate(zip(spec.features, spec.kernels, strict=True)):
        for _ in range(spec.blocks[stage] + sum(spec.decoder_blocks[stage : stage + 1])):
            yield from body(stage, width, width, kernel)
        if stage > 0:
            finer = spec.features[stage - 1]
            for level, inputs, outputs in ((stage, finer, width), (stage - 1, width, finer)):  # down, up
                yield from body(level, inputs, outputs, kernel)
                yield Layer.conv(level, inputs, outputs)
    yield Layer.conv(0, spec.features[0], classes)


def expansion(spec: NetworkSpec) -> list[int]:
    """Return the expansion ratio of each stage, the finest first."""
    ratios = decode(Arguments, spec.arguments, "network.arguments").expansion
    return [ratios[min(stage, len(ratios) - 1)] for stage in range(len(spec.features))]


NETWORK = NetworkFamily(
    title="MedNeXt",
    block="MedNeXt blocks",
    decoder_block="MedNeXt block",
    build=build,
    layers=layers,
    arguments=Arguments,
    kept_bytes=3.3,
)
