"""Networks, built from the numbers of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from itertools import pairwise

import torch
from torch import nn

from vmseg_auto.networks.blocks import ConvBlock, ResidualBlock
from vmseg_auto.planning.plan import Int3, NetworkSpec
from vmseg_auto.utils.errors import InputError

ENTRY_POINTS = "vmseg_auto.networks"


class UNet(nn.Module):
    """U-Net with a given encoder, transposed convolutions up and plain convolutions in the decoder.

    Maps [B, channels, Z, Y, X] to logits [B, classes, Z, Y, X]. While training with deep supervision it gives a
    list of logits, the finest first, one for each decoder level.

    Args:
        stages: the encoder, the finest first; `stages[i]` strides by `spec.strides[i]` to `spec.features[i]` channels.
        spec: the network's numbers.
        classes: labels, background included.
    """

    def __init__(self, stages: Sequence[nn.Module], spec: NetworkSpec, classes: int) -> None:
        super().__init__()
        self.deep_supervision = spec.deep_supervision
        self.encoder = nn.ModuleList(stages)
        self.up, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(len(spec.features) - 2, -1, -1):
            fine, coarse, stride = spec.features[level], spec.features[level + 1], spec.strides[level + 1]
            self.up.append(nn.ConvTranspose3d(coarse, fine, stride, stride))
            self.decoder.append(_convs(2 * fine, fine, spec.kernels[level], (1, 1, 1), spec.decoder_blocks[level]))
            self.heads.append(nn.Conv3d(fine, classes, 1))
        self.apply(_initialise)

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        skips = []
        x = image
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        outputs = []
        for up, stage, head in zip(self.up, self.decoder, self.heads, strict=True):
            x = stage(torch.cat([up(x), skips.pop()], dim=1))
            if (self.training and self.deep_supervision) or not skips:
                outputs.append(head(x))
        return outputs[::-1] if self.training else outputs[-1]


def plain_unet(spec: NetworkSpec, channels: int, classes: int) -> UNet:
    """nnU-Net's plain U-Net: stages of convolutions, the first of which strides."""
    widths = pairwise((channels, *spec.features))
    stages = [
        _convs(inputs, outputs, kernel, stride, blocks)
        for (inputs, outputs), kernel, stride, blocks in zip(
            widths, spec.kernels, spec.strides, spec.blocks, strict=True
        )
    ]
    return UNet(stages, spec, classes)


def residual_unet(spec: NetworkSpec, channels: int, classes: int) -> UNet:
    """nnU-Net's residual-encoder U-Net: a convolution as stem, then stages of residual blocks."""
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
    return UNet(stages, spec, classes)


def _convs(inputs: int, outputs: int, kernel: Int3, stride: Int3, blocks: int) -> nn.Sequential:
    rest = [ConvBlock(outputs, outputs, kernel) for _ in range(blocks - 1)]
    return nn.Sequential(ConvBlock(inputs, outputs, kernel, stride), *rest)


def _initialise(module: nn.Module) -> None:
    """He initialisation for leaky ReLU, zero biases (He et al., ICCV 2015)."""
    if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


_BUILDERS: dict[str, Callable[[NetworkSpec, int, int], nn.Module]] = {
    "plain_unet": plain_unet,
    "residual_unet": residual_unet,
}


def build_network(spec: NetworkSpec, channels: int, classes: int) -> nn.Module:
    """Build the network that a plan describes.

    Args:
        spec: its numbers; `spec.builder` is a built-in name or an installed entry point of `vmseg_auto.networks`.
        channels: image channels.
        classes: labels, background included.

    Raises:
        InputError: no such builder is installed.
    """
    builder = _BUILDERS.get(spec.builder)
    if builder is None:
        installed = entry_points(group=ENTRY_POINTS)
        if spec.builder not in installed.names:
            known = ", ".join(sorted({*_BUILDERS, *installed.names}))
            raise InputError(
                f"there is no network builder {spec.builder!r}",
                remedy=f"Known are: {known}. Install the package it is from.",
            )
        builder = installed[spec.builder].load()
    network: nn.Module = builder(spec, channels, classes)
    return network
