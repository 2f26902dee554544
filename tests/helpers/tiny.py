"""Cases, plans and parts that are as small as they can be.

The folder of this file is put on sys.path by conftest.py: spawned worker processes find the classes here by name.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.preprocessed import PreprocessedCase, PreprocessedFolder
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.planning.plan import Normalization, Plan
from vmseg_auto.utils.geometry import Geometry, Shape

Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]

NETWORK = NetworkSpec(
    builder="plain_unet",
    features=(4, 8),
    strides=((1, 1, 1), (2, 2, 2)),
    kernels=((3, 3, 3), (3, 3, 3)),
    blocks=(1, 1),
    decoder_blocks=(1,),
)

PLAN = Plan(
    planner="default",
    trainer="default",
    axes=(0, 1, 2),
    spacing_mm=(1.0, 1.0, 1.0),
    median_shape=(12, 20, 24),
    patch=(8, 16, 16),
    batch_size=2,
    normalization=(Normalization("zscore"),),
    network=NETWORK,
    memory_gb=8.0,
    fingerprint_hash="0123456789abcdef",
    reasons=("patch 8x16x16: it is a test",),
).sealed()


def tiny_plan(**changes: Any) -> Plan:
    """PLAN with fields replaced; those of the network by their own names."""
    network = {name: changes.pop(name) for name in list(changes) if hasattr(NETWORK, name)}
    return replace(PLAN, network=replace(NETWORK, **network), **changes).sealed()


def tiny_case(case_id: str, seed: int, shape: Shape = (12, 20, 24)) -> PreprocessedCase:
    """Noise with one bright cuboid, which is class 1."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, dtype=np.uint8)
    corner = [int(rng.integers(1, n // 2)) for n in shape]
    label[tuple(slice(c, c + n // 3) for c, n in zip(corner, shape, strict=True))] = 1
    image = rng.normal(size=(1, *shape)).astype(np.float32) * 0.3 + 2 * label[None].astype(np.float32)
    return PreprocessedCase(
        id=case_id,
        image=image,
        label=label,
        geometry=Geometry(shape, (1.0, 1.0, 1.0)),
        crop_box=((0, shape[0]), (0, shape[1]), (0, shape[2])),
        foreground={1: np.argwhere(label == 1).astype(np.int32)},
        content=f"{seed:016x}",
    )


def flat_case(case_id: str, value: float, shape: Shape = (4, 5, 6)) -> PreprocessedCase:
    """Every voxel has the same value, so that a patch tells its case."""
    case = tiny_case(case_id, 0, shape)
    return replace(case, image=np.full((1, *shape), value, dtype=np.float32))


def prepare(folder: Path, cases: Sequence[PreprocessedCase]) -> Path:
    """Store the cases as the preprocessing does."""
    for case in cases:
        PreprocessedFolder(folder).save(case)
    return folder


@dataclass(frozen=True)
class WholeCase:
    """Takes a random case whole, with noise from `rng` in its first voxel and `foreground` in its label's."""

    def __call__(self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator) -> Patch:
        case = cases[int(rng.integers(len(cases)))]
        image, label = np.array(case.image), np.array(case.label)
        image[0, 0, 0, 0] = rng.random()
        label[0, 0, 0] = 100 + foreground
        return image, label


@dataclass(frozen=True)
class LooksAtAll:
    """Looks over all cases before it takes one whole."""

    def __call__(self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator) -> Patch:
        largest = max(case.image.size for case in cases)
        assert largest > 0
        return WholeCase()(cases, foreground, rng)


@dataclass(frozen=True)
class SeedIntoImage:
    """An augmentation that only writes down which seed it was given."""

    def __call__(self, patch: Patch, seed: int) -> Patch:
        image, label = patch
        image[0, 0, 0, 1] = seed
        return image, label


@dataclass(frozen=True)
class TellsTorch:
    """Gives 1 everywhere where torch is loaded, else 0."""

    def __call__(self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator) -> Patch:
        case = cases[0]
        return np.full(case.image.shape, "torch" in sys.modules, dtype=np.float32), np.array(case.label)


@dataclass(frozen=True)
class Fails:
    """A sampler with a mistake in it."""

    def __call__(self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator) -> Patch:
        raise ValueError("the sampler's own mistake")


@dataclass(frozen=True)
class IsKilled:
    """A sampler whose process is ended from outside, as by a system that is out of memory."""

    def __call__(self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator) -> Patch:
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        raise AssertionError("still alive")
