"""What planners and trainers receive and give. Torch is named for type checkers only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig

if TYPE_CHECKING:
    import torch

Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""An image [C, Z, Y, X] and its label [Z, Y, X]."""


class Planner(Protocol):
    """A pure function from a fingerprint and a memory budget to a plan. `name` names its folder."""

    name: str

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan: ...


class Sampler(Protocol):
    """Draws one patch from the fold's training cases; picklable, and imports no torch."""

    def __call__(self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator) -> Patch: ...


class Augment(Protocol):
    """Turns what the sampler drew into a patch of the plan's size; picklable, and imports no torch.

    All its randomness comes from `seed`.
    """

    def __call__(self, patch: Patch, seed: int) -> Patch: ...


class DeviceAugment(Protocol):
    """What `Augment` does, for a whole batch in torch on the training's device.

    Where it works, samplers run in threads of the training process: a sampler then has to be light, and safe to call
    from several threads at once.
    """

    @property
    def stands_for(self) -> Augment:
        """The augmentation it replaces; where `Parts.augment` is another, that one runs."""

    def __call__(
        self, image: torch.Tensor, label: torch.Tensor, seeds: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment image [B, C, Z, Y, X] and label [B, Z, Y, X] as the sampler drew them, by a seed for each sample.

        A sample's result is a pure function of sample and seed; the device is never waited for.
        """


@dataclass(frozen=True)
class Parts:
    """Everything that the training loop strings together.

    Args:
        config: the settings.
        network: maps [B, C, Z, Y, X] to a list of logits [B, K, ...], the finest first, while training;
            to the finest alone in eval mode.
        loss: (logits, target [B, Z, Y, X] int64) -> scalar float32.
        optimizer: over the network's parameters.
        schedule: progress in [0, 1) -> learning rate.
        sampler, augment: what makes a training sample.
        device_augment: may stand in for `augment`, as `config.device_augmentation` says.
    """

    config: TrainingConfig
    network: torch.nn.Module
    loss: Callable[[list[torch.Tensor], torch.Tensor], torch.Tensor]
    optimizer: torch.optim.Optimizer
    schedule: Callable[[float], float]
    sampler: Sampler
    augment: Augment
    device_augment: DeviceAugment | None = None


class Trainer(Protocol):
    """A bag of parts, not a loop. `name` names its folder; `config` holds its default settings.

    One that can train labels that overlap (the plan has `regions`) says so by `regions = True`; then `classes` is the
    number of regions, one for each of the network's outputs. Others are refused for such labels.
    """

    name: str
    config: TrainingConfig

    def __call__(
        self, plan: Plan, config: TrainingConfig, device: torch.device, channels: int, classes: int
    ) -> Parts: ...


class Tracking(Protocol):
    """One training, as a logger keeps it."""

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log an epoch: epochs done, and finite numbers by name, as in history.csv."""

    def close(self) -> None: ...


class Logger(Protocol):
    """Makes trainings known to a tracker of experiments. `name` names its folder."""

    name: str

    def __call__(self, folder: Path, title: str, settings: Mapping[str, Any]) -> Tracking:
        """Begin to keep a training.

        Args:
            folder: where files may be written; the same for all trainings of a workspace, and perhaps not there yet.
            title: PLANNER/TRAINER/fold_N.
            settings: of the training, numbers and texts by name.
        """
