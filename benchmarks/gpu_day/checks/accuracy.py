"""Dice on validation cases after a short training: ours beside nnU-Net's with its own loaders and augmentation.

Of real brain tumours (lgg53) and of synthetic lesions (vmsemi53), one fold each: no clinical figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_day.cohorts import Cohort
from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_least, left_out, noted
from benchmarks.gpu_day.learning import dice, logits_of, parts_of, ready, setup_of
from benchmarks.gpu_day.nnunet import augmented_batches, trainer_of, weights_of
from vmseg_auto.networks.unet import build_network
from vmseg_auto.training.fold_data import default_workers
from vmseg_auto.training.loop import Hooks, seconds_per_step, train_fold

COHORTS = ("vmsemi53", "lgg53")
STEPS, EPOCHS = 1500, 6
"""The learning rate falls from epoch to epoch."""
PACE_STEPS = 20
WORSE = 0.02
"""Ours may be so much lower: that of one fold after a short training varies as much from seed to seed."""
SPARE = 0.75
"""Share of the time left that trainings may take; the rest is for starts, compilers and predictions."""


def find(day: Day) -> Iterator[Figure]:
    for number, name in enumerate(COHORTS):
        cohort = day.cohort(name)
        yield from beside(day, cohort, SPARE * day.left_s / (len(COHORTS) - number))


def beside(day: Day, cohort: Cohort, seconds: float) -> Iterator[Figure]:
    """Both tools for so many steps as there is time for, at most STEPS."""
    pace = our_pace(day, cohort)
    if why := day.why_no_nnunet:
        yield left_out(f"nnU-Net ({cohort.name})", why)
        steps = steps_within(seconds, pace, day)
        yield noted(f"steps ({cohort.name})", steps)
        yield noted(f"Dice, ours ({cohort.name})", judged(day, cohort, ours(day, cohort, steps)))
        return
    trainer = trainer_of(cohort, day.folder / "nnunet" / cohort.name, day.device, compiled=False, epochs=EPOCHS)
    with augmented_batches(trainer) as batches:
        their_pace = paced(day, trainer, batches)
        steps = steps_within(seconds, pace + their_pace, day)
        yield noted(f"steps ({cohort.name})", steps)
        their_s = day.seconds(partial(learn, trainer, batches, steps))
    network = build_network(cohort.plan.network, cohort.channels, cohort.classes)
    network.load_state_dict(weights_of(trainer, cohort))
    own: list[torch.nn.Module] = []
    our_s = day.seconds(lambda: own.append(ours(day, cohort, steps)))
    yield noted(f"seconds of training, ours ({cohort.name})", our_s, "s")
    yield noted(f"seconds of training, nnU-Net's ({cohort.name})", their_s, "s")
    theirs = judged(day, cohort, network)
    yield noted(f"Dice, nnU-Net's ({cohort.name})", theirs)
    name, reached = f"Dice, ours ({cohort.name})", judged(day, cohort, own[0])
    yield noted(name, reached) if day.toy else at_least(name, reached, theirs - WORSE)


def steps_within(seconds: float, pace_s: float, day: Day) -> int:
    """A multiple of the epochs."""
    return EPOCHS * max(1, int(min(day.size(STEPS, EPOCHS), seconds / pace_s)) // EPOCHS)


def our_pace(day: Day, cohort: Cohort) -> float:
    parts = parts_of(cohort, day.device, "monitor_cases=0", "validation_share=0")
    return seconds_per_step(setup_of(cohort, parts, day.device), default_workers(day.device))


def ours(day: Day, cohort: Cohort, steps: int) -> torch.nn.Module:
    """The network after a training of the product's own loop."""
    settings = (f"epochs={EPOCHS}", f"iterations_per_epoch={steps // EPOCHS}", "monitor_cases=0", "validation_share=0")
    parts = parts_of(cohort, day.device, *settings)
    setup = setup_of(cohort, parts, day.device)
    state = train_fold(setup, Hooks(), None, default_workers(day.device))
    network = build_network(cohort.plan.network, cohort.channels, cohort.classes)
    network.load_state_dict(state.weights)
    return network


def paced(day: Day, trainer: Any, batches: Any) -> float:
    """Seconds of one of nnU-Net's steps. These are steps of its training too, at its first learning rate."""
    count = day.size(PACE_STEPS, 2)
    trainer.train_step(next(batches))
    return day.seconds(lambda: [trainer.train_step(next(batches)) for _ in range(count)]) / count


def learn(trainer: Any, batches: Any, steps: int) -> None:
    for epoch in range(EPOCHS):
        trainer.lr_scheduler.step(epoch)
        for _ in range(steps // EPOCHS):
            trainer.train_step(next(batches))


def judged(day: Day, cohort: Cohort, network: torch.nn.Module) -> float:
    """Mean Dice of the validation cases on the network's grid, in all mirrorings."""
    asked = ready(network, day.device, "float32")
    return float(np.mean([
        dice(logits_of([asked], day.image(case), cohort, day.device, "float32", tta=True), day.label(case))
        for case in cohort.validation(day.size(None, 1))
    ]))  # fmt: skip
