"""Training steps and prediction windows a second on one device, beside the floor that its hardware sets.

    python -m benchmarks.gpu [--device cuda] [--memory 8] [--precision bf16 float32]

Needs torch, numpy, scipy and batchgenerators alone, and never SimpleITK: data is made up.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from vmseg_auto.core.fingerprint import CaseSummary, ChannelStats, Fingerprint
from vmseg_auto.core.geometry import Geometry, Shape
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.prepared import PreparedCase
from vmseg_auto.ops.devices import autocast, choose_device, describe
from vmseg_planners.default import DefaultPlanner
from vmseg_trainers.default import DefaultTrainer

PEAKS = {
    "H200": (989.0, 67.0, 4800.0),
    "H100 PCIe": (756.0, 51.0, 2000.0),
    "H100": (989.0, 67.0, 3350.0),
    "A100": (312.0, 19.5, 2039.0),
    "L40S": (362.0, 91.6, 864.0),
    "RTX 4090": (165.0, 82.6, 1008.0),
}
"""Stated peaks: dense bfloat16 and float32 TFLOP/s (no TF32), GB/s. The first name found in the device's counts."""
DTYPES = {"bf16": torch.bfloat16, "float32": None}
CLASSES = 2


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


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        what: "training step" or "window".
        per_s: steps or windows a second, median.
        floor_per_s: the most that the hardware's stated peak allows; None where it isn't known.
        share: per_s / floor_per_s.
        augmented: whether augmentation on the device is in it.
    """

    what: str
    precision: str
    batch: int
    per_s: float
    gflops: float
    gigabytes: float
    floor_per_s: float | None
    share: float | None
    augmented: bool
    peak_memory_mib: float | None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory", type=float, default=8.0, metavar="GB", help="budget of the plan (default: 8)")
    parser.add_argument("--shape", type=int, nargs=3, default=(75, 511, 511), help="voxels Z Y X of a scan")
    parser.add_argument("--spacing", type=float, nargs=3, default=(2.0, 0.5, 0.5), help="mm Z Y X")
    parser.add_argument("--precision", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--windows", type=int, nargs="+", default=(1, 4), metavar="N", help="windows at a time")
    parser.add_argument("--repeats", type=int, default=20, metavar="N")
    parser.add_argument("--peak", type=float, nargs=3, metavar=("BF16", "FP32", "GB/S"), help="if not known: TFLOP/s")
    arguments = parser.parse_args(argv)
    device = choose_device(arguments.device)
    torch.backends.cudnn.benchmark = True
    plan = planned(tuple(arguments.shape), tuple(arguments.spacing), arguments.memory)
    peaks = tuple(arguments.peak) if arguments.peak else stated_peaks(device)
    rows: list[Row] = []
    for precision in arguments.precision:
        bench = DeviceBench(plan, device, precision, peaks, arguments.repeats)
        rows.append(bench.training())
        rows += [bench.windows(count) for count in arguments.windows]
    about = {
        "device": describe(device, None), "torch": torch.__version__, "patch": plan.patch,
        "batch_size": plan.batch_size, "features": plan.network.features, "peaks": peaks,
    }  # fmt: skip
    print(json.dumps({**about, "rows": [asdict(row) for row in rows]}))
    print(text_table(rows))
    return 0


class DeviceBench:
    """One plan on one device in one precision."""

    def __init__(
        self, plan: Plan, device: torch.device, precision: str, peaks: tuple[float, ...] | None, repeats: int
    ) -> None:
        self.plan, self.device, self.precision, self.peaks, self.repeats = plan, device, precision, peaks, repeats
        self.dtype = DTYPES[precision]
        torch.manual_seed(0)
        self.parts = DefaultTrainer()(plan, DefaultTrainer.recipe, device, 1, CLASSES)

    def training(self) -> Row:
        """Steps as the training loop takes them, on a fixed batch that lies on the device."""
        augment: Any = getattr(self.parts, "device_augment", None)
        image, label = self._batch(augment is not None)
        network, optimizer = self.parts.network.train(), self.parts.optimizer
        numbers = iter(range(10**9))

        def step() -> None:
            now, target = image, label
            if augment is not None:
                now, target = augment(image, label, [next(numbers) for _ in range(len(image))])
            optimizer.zero_grad(set_to_none=True)
            with autocast(self.device, self.dtype):
                outputs = network(now)
            torch.autograd.backward(self.parts.loss(outputs, target.long()))
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.parts.recipe.gradient_clip)
            optimizer.step()

        forward = self._work(self.plan.batch_size)
        # The backward pass convolves twice: for the gradients of inputs and of weights.
        work = Work(3 * forward.flops, 3 * forward.values)
        return self._row("training step", self.plan.batch_size, step, 1, work, augment is not None)

    def windows(self, count: int) -> Row:
        """Forward passes over `count` windows at a time."""
        network = self.parts.network.eval()
        image = torch.randn((count, 1, *self.plan.patch), device=self.device)

        def step() -> None:
            with torch.inference_mode(), autocast(self.device, self.dtype):
                network(image)

        return self._row("window", count, step, count, self._work(count), False)

    def _row(self, what: str, batch: int, step: Callable[[], None], each: int, work: Work, augmented: bool) -> Row:
        seconds, memory = timed(step, self.repeats, self.device)
        size = 4 if self.dtype is None else 2
        floor = None
        if self.peaks is not None:
            floor = each / work.floor_s(self.peaks[1 if self.dtype is None else 0], self.peaks[2], size)
        rate = each / seconds
        return Row(
            what, self.precision, batch, rate, work.flops / 1e9, work.values * size / 1e9, floor,
            rate / floor if floor else None, augmented, memory,
        )  # fmt: skip

    def _batch(self, for_device: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch as the sampler draws it, to be augmented on the device, or else augmented once here."""
        case, rng = made_up_case(self.plan), np.random.default_rng(0)
        patches = [self.parts.sampler([case], True, rng) for _ in range(self.plan.batch_size)]
        if not for_device:
            patches = [self.parts.augment(patch, seed) for seed, patch in enumerate(patches)]
        images, labels = (np.stack(arrays) for arrays in zip(*patches, strict=True))
        return torch.from_numpy(images).to(self.device), torch.from_numpy(labels).to(self.device)

    def _work(self, batch: int) -> Work:
        return count_work(self.parts.network, torch.zeros((batch, 1, *self.plan.patch), device=self.device))


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


