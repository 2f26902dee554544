"""Masks hold values that are labels, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.label_masks import label_values, looks_like_intensities

LESION, TWO = {"background": 0, "lesion": 1}, {"background": 0, "lesion": 1, "vein": 2}


@pytest.mark.parametrize(
    ("values", "labels", "wanted"),
    [
        ([0, 1], LESION, [0, 1]),
        ([0, 255], LESION, [0, 1]),
        ([255], {"lesion": 1}, [1]),
        ([0, 2, 1], TWO, [0, 2, 1]),
        ([0, 255], {"background": 0, "lesion": 255}, [0, 255]),
    ],
)
def test_values_of_a_mask(values: list[int], labels: dict[str, int], wanted: list[int]) -> None:
    assert label_values(np.array(values, np.uint8), labels).tolist() == wanted


@pytest.mark.parametrize(("values", "labels"), [([0, 1, 255], LESION), ([0, 255], TWO), ([3], TWO)])
def test_values_that_no_label_has_are_refused(values: list[int], labels: dict[str, int]) -> None:
    with pytest.raises(InputError, match=rf"the mask holds {values[-1]}, which is no label \(background 0, lesion 1"):
        label_values(np.array(values, np.uint8), labels)


def test_a_scan_is_told_from_a_mask_even_of_many_lesions_with_a_value_each() -> None:
    noise = np.random.default_rng(0).normal(900, 150, (6, 20, 24))
    head = np.where(np.hypot(*np.mgrid[-9:11, -11:13]) < 9, noise, 0)  # air as in a mask's background
    for scan in (noise, head, head.astype(np.int16), (head / 6).astype(np.uint8)):
        assert looks_like_intensities(scan)
    numbered = np.zeros((6, 60, 60), np.uint8)
    for number in range(200):
        numbered[:, 4 * (number // 15) : 4 * (number // 15) + 3, 4 * (number % 15) : 4 * (number % 15) + 3] = number + 1
    for mask in (numbered, numbered > 0, np.zeros((2, 3, 4), np.uint8), numbered.astype(float)):
        assert not looks_like_intensities(mask)
