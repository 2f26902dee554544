"""Fixtures of several modules: a planned cohort's own copy to train in, and scans to be predicted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workspaces import GRID, Cohort

from vmseg_auto.data.images.images import write_image
from vmseg_auto.data.workspace import Workspace


@pytest.fixture
def made(planned: Cohort, tmp_path: Path) -> Cohort:
    """The module's planned cohort with a workspace of the test's own."""
    shutil.copytree(planned.space.root, tmp_path / "workspace")
    return replace(planned, space=Workspace(tmp_path / "workspace"))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number in range(2):
        voxels = np.random.default_rng(number).normal(100, 20, GRID.shape).astype(np.float32)
        write_image(tmp_path / "scans" / f"new_{number}.nii.gz", voxels, GRID)
    return tmp_path / "scans"
