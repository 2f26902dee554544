"""Augmentation on the device beside batchgenerators': the same distributions of what comes out, over many samples."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_most, left_out, noted
from benchmarks.gpu_day.learning import parts_of, setup_of
from vmseg_auto.training.loop import sent

SAMPLES = 400
MEASURES = ("mean", "deviation", "darkest", "brightest", "label's voxels", "label's place z", "place y", "place x")
CHANCE = 1e-3
"""How likely two samples of one distribution lie further apart than what is allowed (Kolmogorov-Smirnov)."""


def find(day: Day) -> Iterator[Figure]:
    if not find_spec("batchgenerators"):
        yield left_out("distributions", "batchgenerators was not carried")
        return
    samples = day.size(SAMPLES, 24)
    limit = math.sqrt(-math.log(CHANCE / 2) / 2) * math.sqrt(2 / samples)
    ours, theirs = measured(day, samples, on_device=True), measured(day, samples, on_device=False)
    yield noted("samples", samples)
    for number, name in enumerate(MEASURES):
        one, other = (rows[:, number][np.isfinite(rows[:, number])] for rows in (ours, theirs))
        yield at_most(f"{name}: distance of distributions", float(ks_2samp(one, other).statistic), limit)


def measured(day: Day, samples: int, on_device: bool) -> NDArray[np.float64]:
    """MEASURES of so many samples [samples, 8], of the same patches either way; a label's place is NaN without one."""
    cohort = day.cohort("vmsemi53")
    choice = f"device_augmentation={'on' if on_device else 'off'}"
    setup = setup_of(cohort, parts_of(cohort, day.device, choice), day.device, held=False)
    size, rows = cohort.plan.batch_size, list[list[float]]()
    workers = min(day.size(14, 2), len(os.sched_getaffinity(0)))
    with setup.training_loader(workers, range(size)) as loader:
        for image, label, batch in sent(loader.batches(0, math.ceil(samples / size)), day.device):
            if setup.device_augment is not None:
                image, label = setup.device_augment(image, label, batch.seeds)
            rows += map(measures, image[:, 0].cpu().numpy(), label.cpu().numpy())
    return np.array(rows[:samples])


def measures(image: NDArray[np.float32], label: NDArray[np.uint8]) -> list[float]:
    """Of one sample [Z, Y, X]."""
    voxels = np.argwhere(label > 0)
    place = voxels.mean(0) if len(voxels) else np.full(3, np.nan)
    return [image.mean(), image.std(), image.min(), image.max(), len(voxels), *place]
