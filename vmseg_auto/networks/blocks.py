"""What the stages of a network are made of."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from vmseg_auto.networks.cpu_convolutions import convolve, convolve_transposed
from vmseg_auto.planning.network import Int3


class Conv(nn.Conv3d):
    """nn.Conv3d, which convolves a single slice as the picture that it is: libraries have faster code for those."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Int3,
        stride: Int3 = (1, 1, 1),
        padding: Int3 = (0, 0, 0),
        bias: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stride, padding = self.stride, cast(Int3, self.padding)
        if x.shape[2] > 1 or self.kernel_size[0] > 1:
            return convolve(x, self.weight, self.bias, stride, padding)
        return convolve(x.squeeze(2), self.weight.squeeze(2), self.bias, stride[1:], padding[1:]).unsqueeze(2)


class ConvTranspose(nn.ConvTranspose3d):
    """nn.ConvTranspose3d, which treats a single slice as `Conv` does."""

    def __init__(self, inputs: int, outputs: int, kernel: Int3, stride: Int3) -> None:
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        if output_size is not None:
            return super().forward(x, output_size)
        if x.shape[2] > 1 or self.kernel_size[0] > 1:
            return convolve_transposed(x, self.weight, self.bias, self.stride, (0, 0, 0))
        return convolve_transposed(x.squeeze(2), self.weight.squeeze(2), self.bias, self.stride[1:], (0, 0)).unsqueeze(
            2
        )


class ConvBlock(nn.Sequential):
    """Convolution, instance norm, leaky ReLU, as in nnU-Net (Isensee et al., Nature Methods 2021)."""

    def __init__(self, inputs: int, outputs: int, kernel: Int3, stride: Int3 = (1, 1, 1)) -> None:
        super().__init__(_conv(inputs, outputs, kernel, stride), _norm(outputs), nn.LeakyReLU(0.01, inplace=True))


def conv_blocks(inputs: int, outputs: int, kernel: Int3, stride: Int3, blocks: int) -> nn.Sequential:
    """Return a stage of convolutions, the first of which strides."""
    rest = [ConvBlock(outputs, outputs, kernel) for _ in range(blocks - 1)]
    return nn.Sequential(ConvBlock(inputs, outputs, kernel, stride), *rest)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, as in nnU-Net's residual encoder.

    It is the block of ResNet-D (T. He et al., CVPR 2019): where the block strides, the shortcut takes means rather than
    every second voxel, and where the channels change, a 1 x 1 x 1 convolution with instance norm follows.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Int3, stride: Int3 = (1, 1, 1)) -> None:
        super().__init__()
        self.conv1 = ConvBlock(inputs, outputs, kernel, stride)
        last = _norm(outputs)
        nn.init.zeros_(last.weight)  # so that an untrained block is its shortcut
        self.conv2 = nn.Sequential(_conv(outputs, outputs, kernel), last)
        self.pool = MeanPool(stride, stride) if max(stride) > 1 else nn.Identity()
        self.project = (
            nn.Sequential(Conv(inputs, outputs, 1, bias=False), _norm(outputs)) if inputs != outputs else nn.Identity()
        )
        self.nonlin = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.project(self.pool(x))
        result: torch.Tensor = self.nonlin(self.conv2(self.conv1(x)) + shortcut)
        return result


class Sum(nn.Module):
    """The sum of what two modules make of the same input: a body and its shortcut."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.body(x) + self.shortcut(x)
        return result


class InstanceNorm(nn.InstanceNorm3d):
    """nn.InstanceNorm3d, which on a CPU keeps channels last where they are, rather than copying them to the front.

    Of a single sample it is what batch normalisation is of a batch, for which torch has the code.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu" or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            return super().forward(x)
        norm = functional.batch_norm
        alone = [norm(sample, None, None, self.weight, self.bias, True, 0.0, self.eps) for sample in torch.split(x, 1)]
        return alone[0] if len(alone) == 1 else torch.cat(alone)


class MeanPool(nn.AvgPool3d):
    """nn.AvgPool3d over blocks side by side, for whose gradients CUDA has no deterministic algorithm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.are_deterministic_algorithms_enabled():
            return super().forward(x)
        for axis, size in enumerate(cast(Int3, self.kernel_size), 2):
            count = x.shape[axis] // size
            x = x.narrow(axis, 0, count * size)
            x = x.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :]).mean(axis + 1)
        return x


def _conv(inputs: int, outputs: int, kernel: Int3, stride: Int3 = (1, 1, 1)) -> Conv:
    return Conv(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2))


def _norm(features: int) -> InstanceNorm:
    return InstanceNorm(features, eps=1e-5, affine=True)
