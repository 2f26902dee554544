"""What validation leaves for the choice among runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from workspaces import Cohort, cohort, trained_run

from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.probabilities import read_probabilities
from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.inference.thresholds import classify, from_bytes
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.utils.atomic import read_json, read_stored, write_json
from vmseg_auto.utils.console import Silent
from vmseg_auto.workflows.paths import read_plan
from vmseg_auto.workflows.select import select
from vmseg_auto.workflows.validate import finish_run, validate_fold
from vmseg_auto.workflows.validation_cases import ValidationCases


def files(folder: FoldFolder) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.validation.rglob("*") if path.is_file()}


def validation(made: Cohort, folder: FoldFolder) -> ValidationCases:
    return ValidationCases(folder, made.splits.folds[int(folder.name)].val, made.dataset, made.fingerprint)


def test_a_validated_run_is_summed_up_and_selected(tmp_path: Path) -> None:
    """Its threshold and post-processing so far do not touch its validation."""
    made = cohort(tmp_path, 3)
    run = trained_run(made, "default")
    write_json(run.model, {**read_json(run.model), "threshold": 0.9})
    preprocessed = made.space.preprocessed(read_plan(made.space, None).voxels_hash)
    for number, fold in enumerate(made.splits.folds):
        assert not finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Silent())
        folder = run.fold(number)
        validate_fold(run, validation(made, folder), preprocessed, "cpu", Silent())
        for case in fold.val:
            mask, geometry = read_mask(folder.validation / f"{case}.nii.gz")
            held = read_probabilities(folder.probabilities(case), case, 1, geometry.shape)
            assert np.array_equal(classify(from_bytes(held)), mask)
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Silent())
    chosen = select(workspace=made.space.root)
    scores = read_json(run.cross_validation / "metrics.json")["summary"]["lesion"]["dice"]["mean"]
    assert chosen.candidates[0].plain.mean == pytest.approx(scores)
    assert read_stored(ModelInfo, run.model).threshold == chosen.chosen.threshold


def test_only_missing_probabilities_are_made_again(tmp_path: Path) -> None:
    made = cohort(tmp_path, 6)
    run = trained_run(made, "default")
    preprocessed = made.space.preprocessed(read_plan(made.space, None).voxels_hash)
    folder = run.fold(0)
    both = made.splits.folds[0].val
    validate_fold(run, validation(made, folder), preprocessed, "cpu", Silent())
    before = files(folder)
    validate_fold(run, validation(made, folder), preprocessed, "cpu", Silent())
    assert files(folder) == before
    lost = folder.probabilities(both[0])
    content = lost.read_bytes()
    lost.unlink()
    validate_fold(run, validation(made, folder), preprocessed, "cpu", Silent())
    assert lost.read_bytes() == content
    folder.budgets.unlink()
    assert [case.id for case in validation(made, folder).unpredicted()] == list(both)
    others = [str(folder.probabilities(case)) for case in both[1:]]
    assert others
    assert [files(folder)[path] for path in others] == [before[path] for path in others]
