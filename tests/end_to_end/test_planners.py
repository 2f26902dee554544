"""What each planner plans can be trained and predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_dataset import raw_dataset

from benchmarks.reliability.cohort import IN_THREADS, SETTINGS, write_cohort
from vmseg_auto.cli import model, select
from vmseg_auto.cli import plan_and_preprocess as planning
from vmseg_auto.cli import predict as prediction
from vmseg_auto.cli import train as training
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.selection_record import Selection
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import LeftOutWarning
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


def test_slices_beside_volumes_by_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From one call that plans both to the ensemble of the two, and a zip of the 2-D model alone."""
    folder = write_cohort(tmp_path / "cohort", cases=3)
    place, masks = ["-d", str(folder)], tmp_path / "masks"
    assert planning.main([*place, "--planner", "2d", "default", "--memory", "0.01", "--jobs", "1"]) == 0
    shown = capsys.readouterr().out
    assert "1 x 1 mm in the slices" in shown
    assert shown.splitlines()[-1].count("vmseg_train 0 1 2") == 2
    space = Workspace(folder / "vmseg")
    assert space.plans() == ["2d", "default"]
    assert len(list((space.root / "preprocessed").iterdir())) == 2

    short = ["--device", "cpu", "--jobs", "1", "--set", *SETTINGS, IN_THREADS]
    assert training.main(["0", "1", "2", *place, "--planner", "2d", *short]) == 0
    assert training.main(["0", "1", "2", *place, "--planner", "default", *short]) == 0
    assert select.main([*place, "--jobs", "1"]) == 0
    names = [set(candidate.runs) for candidate in read_stored(Selection, space.selection).candidates]
    assert {"2d/default", "default/default"} in names
    assert len(names) == 3

    scans = ["-i", str(folder / "imagesTs"), "--device", "cpu"]
    assert prediction.main([*scans, "-o", str(masks), *place]) == 0
    run = str(space.run("2d", "default").folder)
    assert model.main(["export", "-m", run, "-o", str(tmp_path / "slices.zip"), "--onnx"]) == 0
    assert prediction.main([*scans, "-o", str(tmp_path / "alone"), "-m", str(tmp_path / "slices.zip")]) == 0
    for mask in (masks, tmp_path / "alone"):
        found, geometry = read_mask(mask / "s.nii.gz")
        assert geometry.shape == (10, 24, 24)
        assert set(np.unique(found)) <= {0, 1}


def test_a_low_resolution_is_trained_and_predicts_where_one_is_needed(tmp_path: Path) -> None:
    large, small = Geometry((20, 72, 72), (3.0, 0.8, 0.8)), tmp_path / "small"
    raw_dataset(tmp_path / "large", cases=2, test_cases=1, grid=large)
    planned = plan_and_preprocess(tmp_path / "large", planner="lowres", memory_gb=0.02, jobs=1)
    assert planned.plan is not None
    assert planned.plan.spacing_mm[1] > 1
    settings = ["epochs=1", "iterations_per_epoch=1", "validation_share=0", "mirror_axes=[]", "tile_step_size=1"]
    run = train([0], dataset=tmp_path / "large", planner="lowres", settings=settings, device="cpu", jobs=1)
    (path,) = predict(tmp_path / "large" / "imagesTs", tmp_path / "masks", model=run.folder, device="cpu", jobs=1)
    assert read_mask(path)[1].differences(large) == []

    raw_dataset(small, cases=2, grid=GRID)
    with pytest.raises(InputError, match="needs no low resolution"):
        plan_and_preprocess(small, planner="lowres", memory_gb=1, jobs=1)


def test_a_cascade_is_trained_on_masks_of_its_first_stage_and_given_away_with_it(tmp_path: Path) -> None:
    large, place = Geometry((20, 72, 72), (3.0, 0.8, 0.8)), tmp_path / "cohort"
    raw_dataset(place, cases=3, test_cases=1, grid=large)
    planned = plan_and_preprocess(place, planner="cascade", memory_gb=0.02, jobs=1)
    assert [command.partition("--planner ")[2].split()[0] for command in planned.due] == ["lowres", "cascade"]
    brief = ["epochs=1", "iterations_per_epoch=1", "validation_share=0", "mirror_axes=[]", "tile_step_size=1"]

    def trained(folds: list[int], planner: str, *more: str, fresh: bool = False) -> Run:
        settings = [*brief, *more]
        return train(folds, dataset=place, planner=planner, settings=settings, device="cpu", jobs=1, fresh=fresh)

    with pytest.raises(InputError, match=r"first stage has no masks.*Run `vmseg_train 0 1 2 --planner lowres`"):
        trained([0], "cascade")
    trained([0, 1, 2], "lowres")
    run = trained([0, 1, 2], "cascade")
    assert run.cross_validation.is_dir()
    network = Predictor.load(run.folder, device="cpu").ensemble.networks[0]
    assert next(network.parameters()).shape[1] == 2

    scans = place / "imagesTs"
    (first,) = predict(scans, tmp_path / "masks", model=run.folder, device="cpu", jobs=1)
    packed = export_model(tmp_path / "model.zip", model=run.folder, onnx=True)
    (second,) = predict(scans, tmp_path / "again", model=packed, device="cpu", jobs=1)
    assert first.read_bytes() == second.read_bytes()

    with pytest.warns(LeftOutWarning, match="its first stage has other masks now"):
        trained([0, 1, 2], "lowres", "seed=5", fresh=True)
    with pytest.raises(InputError, match="the first stage has other masks"):
        trained([0], "cascade")
    due = plan_and_preprocess(place, planner="cascade", memory_gb=0.02, jobs=1).due
    assert any(command.startswith("vmseg_train 0 1 2 --planner cascade") and "--fresh" in command for command in due)
