"""Memory that trainings take beside their plans' budgets, and what prediction does where there is too little."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from benchmarks.gpu_day.cohorts import TOY_GB, Cohort
from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_least, at_most, left_out, noted, went_wrong
from benchmarks.gpu_day.learning import alike, batches_of, learner_of, parts_of, ready, trained
from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.planning.memory import card_gib
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.device_memory import forget_freed_memory
from vmseg_planners.default import DefaultPlanner
from vmseg_planners.residual import ResidualPlanner
from vmseg_trainers.default import DefaultTrainer

PLANNERS = (DefaultPlanner(), ResidualPlanner())
BUDGETS_GB = (8.0, 24.0)
SMALL_GB = 1.0
"""Of the plan whose network predicts in too little memory, as in the end the CPU does it."""
SHARES = (0.4, 0.02)
"""Of the memory that a prediction takes: first too little for its sums, then for a window."""
SAME_CLASS = 0.995
GB = 1e9


def find(day: Day) -> Iterator[Figure]:
    cohort = day.cohort("head")
    for planner in PLANNERS:
        for budget in day.size(BUDGETS_GB, (TOY_GB,)):
            yield from training(day, planner.name, planner(cohort.fingerprint, budget))
    if day.cuda:
        yield from ways_out(day)
    else:
        yield left_out("ways out of too little memory", "only CUDA's can be bounded")


def training(day: Day, planner: str, plan: Plan) -> Iterator[Figure]:
    """Peak memory over three steps."""
    cohort = day.cohort("head")
    if day.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(day.device)
    learner = learner_of(parts_of(cohort, day.device, plan=plan), day.device)
    for _, batch in zip(range(3), batches_of(cohort, day.device, plan), strict=False):
        learner.step(*batch)
    day.wait()
    name = f"{planner}, {plan.memory_gb:g} GB"
    if not day.cuda:
        yield left_out(f"peak ({name})", "only CUDA tells")
        return
    yield noted(f"allocated ({name})", torch.cuda.max_memory_allocated(day.device) / GB, "GB")
    reserved = torch.cuda.max_memory_reserved(day.device) / GB
    config, classes = DefaultTrainer.config, cohort.classes
    told = card_gib(plan, classes, config) * 2**30 / GB
    yield at_most(f"reserved ({name}), at most what users are told of it", reserved, told, "GB")
    yield noted(f"by nvidia-smi ({name})", process_gb(), "GB")


def process_gb() -> float:
    """What nvidia-smi says this process holds, its context included; of the whole card where it names no process."""
    query = ["nvidia-smi", "--format=csv,noheader,nounits"]
    told = subprocess.run([*query, "--query-compute-apps=pid,used_memory"], capture_output=True, text=True).stdout
    rows = [line.split(",") for line in told.splitlines() if line.count(",") == 1]
    own = [row[1].strip() for row in rows if row[0].strip() == str(os.getpid())]
    if not own or not own[0].isdecimal():
        told = subprocess.run([*query, "--query-gpu=memory.used"], capture_output=True, text=True).stdout
        own = told.split()[:1]
    return float(own[0]) * 2**20 / GB if own and own[0].isdecimal() else math.nan


def ways_out(day: Day) -> Iterator[Figure]:
    """A head with ever less of the card's memory to predict it in, beside the same with all of it."""
    cohort = day.cohort("head")
    cohort = replace(cohort, plan=DefaultPlanner()(cohort.fingerprint, SMALL_GB))
    network = ready(trained(cohort, day.device, 40), day.device, "bf16")
    image = day.image(cohort.validation(1)[0])
    forget_freed_memory(day.device)
    base = torch.cuda.memory_reserved(day.device)
    torch.cuda.reset_peak_memory_stats(day.device)
    wanted, _ = predicted(day, cohort, network, image)
    taken = torch.cuda.max_memory_reserved(day.device) - base
    for share in SHARES:
        name = f"with {share:.0%} of the memory that a head takes"
        forget_freed_memory(day.device)
        try:
            with at_most_bytes(day.device, base + share * taken):
                logits, said = predicted(day, cohort, network, image)
        except RuntimeError as error:
            yield went_wrong(f"a head {name}", error)
            continue
        yield at_least(f"voxels of the same class {name}", alike(logits, wanted)[1], SAME_CLASS)
        yield at_least(f"messages {name}", len(said), 1)
        on_card = next(network.parameters()).device.type == day.device.type
        yield at_least(f"networks back on the card {name}", float(on_card), 1)


def predicted(
    day: Day, cohort: Cohort, network: torch.nn.Module, image: torch.Tensor
) -> tuple[torch.Tensor, list[str]]:
    """Logits, and what the ensemble told of the memory."""
    console = _Warned()
    ensemble = FoldEnsemble([network], cohort.classes, (), day.device, torch.bfloat16, console=console)
    (logits,) = predict_logits(ensemble, image, cohort.plan.patch, step=1.0)
    return logits.cpu(), console.warnings


class _Warned(Silent):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@contextmanager
def at_most_bytes(device: torch.device, limit: float) -> Iterator[None]:
    """Within, this process gets no more of the card."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(limit / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
