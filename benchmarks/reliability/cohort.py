"""A cohort on disk that is planned and trained in a second: bright balls in noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.train import train

GRID = Geometry((10, 24, 24), (2.0, 1.0, 1.0))
MEMORY_GB = 0.01
SETTINGS = ("epochs=3", "iterations_per_epoch=2", "validation_share=0.5", "mirror_axes=[2]", "tile_step_size=1")
"""A training of a moment that goes through all that a long one does."""
IN_THREADS = "device_augmentation=on"
"""Patches are made by threads: no worker process has to start."""


def write_cohort(folder: Path, cases: int = 3, scans: int = 1) -> Path:
    """Cases a, b, c ... with masks and scans s, t, u ... without, in nnU-Net's raw layout."""
    names = [("Tr", chr(ord("a") + number)) for number in range(cases)]
    for number, (part, name) in enumerate([*names, *(("Ts", chr(ord("s") + number)) for number in range(scans))]):
        rng = np.random.default_rng(number)
        z, y, x = np.indices(GRID.shape)
        middle = rng.uniform((3, 7, 7), (7, 17, 17))
        mask = (4 * (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 <= 25).astype(np.uint8)
        image = (rng.normal(100, 5, GRID.shape) + 60 * mask).astype(np.float32)
        write_image(folder / f"images{part}" / f"{name}_0000.nii.gz", image, GRID)
        if part == "Tr":
            write_mask(folder / "labelsTr" / f"{name}.nii.gz", mask, GRID)
    labels = {"background": 0, "lesion": 1}
    write_json(folder / "dataset.json", {"channel_names": {"0": "T2"}, "labels": labels, "file_ending": ".nii.gz"})
    return folder


def trained_cohort(folder: Path, cases: int = 3, scans: int = 1) -> Workspace:
    """The same, planned, and with every fold trained for a moment."""
    write_cohort(folder, cases, scans)
    planned = plan_and_preprocess(folder, memory_gb=MEMORY_GB, jobs=1)
    assert planned.plan is not None
    assert planned.splits is not None
    _make_narrow(planned.workspace, planned.plan)
    folds = range(len(planned.splits.folds))
    train(folds, dataset=folder, settings=(*SETTINGS, IN_THREADS), device="cpu", jobs=1)
    return planned.workspace


def _make_narrow(space: Workspace, plan: Plan) -> None:
    """Edit the plan, as a user may: with few channels a checkpoint is small."""
    network = replace(plan.network, features=tuple(min(width, 8) for width in plan.network.features))
    write_json(space.plan(plan.planner), replace(plan, network=network).to_json())
