"""A cohort whose labels are regions, as nnU-Net defines them, from dataset.json to masks, scores and reports."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability.cohort import GRID, IN_THREADS, write_cohort
from vmseg_auto.cli import followup, report, review, select
from vmseg_auto.cli import predict as prediction
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import IGNORE, Labels
from vmseg_auto.workflows.evaluate import evaluate
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.train import train

pytestmark = pytest.mark.slow
BRIEF = (
    "epochs=3", "iterations_per_epoch=10", "validation_share=0.1", "mirror_axes=[2]", "tile_step_size=1",
    "optimizer=adamw", "lr=0.01", "ema_decay=0", IN_THREADS,
)  # fmt: skip
KNOWN = Labels({"background": 0, "whole": 1, "core": 2}, {"whole": (1, 2), "core": (2,)})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright balls with a brighter core; of the first case the last slices are not annotated. All folds are trained."""
    folder = write_cohort(tmp_path_factory.mktemp("regions") / "cohort", cases=3)
    for number, path in enumerate(sorted((folder / "labelsTr").iterdir())):
        mask, geometry = read_mask(path)
        middle = np.argwhere(mask).mean(axis=0)
        place = np.indices(mask.shape)
        apart = sum(f * (at - m) ** 2 for f, at, m in zip((4, 1, 1), place, middle, strict=True))
        mask[(mask == 1) & (apart <= 9)] = 2
        scan = folder / "imagesTr" / f"{path.name[0]}_0000.nii.gz"
        image, _ = read_image(scan)
        write_image(scan, image + 60 * (mask == 2), geometry)
        if number == 0:
            mask[-2:] = 3
        write_mask(path, mask, geometry)
    stated = json.loads((folder / "dataset.json").read_text())
    stated["labels"] = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    (folder / "dataset.json").write_text(json.dumps({**stated, "regions_class_order": [1, 2]}))
    planned = plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    assert planned.plan is not None
    assert planned.plan.regions == ((1, 2), (2,))
    space, network = planned.workspace, planned.plan.network
    narrow = replace(network, features=tuple(min(width, 8) for width in network.features))
    write_json(space.plan("default"), replace(planned.plan, network=narrow).to_json())
    train(range(3), dataset=folder, settings=BRIEF, device="cpu", jobs=1)
    return folder


@pytest.fixture(scope="module")
def run(cohort: Path) -> Run:
    (found,) = Workspace(cohort / "vmseg").runs()
    return found


def test_each_region_has_an_output_of_its_own_and_is_scored_by_all_its_values(cohort: Path, run: Run) -> None:
    loaded = Predictor.load(run.folder, device="cpu")
    assert loaded.info.labels == KNOWN
    assert loaded.ensemble.classes == 2
    rows = rows_of(run.cross_validation / "metrics.csv")
    assert [row["label"] for row in rows] == ["whole", "core"] * 3
    drawn, _ = read_mask(cohort / "labelsTr" / "b.nii.gz")
    told = {row["label"]: float(row["reference_ml"]) for row in rows if row["case"] == "b"}
    assert told["whole"] == pytest.approx(np.count_nonzero(drawn) * GRID.voxel_ml)
    assert told["core"] == pytest.approx(np.count_nonzero(drawn == 2) * GRID.voxel_ml)
    assert [row["reference_ml"] for row in rows if row["case"] == "a"] == ["", ""]
    assert {label: float(np.mean([float(r["dice"]) for r in rows if r["label"] == label])) > 0.3 for label in told} == {
        "whole": True, "core": True,
    }  # fmt: skip
    for name in ("volumes", "froc"):
        assert {row["label"] for row in rows_of(getattr(run, name))} == {"whole", "core"}