def timed(step: Callable[[], None], repeats: int, device: torch.device) -> tuple[float, float | None]:
    """Median seconds of a step, the device waited for after each, and its peak memory in MiB where it tells."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    for number in range(repeats + max(1, repeats // 4)):
        began = time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize(device)
        if number >= max(1, repeats // 4):
            times.append(time.perf_counter() - began)
    return float(np.median(times)), torch.cuda.max_memory_allocated(device) / 2**20 if cuda else None


def planned(shape: Shape, spacing_mm: tuple[float, float, float], memory_gb: float) -> Plan:
    """The default plan for a cohort of 50 such scans of one channel."""
    case = CaseSummary(shape, shape, spacing_mm, {1: 1000}, "made up")
    stats = ChannelStats(0.0, 0.0, 1.0, -3.0, 3.0, -2.5, 2.5)
    cases = {f"case_{number:02d}": case for number in range(50)}
    labels = {"background": 0, "lesion": 1}
    return DefaultPlanner()(Fingerprint("made up", ("T2",), labels, cases, (stats,), 1.0, "made up"), memory_gb)


def made_up_case(plan: Plan) -> PreparedCase:
    """Noise with a cuboid of class 1, half as large again as the patch."""
    z, y, x = (3 * n // 2 for n in plan.patch)
    label = np.zeros((z, y, x), np.uint8)
    label[z // 3 : z // 2, y // 3 : y // 2, x // 3 : x // 2] = 1
    image = np.random.default_rng(0).standard_normal((1, z, y, x), np.float32)
    places = {1: np.argwhere(label == 1).astype(np.int32)}
    grid = Geometry((z, y, x), plan.spacing_mm)
    return PreparedCase("made up", image, label, grid, ((0, z), (0, y), (0, x)), places, "made up")


def stated_peaks(device: torch.device) -> tuple[float, ...] | None:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peaks for part, peaks in PEAKS.items() if part in name), None)


def text_table(rows: Sequence[Row]) -> str:
    lines = [f"{'what':<14}{'precision':<10}{'batch':>5}{'a second':>10}{'floor':>10}{'share':>7}{'GFLOP':>9}{'GB':>8}"]
    for row in rows:
        floor = f"{row.floor_per_s:.1f}" if row.floor_per_s else "-"
        share = f"{row.share:.0%}" if row.share else "-"
        lines.append(
            f"{row.what:<14}{row.precision:<10}{row.batch:>5}{row.per_s:>10.2f}{floor:>10}{share:>7}"
            f"{row.gflops:>9.1f}{row.gigabytes:>8.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
