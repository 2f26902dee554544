"""A fold to be trained, and what its batches are made from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vmseg_auto.contracts import Augment, DeviceAugment, Parts
from vmseg_auto.data.dataset import Fold
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.inference.windows import count_windows
from vmseg_auto.planning.plan import Plan
from vmseg_auto.training.augmentation.clicks import WithClicks
from vmseg_auto.training.augmentation.cpu import NoAugmentation
from vmseg_auto.training.held_cases import HeldCases, gib_of, in_words
from vmseg_auto.training.loader import Batch, BatchLoader, BatchSource, BoxLoader
from vmseg_auto.training.overfitting_monitor import PASSES, OverfittingMonitor
from vmseg_auto.training.sampling import PatchSampler, forced_foreground
from vmseg_auto.utils.distributed import Ranks
from vmseg_auto.utils.open_files import allow_open_files

ALL_STREAM = 1000
"""Number of the fold `all` in random streams."""


@dataclass(frozen=True)
class FoldSetup:
    """A fold to be trained.

    Args:
        parts: network, loss and the rest, as a trainer made them.
        plan: patch and batch size.
        preprocessed: folder of the preprocessed cases.
        cases: the fold's training and validation cases.
        fold: its number or "all"; with the config's seed it decides all random numbers.
        device: where to compute.
        room_gib: of the device's memory, for the training cases to be held in; None where they are never held.
    """

    parts: Parts
    plan: Plan
    preprocessed: Path
    cases: Fold
    fold: int | str
    device: torch.device
    room_gib: float | None = None

    @property
    def stream(self) -> tuple[int, int]:
        """The numbers that set the fold's random draws apart."""
        return self.parts.config.seed, ALL_STREAM if self.fold == "all" else int(self.fold)

    @property
    def device_augment(self) -> DeviceAugment | None:
        """What augments whole batches on the device; None where workers augment samples."""
        if self.parts.config.clicks:
            return None  # clicks are drawn by workers, after their augmentation
        stand_in, choice = self.parts.device_augment, self.parts.config.device_augmentation
        wanted = choice == "on" or (choice == "auto" and self.device.type == "cuda")
        # A trainer that replaced only `augment` must not lose it.
        return stand_in if wanted and stand_in is not None and stand_in.stands_for == self.parts.augment else None

    def training_source(self, samples: range | None = None) -> BatchSource:
        """Return what training batches (or these samples of them) are made of; raw ones where the device augments."""
        share, size = self.parts.config.foreground_oversampling, self.plan.batch_size
        return BatchSource(
            folder=self.preprocessed,
            cases=self.cases.train,
            sampler=self.parts.sampler,
            augment=NoAugmentation() if self.device_augment else self._seen(self.parts.augment),
            foreground=tuple(forced_foreground(i, size, share) for i in range(size)),
            stream=self.stream,
            samples=samples,
        )

    def _seen(self, augment: Augment, simulated: bool = True) -> Augment:
        """Return an augmentation that adds the channels of clicks, where the config wants them."""
        clicks = self.parts.config.clicks
        return WithClicks(augment, self.plan.spacing_mm, simulated) if clicks else augment

    @cached_property
    def _gib_to_hold(self) -> float | None:
        """The GiB of the training cases, where batches can be cut from them on the device; None where they can't.

        They can where a step's samples are boxes of the cases, and nothing is done to them on the way.
        """
        source = self.training_source()
        boxes = type(source.sampler) is PatchSampler  # of another kind it may change what it reads
        return gib_of(source.open()) if boxes and source.augment == NoAugmentation() else None

    def held_cases(self) -> HeldCases | None:
        """Return the training cases on the device; None where they can't be held, or there is no room for them.

        Raises:
            RuntimeError: its memory does not hold them.
        """
        if not self._holds:
            return None
        sampler, source = self.parts.sampler, self.training_source()
        assert isinstance(sampler, PatchSampler)
        return HeldCases.of(source.open(), sampler.read_shape, self.device)

    def cases_in_words(self) -> str:
        """Say whether the training cases are held on the card; empty where they could not be."""
        size, room = self._gib_to_hold, self.room_gib
        return in_words(size, room) if size is not None and room is not None else ""

    @property
    def _holds(self) -> bool:
        size, room = self._gib_to_hold, self.room_gib
        return size is not None and room is not None and size <= room

    def training_loader(self, workers: int, samples: range) -> BatchLoader | BoxLoader:
        """Return what makes training batches, in processes, or in threads where they only read.

        For CUDA, threads read into pinned memory, from which the card fetches by itself; or they only draw boxes of the
        cases that the device holds.
        """
        source = self.training_source(samples)
        if self._holds:
            return BoxLoader(source, workers)
        empty = pinned if self.device.type == "cuda" else np.empty
        return BatchLoader(source, workers, threads=source.augment == NoAugmentation(), empty=empty)

    def validation_batches(self, ranks: Ranks) -> list[Batch]:
        """Return the un-augmented patches that are scored after every epoch, always the same ones; a rank's part.

        So the curve compares like with like.
        """
        config, size = self.parts.config, self.plan.batch_size
        count = round(config.validation_share * config.iterations_per_epoch) if self.cases.val else 0
        share = max(config.foreground_oversampling, 1 / 3)
        source = BatchSource(
            folder=self.preprocessed,
            cases=self.cases.val,
            sampler=PatchSampler(self.plan.patch, self.plan.patch),
            augment=self._seen(NoAugmentation(), simulated=False),
            foreground=tuple(forced_foreground(i, size, share) for i in range(size)),
            stream=(*self.stream, 1),
        )
        opened = source.open() if count else []
        return [source.batch(opened, number) for number in ranks.part(range(count))]

    @property
    def validation_work(self) -> float:
        """The work of predicting the validation cases whole once the fold is trained, in optimiser steps, at most.

        Each window is predicted in every mirroring; a forward pass is a third of a training sample's work.
        """
        config, plan = self.parts.config, self.plan
        mirrorings = 1 << len(config.mirrored(plan))
        folder = PreprocessedFolder(self.preprocessed)
        shapes = (folder.load(case).image.shape[1:] for case in self.cases.val)
        windows = sum(count_windows(shape, plan.patch, config.tile_step_size) for shape in shapes)
        return windows * mirrorings / (PASSES * plan.batch_size)

    def overfitting_monitor(self) -> OverfittingMonitor:
        """Return what predicts whole cases of either side during the training."""
        allow_open_files(2 * (len(self.cases.train) + len(self.cases.val)))  # image and label
        folder = PreprocessedFolder(self.preprocessed)
        train, val = ([folder.load(case) for case in side] for side in (self.cases.train, self.cases.val))
        return OverfittingMonitor(self.parts.config, self.plan, train, val)


def pinned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array in pinned memory, which torch takes up again once it is forgotten and its copy has arrived."""
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    array: NDArray[Any] = torch.empty(shape, dtype=kind, pin_memory=True).numpy()
    return array


def default_workers(device: torch.device) -> int:
    """Return how many processes make patches: one keeps a CPU busy with training, a GPU wants more.

    Example:
        >>> default_workers(torch.device("cpu"))
        1
    """
    return 1 if device.type == "cpu" else max(1, min(8, (os.cpu_count() or 2) - 1))
