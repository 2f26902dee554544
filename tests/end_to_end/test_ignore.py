"""A cohort of which only every second slice was outlined, through all commands, as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import raw_dataset

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE

pytestmark = pytest.mark.slow
GRID = Geometry((10, 26, 26), (3.0, 0.8, 0.8))
"""Just large enough for a network of three stages."""
SHORT = (
    "epochs=2", "iterations_per_epoch=2", "validation_share=0.5", "mirror_axes=[]", "tile_step_size=1",
)  # fmt: skip


def run(name: str, *arguments: str | Path, cwd: Path | None = None, code: int = 0) -> str:
    """Run an installed command of this environment; gives all that it says."""
    script = shutil.which(name, path=str(Path(sys.executable).parent))
    assert script, f"{name} is not installed here: pip install -e '.[test]'"
    done = subprocess.run(
        [script, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small scans, four outlined on slices 1, 3, 5, ... alone, and one as a whole; trained for a moment."""
    made = raw_dataset(tmp_path_factory.mktemp("cohort") / "raw", cases=5, grid=GRID)
    folder = made.parent / "sparse"
    masks = made / "labelsTr"
    for path in sorted(masks.iterdir())[1:]:
        mask, geometry = read_mask(path)
        mask[1::2] = 0
        write_mask(path, mask, geometry)
    whole = made.parent / "whole"
    whole.mkdir()
    first = sorted(masks.iterdir())[0]
    first.rename(whole / first.name)
    given = ("-i", made / "imagesTr", "-o", folder, "--yes")
    run("vmseg_make_dataset", *given, "-m", masks, "--outlined-slices", "2")
    run("vmseg_make_dataset", *given, "-m", whole, "--add")
    said = run("vmseg_plan_and_preprocess", "--memory", "0.02", cwd=folder)
    assert "4 of 5 masks are annotated in part" in said
    said = run("vmseg_train", "0", "1", "2", "3", "4", "--device", "cpu", "--set", *SHORT, cwd=folder)
    assert "left out, as their masks are annotated in part" in said
    return folder


def test_masks_hold_the_label_and_no_network_has_an_output_for_it(dataset: Path) -> None:
    data = read_dataset(dataset)
    assert data.mask_labels == {"background": 0, "lesion": 1, "ignore": 2}
    model = json.loads((dataset / "vmseg/runs/default/default/model.json").read_text())
    assert model["labels"] == {"background": 0, "lesion": 1}
    space = Workspace(dataset / "vmseg")
    (folder,) = [path for path in (space.root / "preprocessed").iterdir() if path.is_dir()]
    labels = [PreprocessedFolder(folder).load(case.id).label for case in data.cases]
    assert sorted(IGNORE in np.unique(label) for label in labels if label is not None) == [False, *[True] * 4]


def test_validation_scores_the_annotated_part_and_no_volume_of_it(dataset: Path) -> None:
    (own,) = Workspace(dataset / "vmseg").runs()
    rows = read_table(own.cross_validation / "metrics.csv")
    assert len(rows) == 5
    assert all(row["dice"] for row in rows)
    assert sorted(row["reference_ml"] != "" for row in rows) == [*[False] * 4, True]
    assert len(read_table(own.volumes)) == 1
    assert len(read_table(own.label_check)) == 5


def test_predicted_masks_and_reports_know_nothing_of_it(dataset: Path) -> None:
    run("vmseg_predict", "-i", "imagesTr", "-o", "masks", "--no-tta", cwd=dataset)
    values = [set(np.unique(read_mask(path)[0]).tolist()) for path in (dataset / "masks").glob("*.nii.gz")]
    assert len(values) == 5
    assert set().union(*values) <= {0, 1}
    said = run("vmseg_evaluate", "-p", "masks", "-r", "labelsTr", cwd=dataset)
    assert "lesion: 5 cases of 5 patients" in said
    assert "ignore" not in said
    run("vmseg_report", cwd=dataset)
    assert "4 of 5 masks" in (dataset / "vmseg" / "report.html").read_text()
    run("vmseg_doctor", cwd=dataset)


def test_a_mask_annotated_in_part_has_no_follow_up(dataset: Path) -> None:
    (own,) = Workspace(dataset / "vmseg").runs()
    rows = read_table(own.cross_validation / "metrics.csv")
    one, other = [row["case"] for row in rows if not row["reference_ml"]][:2]
    scans = (f"imagesTr/{one}_0000.nii.gz", f"imagesTr/{other}_0000.nii.gz")
    masks = ("--masks", f"labelsTr/{one}.nii.gz", f"labelsTr/{other}.nii.gz")
    said = run("vmseg_followup", *scans, *masks, "-o", "compared", "--same-patient", cwd=dataset, code=2)
    assert "annotated in part, so that its volume is not known" in said
