"""Planted label errors stand on top of the label check, doubtful predictions do not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from small_cohort import GRID, ball

from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.confidence import Confidence
from vmseg_auto.evaluation.evaluate import evaluate_pairs
from vmseg_auto.evaluation.reliability import Reliability
from vmseg_auto.workflows.confidence import judge
from vmseg_auto.workflows.run_tables import read_confidence_figures

LABELS = {"background": 0, "lesion": 1}
CASES = 16
SWAPPED, ERASED, DOUBTFUL = "case_03", "case_07", {"case_11", "case_13", "case_15"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Predictions off by a voxel; two masks are wrong, and three predictions miss their lesions and are uncertain."""
    run, files, confidence = Run(tmp_path), {}, {}
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
        confidence[case] = Confidence(0.8 if case in DOUBTFUL else float(rng.uniform(0.1, 0.3)), 0.0, mirrored=True)
    scores = evaluate_pairs(files, LABELS)
    judge(confidence, scores, dict.fromkeys(files, Reliability(0.1, 0.05))).save(run, files, LABELS)
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
    assert {row["case"] for row in rows(run.confidence)[:3]} == DOUBTFUL
    assert run.confidence_picture.stat().st_size > 5000
    assert not DOUBTFUL & {row["case"] for row in rows(run.label_check)[:2]}


def test_the_figures_are_those_of_the_table(run: Run) -> None:
    told = read_confidence_figures(run)
    figures = {one.name.split()[0]: one for one in told.figures}
    table = rows(run.confidence)
    certainty, dice = (np.array([float(row[name]) for row in table]) for name in ("expected_dice", "dice"))
    assert figures["Brier"].value == pytest.approx(0.1)
    assert figures["Brier"].scans == figures["AUROC"].patients == CASES
    poor = dice < 0.5
    pairs = [(a < b) + (a == b) / 2 for a in certainty[poor] for b in certainty[~poor]]
    assert figures["AUROC"].value == pytest.approx(np.mean(pairs), abs=0.1)  # ties of what is clipped at 0 or 1
    assert told.kept_dice[-1] == pytest.approx(dice.mean(), rel=1e-4)
    assert told.kept_dice[CASES // 2] > told.kept_dice[-1]
    assert all(one.why or one.low_95 is not None for one in told.figures)
