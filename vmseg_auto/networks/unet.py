"""The U-Net that all networks here are kinds of, and networks built from the numbers of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from vmseg_auto.networks.blocks import Conv, ConvTranspose, conv_blocks
from vmseg_auto.planning.network import NetworkSpec


class UNet(nn.Module):
    """An encoder, and a decoder that joins each of its stages with what comes up from the coarser one.

    Maps [B, channels, Z, Y, X] to logits [B, classes, Z, Y, X]. While training with deep supervision it returns a
    list of logits, the finest first, one for each decoder level.

    Args:
        encoder: its stages, the finest first.
        up, decoder, heads: of each decoder level, the coarsest first: what brings the coarser level to this one's
            resolution, what works on the two joined, and the logits of it.
        deep_supervision: whether each decoder level gives logits in training, or the finest alone.
        join: (what came up, the encoder's stage) -> what the decoder's stage works on.
    """

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        up: Sequence[nn.Module],
        decoder: Sequence[nn.Module],
        heads: Sequence[nn.Module],
        deep_supervision: bool,
        join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self.deep_supervision, self.join = deep_supervision, join
        self.encoder, self.up = nn.ModuleList(encoder), nn.ModuleList(up)
        self.decoder, self.heads = nn.ModuleList(decoder), nn.ModuleList(heads)

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        skips = []
        x = image
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        outputs = []
        for up, stage, head in zip(self.up, self.decoder, self.heads, strict=True):
            x = stage(self.join(up(x), skips.pop()))
            if (self.training and self.deep_supervision) or not skips:
                outputs.append(head(x))
        return outputs[::-1] if self.training else outputs[-1]


def with_conv_decoder(encoder: Sequence[nn.Module], spec: NetworkSpec, classes: int) -> UNet:
    """Return nnU-Net's U-Net with this encoder: transposed convolutions up, and convolutions in the decoder.

    Args:
        encoder: `encoder[i]` strides by `spec.strides[i]` to `spec.features[i]` channels.
        spec: the network's numbers.
        classes: labels, background included.
    """
    up: list[nn.Module] = []
    decoder: list[nn.Module] = []
    heads: list[nn.Module] = []
    for level in range(len(spec.features) - 2, -1, -1):
        fine, coarse, stride = spec.features[level], spec.features[level + 1], spec.strides[level + 1]
        up.append(ConvTranspose(coarse, fine, stride, stride))
        decoder.append(conv_blocks(2 * fine, fine, spec.kernels[level], (1, 1, 1), spec.decoder_blocks[level]))
        heads.append(Conv(fine, classes, 1))
    return UNet(encoder, up, decoder, heads, spec.deep_supervision, _side_by_side).apply(_initialise)


def build_network(spec: NetworkSpec, channels: int, classes: int) -> nn.Module:
    """Build the network that a plan describes.

    Args:
        spec: its numbers.
        channels: image channels.
        classes: labels, background included.

    Raises:
        InputError: no network of this name is known, or one of its arguments is wrong.
    """
    spec.check_arguments()
    return spec.family.build(spec, channels, classes)


def _side_by_side(up: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    return torch.cat([up, skip], dim=1)


def _initialise(module: nn.Module) -> None:
    """Draw weights by He initialisation for leaky ReLU, with biases of zero (He et al., ICCV 2015)."""
    if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
