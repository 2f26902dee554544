"""What the card reaches at most: products in bfloat16, and copies within its memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_least, at_most, noted
from benchmarks.gpu_day.floors import stated_peaks
from vmseg_auto.utils.devices import cudnn_fault

REACHED = 0.6
"""Share of the stated peak that a healthy card reaches at least."""


def find(day: Day) -> Iterator[Figure]:
    yield at_most("faults of cuDNN", float(cudnn_fault() is not None), 0)
    if day.cuda:
        yield noted("memory of the card", torch.cuda.get_device_properties(day.device).total_memory / 2**30, "GiB")
    peaks = stated_peaks(day.device)
    tflops, _, gigabytes = peaks or (None, None, None)
    yield _beside("product in bfloat16", product_tflops(day), tflops, "TFLOP/s")
    yield _beside("copy, read and written", copy_gigabytes(day), gigabytes, "GB/s")


def product_tflops(day: Day) -> float:
    """Of a square matrix by another, both random: zeros would be faster."""
    n = day.size(8192, 256)
    a, b = (torch.randn(n, n, device=day.device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / day.median_s(lambda: a @ b, 10, 3) / 1e12


def copy_gigabytes(day: Day) -> float:
    """Bytes read and bytes written, a second."""
    source = torch.randn(day.size(2**30, 2**20), device=day.device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / day.median_s(lambda: target.copy_(source), 10, 3) / 1e9


def _beside(name: str, value: float, peak: float | None, unit: str) -> Figure:
    return noted(name, value, unit) if peak is None else at_least(name, value, REACHED * peak, unit)
