"""docs/extending/network.md: its network is planned, trained, validated, given away and predicted with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pages import blocks, install, run, run_test
from raw_dataset import raw_dataset

from vmseg_auto.data.images.images import read_mask
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.planning.network import network_family
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.train import train

PAGE = "extending/network.md"
MODULE, TEST = blocks(PAGE, "python")
(PROJECT,) = blocks(PAGE, "toml")
GRID = Geometry((10, 26, 26), (3.0, 0.8, 0.8))
BRIEFLY = ("epochs=1", "iterations_per_epoch=1", "validation_share=0", "mirror_axes=[]", "tile_step_size=1")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages that holds the page's."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(PROJECT, {"vmseg_separable": MODULE}, folder)
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's network among the others."""
    with monkeypatch.context() as during:
        during.syspath_prepend(str(site))
        yield
    sys.modules.pop("vmseg_separable", None)
    network_family.cache_clear()


def test_the_pages_own_test_passes(site: Path) -> None:
    assert "2 passed" in run_test(TEST, site)


def test_planning_with_it_loads_no_torch(site: Path) -> None:
    script = "from vmseg_auto.registry import load_planner; load_planner('separable'); import sys; print(*sys.modules)"
    assert "torch" not in run(site, "-c", script).stdout.split()


@pytest.mark.usefixtures("installed")
def test_it_goes_the_whole_way(tmp_path: Path) -> None:
    patients = tmp_path / "patients"
    raw_dataset(patients, cases=5, test_cases=1, grid=GRID)
    planned = plan_and_preprocess(patients, planner="separable", memory_gb=0.02, jobs=1)
    assert planned.plan is not None
    assert planned.plan.network.arguments == {"dropout": 0.1}
    (reason,) = [text for text in planned.plan.reasons if text.startswith("network: separable U-Net")]
    assert reason.endswith("2 convolutions in each of the decoder's; dropout 0.1")
    trained = train([0], dataset=patients, settings=BRIEFLY, device="cpu", jobs=1)
    (fold,) = trained.folds()
    assert load_final(fold.final).plan.network.builder == "separable_unet"
    assert (fold.validation / "metrics.json").is_file()
    model = export_model(tmp_path / "model.zip", model=trained.folder)
    (path,) = predict(patients / "imagesTs", tmp_path / "masks", model=model, device="cpu", jobs=1)
    mask, grid = read_mask(path)
    assert not GRID.differences(grid)
    assert set(np.unique(mask)) <= {0, 1}
