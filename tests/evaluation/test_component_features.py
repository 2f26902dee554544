"""Components of a predicted mask are measured alike, whatever their order, their grid and the scan's scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmseg_auto.evaluation.component_features import FEATURES, describe_components
from vmseg_auto.evaluation.volumetry import measure
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((6, 20, 24), (3.0, 1.0, 1.0))
BOXES = (np.s_[1:3, 2:6, 2:8], np.s_[4:5, 10:12, 15:18], np.s_[2:4, 15:18, 3:4], np.s_[0:1, 1:3, 20:22])


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mask of four boxes, probabilities and a scan (Z, Y, X)."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(GRID.shape, dtype=bool)
    for box in BOXES:
        mask[box] = True
    soft = np.clip(np.where(mask, 0.8, 0.2) + rng.normal(0, 0.05, GRID.shape), 0, 1).astype(np.float32)
    return mask, soft, rng.normal(100, 10, GRID.shape).astype(np.float32) + 50 * mask


def column(name: str) -> int:
    return FEATURES.index(name)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1,), (2,), (0,), (0, 2)])
def test_the_order_in_memory_changes_no_measure(axes: tuple[int, ...]) -> None:
    """Flipping the arrays, with a grid that runs the other way, finds the same components in another order."""
    mask, soft, image = scene()
    plain = describe_components(mask, soft, image, GRID)
    x, y, z = (-1.0 if axis in axes else 1.0 for axis in (2, 1, 0))
    flipped = Geometry(GRID.shape, GRID.spacing_mm, direction=(x, 0, 0, 0, y, 0, 0, 0, z))
    turned = describe_components(*(np.flip(array, axes) for array in (mask, soft, image)), flipped)

    def ordered(features: np.ndarray) -> np.ndarray:
        return features[np.lexsort(features.T[::-1])]

    assert ordered(turned.features) == pytest.approx(ordered(plain.features), abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(len(BOXES))))
def test_the_order_of_drawing_changes_no_measure(order: list[int]) -> None:
    mask, soft, image = scene()
    drawn = np.zeros_like(mask)
    for number in order:
        drawn[BOXES[number]] = True
    assert np.array_equal(
        describe_components(drawn, soft, image, GRID).features, describe_components(mask, soft, image, GRID).features
    )


def test_components_come_as_in_volumes_csv() -> None:
    mask, soft, image = scene()
    found = describe_components(mask, soft, image, GRID)
    assert [one.box for one in found.lesions] == [piece.lesion.box for piece in measure(mask, GRID)[1]]


def test_the_scale_of_the_scan_does_not_matter() -> None:
    mask, soft, image = scene()
    plain, scaled = (describe_components(mask, soft, one, GRID).features for one in (image, image * 7 + 300))
    assert scaled == pytest.approx(plain, rel=1e-3, abs=1e-3)


def test_measures_mean_what_their_names_say() -> None:
    mask, soft, image = scene()
    features = describe_components(mask, soft, image, GRID).features
    volumes = np.exp(features[:, column("log_volume")])
    assert volumes == pytest.approx([0.144, 0.018, 0.018, 0.012])
    assert (features[:, column("contrast")] > 1).all()
    assert (features[:, column("peak_probability")] >= features[:, column("mean_probability")]).all()
    assert np.exp(features[:, column("log_slices")]) == pytest.approx([2, 2, 1, 1])
    assert ((features[:, column("compactness")] > 0.4) & (features[:, column("compactness")] < 1)).all()
    assert (features[:, column("brightest")] > 0).all()
    assert features[1, column("elongation")] == pytest.approx(np.log(6**2 / 1**2))  # of 6 x 3 x 1 mm


def test_a_lone_voxel_in_a_flat_scan_has_finite_measures() -> None:
    ones = np.ones((1, 1, 1), np.float32)
    found = describe_components(ones > 0, ones, ones, Geometry((1, 1, 1), (5.0, 1.0, 1.0)))
    assert np.isfinite(found.features).all()


def test_nothing_predicted_has_no_measures() -> None:
    mask, soft, image = scene()
    assert describe_components(np.zeros_like(mask), soft, image, GRID).features.shape == (0, len(FEATURES))
