"""Training steps on the device: loss and gradients beside the CPU's in float32, and no waiting for the device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch

from benchmarks.gpu_day.cohorts import TOY_GB, Cohort
from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_most, left_out
from benchmarks.gpu_day.learning import PRECISIONS, Batch, batches_of, learner_of, parts_of
from vmseg_auto.contracts import Planner
from vmseg_auto.planning.plan import Plan
from vmseg_auto.training.loop import SCALE_SEARCH
from vmseg_planners.default import DefaultPlanner
from vmseg_planners.residual import ResidualPlanner

PLANNERS: dict[str, Planner] = {"plain": DefaultPlanner(), "residual": ResidualPlanner()}
OPTIMIZERS = {"SGD": ("optimizer=sgd",), "AdamW": ("optimizer=adamw", "lr=0.0003")}
PLAN_GB = 0.25
"""Small, as the CPU computes each plan's step once."""
LOSS_ERROR = {"float32": 1e-4, "bf16": 2e-2, "fp16": 5e-3}
"""Largest difference of the loss, as a share of it."""
GRADIENT_ERROR = {"float32": 5e-3, "bf16": 0.2, "fp16": 0.1}
"""Largest norm of the difference of all gradients, as a share of their norm. Sixteen bits keep 8 (bf16) and 11 (fp16)
bits of a number, and errors add up over some forty layers."""
MORE_STEPS = 3
"""After the first, which makes the optimizer's state and may wait."""


class Step(NamedTuple):
    """What one step came to, on the CPU."""

    loss: float
    gradient: torch.Tensor


def find(day: Day) -> Iterator[Figure]:
    cohort = day.cohort("vmsemi53")
    for kind, planner in PLANNERS.items():
        plan = planner(cohort.fingerprint, day.size(PLAN_GB, TOY_GB))
        cpu = torch.device("cpu")
        batch = next(batches_of(cohort, cpu, plan))
        wanted = step(cohort, plan, cpu, batch, "float32")
        for optimizer, settings in OPTIMIZERS.items():
            for precision in PRECISIONS:
                name = f"{kind}, {optimizer}, {precision}"
                got = step(cohort, plan, day.device, batch, precision, *settings)
                yield at_most(f"loss ({name})", abs(got.loss - wanted.loss) / abs(wanted.loss), LOSS_ERROR[precision])
                error = (got.gradient - wanted.gradient).norm() / wanted.gradient.norm()
                yield at_most(f"gradient ({name})", float(error), GRADIENT_ERROR[precision])
    if not day.cuda:
        yield left_out("waiting for the device", "only CUDA tells")


def step(cohort: Cohort, plan: Plan, device: torch.device, batch: Batch, precision: str, *settings: str) -> Step:
    """The first step of a training and, where waiting for the device is an error, some more.

    Raises:
        RuntimeError: one of them waited.
    """
    learner = learner_of(parts_of(cohort, device, *settings, plan=plan), device, precision)
    image, label = (tensor.to(device) for tensor in batch)
    for _ in range(SCALE_SEARCH):
        taken = learner.step(image, label)
        if taken.good:  # else float16's scale of gradients was too large, and the weights are as before
            break
    loss = float(taken.loss)
    gradients = [weight.grad for weight in learner.network.parameters() if weight.grad is not None]
    gradient = torch.cat([one.detach().flatten().float().cpu() for one in gradients])
    with never_waiting(device):
        for _ in range(MORE_STEPS):
            learner.step(image, label)
    return Step(loss, gradient)


@contextlib.contextmanager
def never_waiting(device: torch.device) -> Iterator[None]:
    """Whatever waits for CUDA raises an error."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