def test_masks_are_written_in_order_and_each_region_has_probabilities(cohort: Path, run: Run, tmp_path: Path) -> None:
    (path,) = predict(
        cohort / "imagesTs", tmp_path / "masks", model=run.folder, save_probabilities=True, save_uncertainty=True,
        device="cpu", jobs=1,
    )  # fmt: skip
    mask, _ = read_mask(path)
    folder = tmp_path / "masks" / "probabilities"
    soft = {name: read_image(folder / name / "s.nii.gz")[0] for name in ("whole", "core")}
    expected = np.where(soft["core"] > 0.5, 2, np.where(soft["whole"] > 0.5, 1, 0))
    assert 2 in mask
    info = Predictor.load(run.folder, device="cpu").info
    if info.threshold == 0.5 and not (info.postprocessing and info.postprocessing.keep_largest):
        assert (mask != expected).mean() < 0.001
    rows = {row["label"]: row for row in rows_of(tmp_path / "masks" / "volumes.csv") if row["component"] == "all"}
    assert int(rows["whole"]["voxels"]) == np.count_nonzero(mask)
    assert int(rows["core"]["voxels"]) == np.count_nonzero(mask == 2)
    (packed,) = predict(
        cohort / "imagesTs", tmp_path / "again", model=export_model(tmp_path / "m.zip", model=run.folder),
        device="cpu", jobs=1,
    )  # fmt: skip
    assert packed.read_bytes() == path.read_bytes()
    references, drawn = tmp_path / "cohort" / "labelsTr", tmp_path / "drawn"
    for folder in (references, drawn):
        folder.mkdir(parents=True)
        shutil.copyfile(cohort / "labelsTr" / "b.nii.gz", folder / "b.nii.gz")
    shutil.copyfile(cohort / "dataset.json", references.parent / "dataset.json")
    scores = evaluate(drawn, references, output=tmp_path / "scores")
    assert dict(zip(scores.table["label"], scores.table["dice"], strict=True)) == {"whole": 1.0, "core": 1.0}


def test_selection_reports_and_follow_up_know_regions(cohort: Path, run: Run, tmp_path: Path) -> None:
    assert select.main(["-d", str(cohort), "--jobs", "1"]) == 0
    assert report.main(["-d", str(cohort)]) == 0
    page = (cohort / "vmseg" / "report.html").read_text()
    assert "whole" in page
    masks = tmp_path / "masks"
    scans = cohort / "imagesTr"
    assert prediction.main(["-i", str(scans), "-o", str(masks), "-m", str(run.folder), "--device", "cpu"]) == 0
    assert report.main(["-i", str(masks)]) == 0
    assert "whole + core" in (masks / "report.html").read_text()
    pair = [str(scans / f"{case}_0000.nii.gz") for case in "bc"]
    given = ["--masks", *(str(masks / f"{case}.nii.gz") for case in "bc"), "-o", str(tmp_path / "compared")]
    assert followup.main([*pair, *given, "--same-patient"]) in (0, 3)
    changes = json.dumps([json.loads(path.read_text()) for path in (tmp_path / "compared").rglob("*.json")])
    assert "whole" in changes


def test_what_can_not_show_regions_refuses_them(cohort: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--format seg\.nrrd is not possible yet with labels that are regions"):
        predict(cohort / "imagesTs", tmp_path / "masks", model=run.folder, mask_formats="seg.nrrd", device="cpu")
    assert not (tmp_path / "masks").exists()
    assert review.main(["-d", str(cohort), "--no-browser"]) == 2
    examples = Path(__file__).parents[2] / "examples"
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(examples))
        with pytest.raises(InputError, match="training by focal, which does not say that it can, is not possible yet"):
            train([0], dataset=cohort, trainer="custom_trainer:FocalTrainer", device="cpu", jobs=1)


def test_positions_of_training_are_by_region(cohort: Path) -> None:
    from vmseg_auto.data.preprocessed import PreprocessedFolder

    (folder,) = [path for path in (cohort / "vmseg" / "preprocessed").iterdir() if path.is_dir()]
    case = PreprocessedFolder(folder).load("b")
    assert case.label is not None
    label = np.asarray(case.label)
    assert set(np.unique(label)) == {0, 1, 2}
    assert len(case.foreground[1]) == np.count_nonzero(label)
    assert len(case.foreground[2]) == np.count_nonzero(label == 2)
    assert IGNORE in np.asarray(PreprocessedFolder(folder).load("a").label)


def test_a_plan_edited_by_hand_is_refused_for_other_regions(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path)
    planned = plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    assert planned.plan is not None
    write_json(planned.workspace.plan("default"), replace(planned.plan, batch_size=3).to_json())
    stated = json.loads((folder / "dataset.json").read_text())
    stated["labels"] = {"background": 0, "whole": [1, 2], "core": [2]}
    (folder / "dataset.json").write_text(json.dumps({**stated, "regions_class_order": [1, 2]}))
    with pytest.raises(InputError, match=r"the regions of the plan are not those of dataset\.json"):
        plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
