"""Scores of masks whose figures are counted by hand, and what can't be scored."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks measure through Linux's /proc", allow_module_level=True)

from benchmarks.cohort_scores import Mask, Score, score, score_files
from benchmarks.tools import SetupError
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.utils.geometry import Geometry

SHAPE = (4, 12, 12)
GRID = Geometry(SHAPE, (2.0, 1.0, 1.0))


def cube(*corners: tuple[int, int, int], size: int = 2) -> Mask:
    """Cubes of two voxels a side at these corners."""
    mask = np.zeros(SHAPE, bool)
    for z, y, x in corners:
        mask[z : z + size, y : y + size, x : x + size] = True
    return mask


def test_half_an_overlap() -> None:
    """Two cubes of 8 voxels that share 4: Dice 2 * 4 / 16; one lesion, found."""
    assert score(cube((0, 0, 0)), cube((0, 0, 1))) == Score(0.5, 1, 1, 1, 1)


def test_lesions_are_counted_one_by_one() -> None:
    """Of three lesions two are hit, both by the same predicted one; two more predictions lie beside."""
    reference = cube((0, 0, 0), (0, 0, 4), (0, 8, 8))
    prediction = cube((0, 0, 0), (0, 0, 2), (0, 0, 4), (2, 4, 0), (2, 8, 4))
    found = score(prediction, reference)
    assert (found.lesions, found.found, found.predicted, found.right) == (3, 2, 3, 1)
    assert (found.sensitivity, found.precision) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert found.dice == pytest.approx(2 * 16 / (24 + 40))


def test_voxels_that_share_a_corner_are_one_lesion() -> None:
    assert score(cube((0, 0, 0), (2, 2, 2)), cube((0, 0, 0))).predicted == 1


def test_empty_masks() -> None:
    nothing, something = np.zeros(SHAPE, bool), cube((0, 0, 0))
    both = score(nothing, nothing, GRID.spacing_mm)
    assert both == Score(1.0, 0, 0, 0, 0, None)
    assert math.isnan(both.sensitivity)
    assert math.isnan(both.precision)
    assert score(nothing, something, GRID.spacing_mm) == Score(0.0, 1, 0, 0, 0, 0.0)
    assert score(something, nothing, GRID.spacing_mm) == Score(0.0, 0, 0, 1, 0, 0.0)


def test_surfaces_within_a_millimetre_are_one() -> None:
    """Moved by a pixel of 1 mm all borders lie near; by a slice of 2 mm only the shared slice and none beyond does."""
    middle = cube((1, 4, 4))
    assert score(middle, middle, GRID.spacing_mm).nsd == 1.0
    assert score(middle, cube((1, 4, 5)), GRID.spacing_mm).nsd == 1.0
    assert score(middle, cube((2, 4, 4)), GRID.spacing_mm).nsd == pytest.approx(0.5)
    assert score(middle, cube((1, 4, 5))).nsd is None


def test_files_are_scored_label_by_label_in_their_own_millimetres(tmp_path: Path) -> None:
    labels = {"background": 0, "a": 1, "b": 2}
    reference, prediction = (np.zeros(SHAPE, np.uint8) for _ in range(2))
    reference[cube((1, 4, 4))], prediction[cube((2, 4, 4))] = 1, 1
    reference[cube((0, 0, 0))] = 2
    for name, mask in (("reference", reference), ("prediction", prediction)):
        write_mask(tmp_path / f"{name}.nii.gz", mask, GRID)
    paths = tmp_path / "prediction.nii.gz", tmp_path / "reference.nii.gz"
    found = score_files(*paths, labels, millimetres=True)
    assert found == {"a": Score(0.5, 1, 1, 1, 1, 0.5), "b": Score(0.0, 1, 0, 0, 0, 0.0)}
    assert score_files(*paths, labels, millimetres=False)["a"].nsd is None


def test_what_cannot_be_scored_is_named(tmp_path: Path) -> None:
    for name, shape in (("small", (3, 3, 3)), ("large", SHAPE)):
        write_mask(tmp_path / f"{name}.nii.gz", np.ones(shape, np.uint8), Geometry(shape, (1.0, 1.0, 1.0)))
    with pytest.raises(SetupError, match=r"small.*\(3, 3, 3\).*large.*\(12, 12, 4\)"):
        score_files(tmp_path / "small.nii.gz", tmp_path / "large.nii.gz", {"a": 1}, millimetres=True)
    with pytest.raises(SetupError, match="was not written"):
        score_files(tmp_path / "missing.nii.gz", tmp_path / "large.nii.gz", {"a": 1}, millimetres=True)
