"""Planted label errors stand on top of the label check, doubtful predictions do not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from small_cohort import GRID, ball

from vmseg_auto.core.runs import Run
from vmseg_auto.core.trust import Trust
from vmseg_auto.io.images import write_mask
from vmseg_auto.pipeline.trust import judge
from vmseg_auto.stages.evaluate import evaluate_pairs

LABELS = {"background": 0, "lesion": 1}
CASES = 16
SWAPPED, ERASED, DOUBTFUL = "case_03", "case_07", {"case_11", "case_13", "case_15"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Predictions off by a voxel; two masks are wrong, and three predictions miss their lesions and are uncertain."""
    run, files, trust = Run(tmp_path), {}, {}
    rng = np.random.default_rng(0)
    for number in range(CASES):
        case = f"case_{number:02d}"
        truth = ball(number)
        prediction, mask = np.roll(truth, 1, axis=2), truth
        if case == SWAPPED:
            mask = ball(number + 20)
        if case == ERASED:
            mask = np.zeros_like(truth)
        if case in DOUBTFUL:
            prediction = ball(number + 20)
        files[case] = (tmp_path / "predicted" / f"{case}.nii.gz", tmp_path / "masks" / f"{case}.nii.gz")
        for path, array in zip(files[case], (prediction, mask), strict=True):
            write_mask(path, array, GRID)
        trust[case] = Trust(0.8 if case in DOUBTFUL else float(rng.uniform(0.1, 0.3)), 0.0, mirrored=True)
    judge(trust, evaluate_pairs(files, LABELS)).save(run, files, LABELS)
    return run


def test_planted_errors_are_on_top_with_the_slice_to_look_at(run: Run) -> None:
    table = rows(run.label_check)
    assert len(table) == CASES
    assert {row["case"] for row in table[:2]} == {SWAPPED, ERASED}
    (erased,) = [row for row in table if row["case"] == ERASED]
    assert int(erased["slice"]) == int(np.argmax(ball(7).sum(axis=(1, 2)))) + 1
    assert float(erased["predicted_ml"]) == pytest.approx(int(ball(7).sum()) * GRID.voxel_ml, rel=1e-4)
    assert float(erased["outlined_ml"]) == 0
    assert erased["what"] == "the model sees more than is outlined"


def test_doubtful_failures_are_the_least_certain_and_no_label_errors(run: Run) -> None:
    assert {row["case"] for row in rows(run.trust)[:3]} == DOUBTFUL
    assert run.trust_picture.stat().st_size > 5000
    assert not DOUBTFUL & {row["case"] for row in rows(run.label_check)[:2]}
