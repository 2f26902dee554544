"""Convolutions of a prediction on a CPU in float32, of which oneDNN is asked directly.

For a single window torch itself takes oneDNN only for large inputs, and slower code of its own for the others: those
of coarse stages, and convolutions of a single voxel on one thread (`use_mkldnn` in its ATen/native/Convolution.cpp).
What is asked here is not documented by torch. So it is tried on a small product first, and where it is absent, or does
not give what the public function gives, that one is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch.nn import functional


class Function(Protocol):
    """x [B, C, (Z,) Y, X], weight, bias, and stride and padding of each axis -> [B, K, (Z,) Y, X]."""

    def __call__(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        /,
    ) -> torch.Tensor: ...


@dataclass(frozen=True)
class Convolution:
    """A convolution, computed by oneDNN where that is right and a prediction on the CPU, else by torch.

    Args:
        direct: asks oneDNN.
        public: torch's own.
    """

    direct: Function
    public: Function

    def __call__(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
    ) -> torch.Tensor:
        chosen = self.direct if _predicts(x, weight) and self.trusted else self.public
        return chosen(x, weight, bias, stride, padding)

    @cached_property
    def trusted(self) -> bool:
        """Whether both give the same of seeded noise, in 2-D and in 3-D, in either layout."""
        generator = torch.Generator().manual_seed(0)
        for axes, last in ((2, torch.channels_last), (3, torch.channels_last_3d)):
            x = torch.randn((1, 5, *(6, 7, 4)[:axes]), generator=generator)
            weight = torch.randn((5, 5, *(2, 3, 2)[:axes]), generator=generator)
            rest = torch.randn(5, generator=generator), (2, 1, 2)[:axes], (0, 1, 0)[:axes]
            for layout in (torch.contiguous_format, last):
                try:
                    found = self.direct(x.to(memory_format=layout), weight.to(memory_format=layout), *rest)
                    if not torch.allclose(found, self.public(x, weight, *rest), rtol=1e-4, atol=1e-4):
                        return False
                except (AttributeError, RuntimeError, TypeError):  # absent, not built in, or called in another way
                    return False
        return True


def _predicts(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Return whether it is a prediction on the CPU in float32: all else is left to torch."""
    return (
        not torch.compiler.is_compiling()  # asked first: a compiler refuses the next question
        and torch.is_inference_mode_enabled()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and bool(torch.backends.mkldnn.enabled)
    )


def _by_axes(pictures: Any, volumes: Any) -> Function:
    """Return torch's function for [B, C, Y, X] and that for [B, C, Z, Y, X] as one."""

    def public(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Sequence[int], padding: Sequence[int]
    ) -> torch.Tensor:
        result: torch.Tensor = (volumes if x.dim() == 5 else pictures)(x, weight, bias, stride, padding)
        return result

    return public


def _direct(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Sequence[int], padding: Sequence[int]
) -> torch.Tensor:
    function: Any = torch.mkldnn_convolution
    result: torch.Tensor = function(x, weight, bias, padding, stride, [1] * len(stride), 1)
    return result


def _direct_transposed(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Sequence[int], padding: Sequence[int]
) -> torch.Tensor:
    function: Any = torch.ops.mkldnn._convolution_transpose_pointwise
    none, ones = [0] * len(stride), [1] * len(stride)
    result: torch.Tensor = function(x, weight, bias, padding, none, stride, ones, 1, "none", [], "")
    return result


convolve = Convolution(_direct, _by_axes(functional.conv2d, functional.conv3d))
"""conv3d, or conv2d where x has no Z."""
convolve_transposed = Convolution(
    _direct_transposed, _by_axes(functional.conv_transpose2d, functional.conv_transpose3d)
)
"""conv_transpose3d, or conv_transpose2d where x has no Z."""
