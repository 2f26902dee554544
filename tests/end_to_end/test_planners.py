"""What each planner plans can be trained and predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_dataset import raw_dataset

from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.train import train

GRID = Geometry((10, 26, 26), (3.0, 0.8, 0.8))
"""Just large enough for a network of three stages."""


@pytest.mark.parametrize(("planner", "builder"), [("residual", "residual_unet"), ("mednext_s", "mednext")])
def test_another_plan_is_trained_beside_a_plain_one_and_predicts(tmp_path: Path, planner: str, builder: str) -> None:
    raw_dataset(tmp_path, cases=5, test_cases=1, grid=GRID)
    plan_and_preprocess(tmp_path, memory_gb=0.02, jobs=1)
    planned = plan_and_preprocess(tmp_path, planner=planner, memory_gb=0.02, jobs=1)
    assert planned.plan is not None
    assert planned.plan.network.builder == builder
    space = Workspace(tmp_path / "vmseg")
    assert space.plans() == sorted(["default", planner])
    assert len(list((space.root / "preprocessed").iterdir())) == 1

    settings = ["epochs=1", "iterations_per_epoch=1", "validation_share=0", "mirror_axes=[]", "tile_step_size=1"]
    run = train([0], dataset=tmp_path, planner=planner, settings=settings, device="cpu", jobs=1)
    assert run.name == f"{planner}/default"
    model = export_model(tmp_path / "model.zip", model=run.folder)
    (path,) = predict(tmp_path / "imagesTs", tmp_path / "masks", model=model, device="cpu", jobs=1)
    mask, geometry = read_mask(path)
    assert geometry.differences(GRID) == []
    assert set(np.unique(mask)) <= {0, 1}
