"""Preprocessed cohorts: packed to be carried, unpacked on arrival, or made up where none was carried.

Each lies in a workspace of its own, as vmseg_plan_and_preprocess leaves it. Images are packed in LEVELS steps between a
scan's darkest and brightest voxel, so that they take a third of their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Fold, Splits
from vmseg_auto.data.preprocessed import PreprocessedCase, PreprocessedFolder
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.fingerprint import CaseSummary, ChannelStats, Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.atomic import read_json, read_stored, write_json
from vmseg_auto.utils.geometry import Box, Geometry
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.labels import Labels
from vmseg_auto.workflows.paths import read_fingerprint, read_plan, read_splits
from vmseg_planners.default import DefaultPlanner

NAMES = ("vmsemi53", "lgg53", "head")
TOY_GB, TOY_SHAPE = 0.01, (8, 24, 24)
LEVELS = 4096
_PLANNER = "default"


@dataclass(frozen=True)
class Cohort:
    """Preprocessed cases and how they are split.

    Args:
        plan: under which they were preprocessed, or one of toy size for the same voxels.
        cases: fold 0.
        preprocessed: their folder.
    """

    name: str
    fingerprint: Fingerprint
    plan: Plan
    cases: Fold
    preprocessed: Path

    @property
    def classes(self) -> int:
        return len(self.fingerprint.labels)

    @property
    def channels(self) -> int:
        return len(self.fingerprint.channels)

    def validation(self, count: int | None = None) -> list[PreprocessedCase]:
        folder = PreprocessedFolder(self.preprocessed)
        return [folder.load(case) for case in self.cases.val[:count]]

    def training(self, count: int | None = None) -> list[PreprocessedCase]:
        folder = PreprocessedFolder(self.preprocessed)
        return [folder.load(case) for case in self.cases.train[:count]]


def open_cohort(root: Path, memory_gb: float | None = None) -> Cohort:
    """A cohort as it was planned, or planned anew for this memory. A cohort of one case both learns and judges by it.

    Raises:
        InputError: nothing is there, or it is damaged.
    """
    space = Workspace(root)
    fingerprint, plan = read_fingerprint(space), read_plan(space, _PLANNER)
    preprocessed = space.preprocessed(plan.voxels_hash)
    present = {path.stem for path in preprocessed.glob("*.json")}
    fold = read_splits(space).folds[0]
    train, val = (tuple(case for case in side if case in present) for side in (fold.train, fold.val))
    if memory_gb is not None:
        plan = DefaultPlanner()(fingerprint, memory_gb)
    return Cohort(root.name, fingerprint, plan, Fold(train or val, val or train), preprocessed)


# ----------------------------------------------------------------------------------------------------------- carrying


@dataclass(frozen=True)
class _Record(Stored):
    """Whatever of a packed case is no array.

    Args:
        low, step: a voxel is low + level * step.
    """

    id: str
    content: str
    geometry: Geometry
    crop_box: Box
    low: float
    step: float
    schema: int = 1


def pack(workspace: Path, folder: Path, cases: Sequence[str] | None = None) -> None:
    """Pack a workspace's plan, and its preprocessed cases, or these of them."""
    space = Workspace(workspace)
    for path in (space.fingerprint, space.splits, space.plan(_PLANNER)):
        write_json(folder / path.relative_to(workspace), read_json(path))
    preprocessed = PreprocessedFolder(space.preprocessed(read_plan(space, _PLANNER).voxels_hash))
    for name in cases or sorted(read_fingerprint(space).cases):
        _pack_case(preprocessed.load(name), folder / "packed")


def _pack_case(case: PreprocessedCase, folder: Path) -> None:
    image, label = np.asarray(case.image), case.label
    low = float(image.min())
    step = max(float(image.max()) - low, 1e-6) / (LEVELS - 1)
    levels = np.rint((image - low) / step).astype(np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    # High and low bytes apart, as the high ones hardly vary.
    arrays = {"high": (levels >> 8).astype(np.uint8), "low": (levels & 255).astype(np.uint8)}
    np.savez_compressed(folder / f"{case.id}.npz", **arrays, label=np.zeros(0, np.uint8) if label is None else label)
    record = _Record(case.id, case.content, case.geometry, case.crop_box, low, step)
    write_json(folder / f"{case.id}.json", record.to_json())


def unpack(folder: Path, workspace: Path) -> None:
    """Make a workspace of what `pack` left."""
    space = Workspace(workspace)
    for path in (space.fingerprint, space.splits, space.plan(_PLANNER)):
        write_json(path, read_json(folder / path.relative_to(workspace)))
    preprocessed = PreprocessedFolder(space.preprocessed(read_plan(space, _PLANNER).voxels_hash))
    for path in sorted((folder / "packed").glob("*.json")):
        preprocessed.save(_unpack_case(path))


def _unpack_case(path: Path) -> PreprocessedCase:
    record = read_stored(_Record, path)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        levels = arrays["high"].astype(np.uint16) << 8 | arrays["low"]
        label = arrays["label"]
    image = (record.low + levels * record.step).astype(np.float32)
    return PreprocessedCase(
        record.id, image, label, record.geometry, record.crop_box, _positions(label), record.content,
    )  # fmt: skip


def _positions(label: NDArray[np.uint8], most: int = 10_000) -> dict[int, NDArray[np.int32]]:
    """Where the foreground is, as preprocessing keeps it."""
    rng, found = np.random.default_rng(0), {}
    for index in range(1, int(label.max(initial=0)) + 1):
        places = np.argwhere(label == index).astype(np.int32)
        if len(places):
            found[index] = rng.permutation(places)[:most]
    return found


# ------------------------------------------------------------------------------------------------------------ made up


def make_up(root: Path, cases: int = 6) -> None:
    """A workspace of noise with a bright cuboid in each case, for a rehearsal without anything carried."""
    space, shape, spacing = Workspace(root), TOY_SHAPE, (4.0, 1.0, 1.0)
    names = [f"case_{number:02d}" for number in range(cases)]
    summary = CaseSummary(shape, shape, spacing, {1: 300}, "made up")
    stats = ChannelStats(0.0, 0.0, 1.0, -3.0, 3.0, -2.5, 2.5)
    labels, summaries = Labels({"background": 0, "lesion": 1}), dict.fromkeys(names, summary)
    fingerprint = Fingerprint("made up", ("T2",), labels, summaries, (stats,), 1.0, "made up")
    plan = DefaultPlanner()(fingerprint, TOY_GB)
    preprocessed = PreprocessedFolder(space.preprocessed(plan.voxels_hash))
    for seed, name in enumerate(names):
        preprocessed.save(_made_up_case(name, seed, Geometry(shape, spacing)))
    splits = Splits((Fold(tuple(names[2:]), tuple(names[:2])),), "made up")
    write_json(space.fingerprint, fingerprint.to_json())
    write_json(space.splits, splits.to_json())
    write_json(space.plan(_PLANNER), plan.to_json())


def _made_up_case(name: str, seed: int, grid: Geometry) -> PreprocessedCase:
    rng = np.random.default_rng(seed)
    label = np.zeros(grid.shape, np.uint8)
    z, y, x = (int(rng.integers(n // 2)) for n in grid.shape)
    label[z : z + 3, y : y + 8, x : x + 8] = 1
    image = rng.standard_normal((1, *grid.shape), np.float32) + 3 * label
    z, y, x = grid.shape
    return PreprocessedCase(name, image, label, grid, ((0, z), (0, y), (0, x)), _positions(label), "made up")
