"""Logits and masks of a network that has learnt a little: the device in each precision beside the CPU in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.gpu_day.cohorts import TOY_GB, Cohort
from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_least, at_most
from benchmarks.gpu_day.learning import PRECISIONS, alike, logits_of, ready, trained
from vmseg_planners.default import DefaultPlanner

PLAN_GB, WINDOW_STEP = 0.5, 1.0
"""A small network and windows side by side, as the CPU computes them too."""
LOGIT_ERROR = {"float32": 1e-3, "bf16": 0.05, "fp16": 0.01}
"""Largest norm of the difference, as a share of the norm."""
SAME_CLASS = {"float32": 0.9999, "bf16": 0.995, "fp16": 0.999}
"""Smallest share of voxels."""


def find(day: Day) -> Iterator[Figure]:
    for name, count in (("vmsemi53", 5), ("head", 1)):
        cohort = day.cohort(name)
        plan = DefaultPlanner()(cohort.fingerprint, day.size(PLAN_GB, TOY_GB))
        yield from beside(day, replace(cohort, plan=plan), day.size(count, 1))


def beside(day: Day, cohort: Cohort, count: int) -> Iterator[Figure]:
    """The worst of so many validation scans, in each precision."""
    network = trained(cohort, day.device, day.size(100, 5))
    images = [day.image(case) for case in cohort.validation(count)]
    cpu = torch.device("cpu")
    on_cpu = ready(network, cpu, "float32")
    wanted = [logits_of([on_cpu], image, cohort, cpu, "float32", step=WINDOW_STEP) for image in images]
    for precision in PRECISIONS:
        asked = ready(network, day.device, precision)
        got = [logits_of([asked], image, cohort, day.device, precision, step=WINDOW_STEP) for image in images]
        errors, shares = zip(*map(alike, got, wanted), strict=True)
        name = f"{cohort.name}, {precision}"
        yield at_most(f"logits ({name})", max(errors), LOGIT_ERROR[precision])
        yield at_least(f"voxels of the same class ({name})", min(shares), SAME_CLASS[precision])
