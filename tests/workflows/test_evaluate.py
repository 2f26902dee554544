"""Scoring a folder of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from consoles import Heard

from vmseg_auto.data.images.images import write_mask
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
