"""A second contrast that has moved, and what its registration is said to come to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.channels import HELD_OUT, SEED, make_cohort, second_contrast, second_scan
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.demo.phantom.phantom import make_phantom
from vmseg_auto.utils.atomic import read_json


def test_the_lesion_enhances_in_another_contrast() -> None:
    scan = make_phantom(SEED, 0)
    image = second_contrast(scan)
    inside, head = scan.mask > 0, scan.image > np.median(scan.image)
    assert image[inside].mean() > image[head & ~inside].mean()
    assert np.corrcoef(image[head & ~inside], scan.image[head & ~inside])[0, 1] < 0


def test_the_motion_is_the_seeds() -> None:
    scan = make_phantom(SEED, 0)
    first, again = (second_scan(scan, np.random.default_rng(1)) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


def test_a_cohort_is_registered_and_split(tmp_path: Path) -> None:
    (found,) = make_cohort(tmp_path, 1)
    assert found.after_mm < 1 < found.before_mm
    assert found.ncc > found.ncc_before
    assert found.gain > found.other_gain
    data = read_dataset(tmp_path)
    assert data.channels == ("T2", "T1")
    assert read_json(tmp_path / "splits_final.json") == [{"train": [], "val": [data.cases[0].id]}]
    assert HELD_OUT > 1
