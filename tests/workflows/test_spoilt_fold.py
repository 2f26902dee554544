"""A fold whose weights give no numbers never gives a mask; fold and case are named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from workspaces import cohort, trained_run

from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.models.final_checkpoint import load_final, save_final
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import SomeCasesFailedError
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.validate import validate_fold
from vmseg_auto.workflows.validation_cases import validation_cases


def spoil(fold: FoldFolder) -> None:
    checkpoint = load_final(fold.final)
    weights = {name: tensor.clone() for name, tensor in checkpoint.weights.items()}
    next(iter(weights.values())).fill_(3e38)  # finite, and too large to compute with
    save_final(fold.final, replace(checkpoint, weights=weights))


def test_no_mask_is_made_of_what_is_not_a_number(tmp_path: Path) -> None:
    made = cohort(tmp_path / "data")
    run: Run = trained_run(made, "default")
    spoil(run.fold(2))
    scans, masks = tmp_path / "data" / "imagesTr", tmp_path / "masks"
    with pytest.raises(SomeCasesFailedError) as caught:
        predict(scans, masks, model=run.folder, device="cpu")
    assert [error.case for error in caught.value.errors] == ["a", "b", "c", "d", "e"]
    assert all("made of them: fold 2 (default/default). Train" in str(error) for error in caught.value.errors)
    assert not list(masks.glob("*.nii.gz"))
    assert len(predict(scans, masks, model=run.folder, folds=[0, 1], device="cpu")) == 5
    held = validation_cases(run, made.fingerprint, made.splits, made.dataset)[2]
    preprocessed = made.space.preprocessed(load_final(run.fold(2).final).plan.voxels_hash)
    (case,) = held.cases
    (error,) = validate_fold(run, held, preprocessed, "cpu", Silent())
    assert re.match(rf"^case {case}.*fold 2 \(default/default\)", str(error))
