"""Seconds of a training step under the default plan for 8 GB: ours in several ways, beside nnU-Net's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks.gpu_day.cohorts import TOY_GB, Cohort
from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, left_out, noted, went_wrong
from benchmarks.gpu_day.floors import count_work, stated_peaks
from benchmarks.gpu_day.learning import Batch, batches_of, learner_of, parts_of, setup_of
from benchmarks.gpu_day.nnunet import batch_of, trainer_of
from vmseg_auto.training.compiled import Mode
from vmseg_auto.training.fold_data import default_workers
from vmseg_auto.training.loop import seconds_per_step
from vmseg_auto.training.step import Learner
from vmseg_auto.utils.devices import computing
from vmseg_planners.default import DefaultPlanner

WANTED_MS = {"H200": 40.0, "H100": 45.0, "A100": 95.0, "4090": 120.0}
"""The first name found in the device's counts."""
SHARE = 0.67
"""Of the time of nnU-Net's compiled step, at most."""
IDLE = 0.05
"""Share of a training's time in which the card waits for data, at most."""
COMPILER_S = 40.0
"""What torch.compile takes for such a network at most, in a fresh process on some cores."""
WAYS = ("float32", "bf16", "fp16")
SMALL_GB = 0.25


def find(day: Day) -> Iterator[Figure]:
    cohort = day.cohort("head")
    batch = next(batches_of(cohort, day.device))
    eager = product = as_trained(day, cohort, batch)
    yield noted("a step without a compiler", eager, "ms")
    for figure in compiling(day, "a step, compiled", partial(as_trained, day, cohort, batch, "default")):
        yield figure
        product = figure.value or eager
    name = torch.cuda.get_device_name(day.device) if day.cuda else ""
    limit = next((ms for part, ms in WANTED_MS.items() if part in name), None)
    step = "a step as the product takes it"
    yield noted(step, product, "ms") if limit is None else day.target(step, product, limit, "ms")
    yield from beside_floor(day, cohort, batch, product)
    yield from idle(day, cohort, eager)
    yield from norms(day, cohort, batch)
    yield from theirs(day, cohort, batch, product)
    yield from small(day, cohort)
    yield from our_ways(day, cohort, batch)


def step_ms(day: Day, learner: Learner, batch: Batch) -> float:
    return 1e3 * day.median_s(lambda: learner.step(*batch), day.size(15, 2), day.size(5, 1))


def as_trained(day: Day, cohort: Cohort, batch: Batch, compiled: Mode | None = None) -> float:
    """Milliseconds of a step under the settings of a training's loop."""
    with computing(False, day.device):
        return step_ms(day, learner_of(parts_of(cohort, day.device), day.device, compiled=compiled), batch)


def small(day: Day, cohort: Cohort) -> Iterator[Figure]:
    """A plan so small that starting kernels takes longer than they do, with and without a CUDA graph."""
    cohort = replace(cohort, plan=DefaultPlanner()(cohort.fingerprint, day.size(SMALL_GB, TOY_GB)))
    batch = next(batches_of(cohort, day.device))
    yield noted(f"a step of {SMALL_GB:g} GB without a compiler", as_trained(day, cohort, batch), "ms")
    graph = partial(as_trained, day, cohort, batch, "reduce-overhead")
    yield from compiling(day, f"a step of {SMALL_GB:g} GB, compiled to a CUDA graph", graph)


def our_ways(day: Day, cohort: Cohort, batch: Batch) -> Iterator[Figure]:
    """Each precision, then the same with the choice of cuDNN's fastest algorithms, then compiled."""

    def timed(precision: str, compiled: bool) -> float:
        parts = parts_of(cohort, day.device)
        return step_ms(day, learner_of(parts, day.device, precision, "default" if compiled else None), batch)

    for precision in WAYS:
        for chosen in (False, True):
            torch.backends.cudnn.benchmark = chosen
            name = f"{precision}, cudnn.benchmark {'on' if chosen else 'off'}"
            yield from attempt(name, partial(timed, precision, False))
    for precision in WAYS[1:]:
        yield from compiling(day, f"{precision}, cudnn.benchmark on, compiled", partial(timed, precision, True))


