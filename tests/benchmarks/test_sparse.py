"""The three trainings of benchmarks/sparse.py: the same patients, or as many outlined slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from raw_dataset import GRID, raw_dataset, tiny_mask

from benchmarks.sparse import EVERY, fewer, sparse_masks
from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.utils.labels import IGNORE


def test_a_fifth_of_the_slices_of_whole_patients() -> None:
    patients = {f"{patient}{scan}": patient for patient in "abcdefghij" for scan in (1, 2)}
    chosen = fewer(patients, dict.fromkeys(patients, 10))
    assert len(chosen) == len(patients) // EVERY
    owners = {patients[case] for case in chosen}
    assert {case for case in patients if patients[case] in owners} == set(chosen)
    assert fewer({"a": "a", "b": "b"}, {"a": 10, "b": 10}) in (("a",), ("b",)), "never none"


def test_masks_of_the_training_side_are_annotated_on_every_fifth_slice(tmp_path: Path) -> None:
    source = raw_dataset(tmp_path / "raw", cases=3)
    sparse_masks(source, tmp_path / "sparse", ("a", "c"))
    data = read_dataset(tmp_path / "sparse")
    assert data.mask_labels == {"background": 0, "lesion": 1, "ignore": 2}
    seen = np.arange(GRID.shape[0]) % EVERY == 2
    for case in data.cases:
        _, mask, _ = read_case(case, data.mask_labels)
        assert mask is not None
        np.testing.assert_array_equal(mask[seen], tiny_mask()[seen])
        assert (mask[~seen] == IGNORE).all() == (case.id != "b")
