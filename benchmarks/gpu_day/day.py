"""What a check is given: a device, a folder with what it works on, its size and its share of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu_day.cohorts import TOY_GB, TOY_SHAPE, Cohort, open_cohort
from benchmarks.gpu_day.findings import Figure, at_most, noted
from vmseg_auto.data.preprocessed import PreprocessedCase

T = TypeVar("T")


@dataclass(frozen=True)
class Day:
    """The setting of one check.

    Args:
        device: where networks are computed.
        folder: with the cohorts, and for what a check leaves behind.
        toy: whether everything is as small as can be, to see that it works.
        limit_s: the check is ended after so long.
    """

    device: torch.device
    folder: Path
    toy: bool
    limit_s: float
    began: float = field(default_factory=time.monotonic)

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def left_s(self) -> float:
        """What is left of the check's time."""
        return self.limit_s - (time.monotonic() - self.began)

    def size(self, full: T, toy: T) -> T:
        """What stands for the day, or for its rehearsal."""
        return toy if self.toy else full

    def cohort(self, name: str) -> Cohort:
        """One of "vmsemi53", "lgg53" and "head", under its plan, or under one of toy size."""
        return open_cohort(self.folder / "cohorts" / name, TOY_GB if self.toy else None)

    def image(self, case: PreprocessedCase) -> torch.Tensor:
        """A case's image [C, Z, Y, X], or a corner of it."""
        z, y, x = self.size(case.image.shape[1:], TOY_SHAPE)
        return torch.tensor(case.image[:, :z, :y, :x])

    def label(self, case: PreprocessedCase) -> NDArray[np.uint8]:
        """A case's label [Z, Y, X], or the same corner of it.

        Raises:
            ValueError: it has none.
        """
        if case.label is None:
            raise ValueError(f"{case.id} has no label")
        z, y, x = self.size(case.label.shape, TOY_SHAPE)
        return case.label[:z, :y, :x]

    def target(self, name: str, value: float, limit: float, unit: str = "") -> Figure:
        """What the day wants to be at most so; of a rehearsal's speed nothing is wanted."""
        return noted(name, value, unit) if self.toy else at_most(name, value, limit, unit)

    @property
    def why_no_nnunet(self) -> str | None:
        """In words, why nnU-Net is not compared with; None where it is there."""
        return None if find_spec("nnunetv2") else "nnunetv2 was not carried"

    def wait(self) -> None:
        """Until the device has done all it was asked for."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """Of one call, the device waited for before and after."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def median_s(self, step: Callable[[], object], repeats: int, warm_up: int = 5) -> float:
        """Of a step, the device waited for after each."""
        times = [self.seconds(step) for _ in range(warm_up + repeats)]
        return float(np.median(times[warm_up:]))
