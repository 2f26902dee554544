"""Scoring a folder of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from reviewing import predictions

from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.evaluate import evaluate


def test_one_folder_given_twice_is_warned_of(tmp_path: Path) -> None:
    mask = np.zeros((4, 6, 6), dtype=np.uint8)
    mask[1:3, 2:4, 2:4] = 1
    write_mask(tmp_path / "masks" / "anna.nii.gz", mask, Geometry((4, 6, 6), (2.0, 1.0, 1.0)))
    heard = Heard()
    evaluate(tmp_path / "masks", tmp_path / "masks", output=tmp_path / "scores.csv", console=heard)
    same = "the predictions and the references are the same folder: each mask is compared with itself"
    assert heard.warned == [same]
    assert [float(row["dice"]) for row in read_csv(tmp_path / "scores.csv")] == [1.0]


def test_without_dataset_json_labels_are_those_of_the_model(tmp_path: Path) -> None:
    masks = predictions(tmp_path, "anna")
    mask, grid = read_mask(masks / "anna.nii.gz")
    write_mask(tmp_path / "truth" / "anna.nii.gz", mask, grid)
    evaluate(masks, tmp_path / "truth", output=tmp_path / "scores.csv")
    assert {row["label"] for row in read_csv(tmp_path / "scores.csv")} == {"venous_malformation"}


def test_a_value_that_the_model_does_not_know_is_no_lesion(tmp_path: Path) -> None:
    """As that of voxels which nobody has annotated."""
    masks = predictions(tmp_path, "anna")
    mask, grid = read_mask(masks / "anna.nii.gz")
    mask[0] = 2
    write_mask(tmp_path / "truth" / "anna.nii.gz", mask, grid)
    with pytest.raises(
        InputError, match=r"the mask holds 2, which is no label \(background 0, venous_malformation 1\)"
    ):
        evaluate(masks, tmp_path / "truth", output=tmp_path / "scores.csv")
