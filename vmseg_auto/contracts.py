"""What planners and trainers receive and give. Torch is named for type checkers only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.fingerprint import Fingerprint
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.prepared import PreparedCase
from vmseg_auto.core.recipe import Recipe

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

    def __call__(self, cases: Sequence[PreparedCase], foreground: bool, rng: np.random.Generator) -> Patch: ...


class Augment(Protocol):
    """Turns what the sampler drew into a patch of the plan's size; picklable, and imports no torch.

    All its randomness comes from `seed`.
    """

    def __call__(self, patch: Patch, seed: int) -> Patch: ...


@dataclass(frozen=True)
class Parts:
    """Everything that the training loop strings together.

    Args:
        recipe: the settings.
        network: maps [B, C, Z, Y, X] to a list of logits [B, K, ...], the finest first, while training;
            to the finest alone in eval mode.
        loss: (logits, target [B, Z, Y, X] int64) -> scalar float32.
        optimizer: over the network's parameters.
        schedule: progress in [0, 1) -> learning rate.
        sampler, augment: what makes a training sample.
    """

    recipe: Recipe
    network: torch.nn.Module
    loss: Callable[[list[torch.Tensor], torch.Tensor], torch.Tensor]
    optimizer: torch.optim.Optimizer
    schedule: Callable[[float], float]
    sampler: Sampler
    augment: Augment


class Trainer(Protocol):
    """A bag of parts, not a loop. `name` names its folder; `recipe` holds its default settings."""

    name: str
    recipe: Recipe

    def __call__(self, plan: Plan, recipe: Recipe, device: torch.device, channels: int, classes: int) -> Parts: ...
