"""Networks, built from the numbers of a plan."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

import torch
from torch import nn

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.plan import Int3, NetworkSpec

ENTRY_POINTS = "vmseg_auto.networks"


class ConvBlock(nn.Sequential):
    """Convolution, instance norm, leaky ReLU, as in nnU-Net (Isensee et al., Nature Methods 2021)."""

    def __init__(self, inputs: int, outputs: int, kernel: Int3, stride: Int3 = (1, 1, 1)) -> None:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        super().__init__(
            nn.Conv3d(inputs, outputs, kernel, stride, padding),
            nn.InstanceNorm3d(outputs, eps=1e-5, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        )


class PlainUNet(nn.Module):
    """U-Net with strided convolutions down and transposed convolutions up.

    Maps [B, channels, Z, Y, X] to logits [B, classes, Z, Y, X]. While training with deep supervision it gives a
    list of logits, the finest first, one for each decoder level.
    """

    def __init__(self, spec: NetworkSpec, channels: int, classes: int) -> None:
        super().__init__()
        self.deep_supervision = spec.deep_supervision
        self.encoder = nn.ModuleList()
        inputs = channels
        for features, stride, kernel, blocks in zip(
            spec.features, spec.strides, spec.kernels, spec.blocks, strict=True
        ):
            self.encoder.append(_stage(inputs, features, kernel, stride, blocks))
            inputs = features
        self.up, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(len(spec.features) - 2, -1, -1):
            fine, coarse, stride = spec.features[level], spec.features[level + 1], spec.strides[level + 1]
            self.up.append(nn.ConvTranspose3d(coarse, fine, stride, stride))
            self.decoder.append(_stage(2 * fine, fine, spec.kernels[level], (1, 1, 1), spec.decoder_blocks[level]))
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


def _stage(inputs: int, features: int, kernel: Int3, stride: Int3, blocks: int) -> nn.Sequential:
    rest = [ConvBlock(features, features, kernel) for _ in range(blocks - 1)]
    return nn.Sequential(ConvBlock(inputs, features, kernel, stride), *rest)


def _initialise(module: nn.Module) -> None:
    """He initialisation for leaky ReLU, zero biases (He et al., ICCV 2015)."""
    if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


_BUILDERS: dict[str, Callable[[NetworkSpec, int, int], nn.Module]] = {"plain_unet": PlainUNet}


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
