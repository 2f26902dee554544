"""The federated example: two sites, three rounds, and neither sees a scan of the other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from raw_dataset import GRID, raw_dataset

from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.utils.atomic import read_json, read_stored
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.predict import predict

EXAMPLE = Path(__file__).parents[2] / "examples" / "federated"
SETTINGS = "epochs=1 iterations_per_epoch=1 validation_share=0 mirror_axes=[] tile_step_size=1 amp=false"
pytest.importorskip("flwr", reason="the extra federated is not installed")


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders north (3 cases), south (4) and model."""
    folder = tmp_path_factory.mktemp("federation")
    for site, cases in (("north", 3), ("south", 4)):
        raw_dataset(folder / site, cases=cases, test_cases=1, grid=replace(GRID, shape=(12, 24, 24)))
    sites = (folder / "north", folder / "south")
    done = subprocess.run(
        [sys.executable, "one_process.py", *sites, "-o", folder / "model", "--settings", SETTINGS, "--memory", "0.02"],
        cwd=EXAMPLE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "FLWR_TELEMETRY_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ROUND 3/3" in done.stdout + done.stderr
    return folder


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_final(run.fold("all").final).weights


def test_the_model_is_the_mean_of_the_sites_by_their_cases(federation: Path) -> None:
    spaces = [Workspace(federation / "model_sites" / site) for site in ("1_north", "2_south")]
    north, south = (weights(space.run("default", "federated")) for space in spaces)
    model = Run(federation / "model")
    for name, tensor in weights(model).items():
        assert torch.allclose(tensor, (3 * north[name] + 4 * south[name]) / 7, atol=1e-6), name
    assert any(not torch.equal(north[name], south[name]) for name in north)
    merged = read_stored(Fingerprint, spaces[0].merged_fingerprint)
    assert len(merged.cases) == 7
    info = read_stored(ModelInfo, model.model)
    assert info.scans == merged.scans
    assert info.plan.content_hash == read_json(spaces[1].plan("default"))["planned_hash"]


def test_the_sites_datasets_stay_as_they_are(federation: Path) -> None:
    for site in ("north", "south"):
        assert not (federation / site / "vmseg").exists()


def test_it_is_a_model_as_any_other(federation: Path, tmp_path: Path) -> None:
    packed = export_model(tmp_path / "together.zip", model=federation / "model")
    (mask,) = predict(federation / "south" / "imagesTs", tmp_path / "masks", model=packed, device="cpu", tta=False)
    assert set(np.unique(read_mask(mask)[0])) <= {0, 1}


def test_a_site_with_another_plan_is_refused(federation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    import site_app
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 0
    content = {"arrays": ArrayRecord({}), "config": ConfigRecord({"plan": "another", "settings": ""})}
    message = Message(RecordDict(content), 1, "train")
    place = {"dataset": str(federation / "north"), "workspace": str(federation / "model_sites" / "1_north")}
    here = Context(0, 1, place, RecordDict(), {})
    with pytest.raises(Exception, match="this site has another plan: run vmseg_plan_and_preprocess"):
        site_app.app(message, here)