def theirs(day: Day, cohort: Cohort, batch: Batch, product: float) -> Iterator[Figure]:
    """nnU-Net's trainer on the same batch; its step waits for the loss, as it always does."""
    if why := day.why_no_nnunet:
        yield left_out("nnU-Net", why)
        return
    torch.backends.cudnn.benchmark = True  # as nnUNetv2_train sets it

    def timed(compiled: bool) -> float:
        home = day.folder / "nnunet" / cohort.name
        trainer = trainer_of(cohort, home, day.device, compiled=compiled)
        given = batch_of(trainer, *batch)
        return 1e3 * day.median_s(lambda: trainer.train_step(given), day.size(15, 2), day.size(5, 1))

    yield from attempt("nnU-Net", partial(timed, False))
    for figure in compiling(day, "nnU-Net, compiled", partial(timed, True)):
        yield figure
        if figure.value:
            yield day.target("ours, of nnU-Net's time, compiled", product / figure.value, SHARE)


def compiling(day: Day, name: str, measure: Callable[[], float]) -> Iterator[Figure]:
    """A figure that takes a compiler, where there is time for one."""
    if not day.cuda:
        yield left_out(name, "on CUDA only")
    elif day.left_s < COMPILER_S:
        yield left_out(name, "no time was left to compile")
    else:
        yield from attempt(name, measure)


def attempt(name: str, measure: Callable[[], float]) -> Iterator[Figure]:
    """A figure in ms, or why there is none."""
    try:
        yield noted(name, measure(), "ms")
    except Exception as error:  # a compiler that fails must not take the other figures away
        yield went_wrong(name, error)


def beside_floor(day: Day, cohort: Cohort, batch: Batch, product: float) -> Iterator[Figure]:
    """How far the step is from what the card's stated peaks allow."""
    network = parts_of(cohort, day.device).network
    work = count_work(network, torch.zeros_like(batch[0]))
    yield noted("convolutions of a step", 3 * work.flops / 1e9, "GFLOP")
    if peaks := stated_peaks(day.device):
        # The backward pass convolves twice: for the gradients of inputs and of weights.
        floor_ms = 3e3 * work.floor_s(peaks[0], peaks[2], 2)
        yield noted("least time that the stated peaks allow", floor_ms, "ms")
        yield noted("share of the stated peaks", floor_ms / product)


def idle(day: Day, cohort: Cohort, step: float) -> Iterator[Figure]:
    """The loop with its own loader and augmentation, beside steps on a batch that lies on the card: its cases held
    there, and read by threads.
    """
    settings = "monitor_cases=0", "validation_share=0", "device_augmentation=on"

    def looped(held: bool) -> float:
        setup = setup_of(cohort, parts_of(cohort, day.device, *settings), day.device, held=held)
        return 1e3 * seconds_per_step(setup, default_workers(day.device))

    setup = setup_of(cohort, parts_of(cohort, day.device, *settings), day.device)
    drawn = setup.training_source().batch(setup.training_source().open(), 0)
    image, label = (torch.from_numpy(array).to(day.device) for array in (drawn.image, drawn.label))
    augment: Any = setup.device_augment
    augmenting = 1e3 * day.median_s(lambda: augment(image, label, drawn.seeds), day.size(15, 1), 2)
    yield noted("augmentation of a batch on the device", augmenting, "ms")
    for held, where in ((True, "cases held on the card"), (False, "patches read by threads")):
        with_data = looped(held)
        yield noted(f"a step of the training loop, {where}", with_data, "ms")
        share = max(0.0, 1 - (step + augmenting) / with_data)
        yield day.target(f"share of time that the card waits for data, {where}", share, IDLE)


def norms(day: Day, cohort: Cohort, batch: Batch) -> Iterator[Figure]:
    """The share of a step's time that instance norms take, forward and backward."""
    from torch.profiler import ProfilerActivity, profile

    learner = learner_of(parts_of(cohort, day.device), day.device)
    learner.step(*batch)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if day.cuda else [])]
    with profile(activities=kinds) as profiler:
        for _ in range(day.size(3, 1)):
            learner.step(*batch)
        day.wait()
    # Operators alone: a kernel's time stands in a row of its own besides.
    rows = [row for row in profiler.key_averages() if row.device_type.name == "CPU"]
    times = [(row.key, row.self_device_time_total if day.cuda else row.self_cpu_time_total) for row in rows]
    norm = sum(time for key, time in times if "batch_norm" in key or "instance_norm" in key)
    yield noted("share of instance norms in a step", norm / sum(time for _, time in times))
