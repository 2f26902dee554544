"""Logits and masks of a network that has learnt a little: the device in each precision beside the CPU in float32."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.gpu_day.cohorts import Cohort
from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_least, at_most
from benchmarks.gpu_day.learning import PRECISIONS, alike, logits_of, ready, trained

LOGIT_ERROR = {"float32": 1e-3, "bf16": 0.05, "fp16": 0.01}
"""Largest norm of the difference, as a share of the norm."""
SAME_CLASS = {"float32": 0.9999, "bf16": 0.995, "fp16": 0.999}
"""Smallest share of voxels."""


def find(day: Day) -> Iterator[Figure]:
    scans = day.cohort("vmsemi53")
    yield from beside(day, scans, day.size(5, 2), day.size(150, 5), 0.5)
    # Side by side, as the CPU computes every window too.
    yield from beside(day, day.cohort("head"), 1, day.size(40, 5), 1.0)


def beside(day: Day, cohort: Cohort, count: int, steps: int, window_step: float) -> Iterator[Figure]:
    """The worst of so many held-out scans, in each precision."""
    network = trained(cohort, day.device, steps)
    images = [day.image(case) for case in cohort.held_out(count)]
    cpu = torch.device("cpu")
    on_cpu = ready(network, cpu, "float32")
    wanted = [logits_of([on_cpu], image, cohort, cpu, "float32", step=window_step) for image in images]
    for precision in PRECISIONS:
        asked = ready(network, day.device, precision)
        got = [logits_of([asked], image, cohort, day.device, precision, step=window_step) for image in images]
        errors, shares = zip(*map(alike, got, wanted), strict=True)
        name = f"{cohort.name}, {precision}"
        yield at_most(f"logits ({name})", max(errors), LOGIT_ERROR[precision])
        yield at_least(f"voxels of the same class ({name})", min(shares), SAME_CLASS[precision])
