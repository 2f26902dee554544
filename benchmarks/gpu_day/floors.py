"""The floor that hardware sets: what a network's convolutions must compute and move, and what a card is said to do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

PEAKS = {
    "H200": (989.0, 67.0, 4800.0),
    "H100 PCIe": (756.0, 51.0, 2000.0),
    "H100": (989.0, 67.0, 3350.0),
    "A100": (312.0, 19.5, 2039.0),
    "L40S": (362.0, 91.6, 864.0),
    "RTX 4090": (165.0, 82.6, 1008.0),
}
"""Stated peaks: dense bfloat16 and float32 TFLOP/s (no TF32), GB/s. The first name found in the device's counts."""


@dataclass(frozen=True)
class Work:
    """What one pass of a network over a batch takes at least.

    Args:
        flops: of all convolutions, a multiplication and an addition counted apart.
        values: read and written by convolutions: each input once, each output once.
    """

    flops: float
    values: float

    def floor_s(self, tflops: float, gigabytes: float, value_bytes: int) -> float:
        """The longer of computing and moving."""
        return max(self.flops / (tflops * 1e12), self.values * value_bytes / (gigabytes * 1e9))


def count_work(network: nn.Module, image: torch.Tensor) -> Work:
    """Count the forward pass's convolutions by running it once."""
    found: list[Work] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        # Each weight meets each voxel of the side where it isn't strided: outputs, or inputs of a transposed one.
        places = inputs[0] if isinstance(module, nn.ConvTranspose3d) else output
        voxels = places.numel() / places.shape[1]
        found.append(Work(2.0 * weight.numel() * voxels, float(inputs[0].numel() + output.numel())))

    kinds = (nn.Conv3d, nn.ConvTranspose3d)
    handles = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, kinds)]
    with torch.inference_mode():
        network(image)
    for handle in handles:
        handle.remove()
    return Work(sum(work.flops for work in found), sum(work.values for work in found))


def stated_peaks(device: torch.device) -> tuple[float, float, float] | None:
    """PEAKS of this device; None where they are not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peaks for part, peaks in PEAKS.items() if part in name), None)
