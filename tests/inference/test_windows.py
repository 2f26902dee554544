"""Sliding windows see every voxel, and give back what a network says of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.inference.windows import gaussian_weight, tiling, window_starts
from vmseg_auto.utils.geometry import Shape

STEPS = st.sampled_from([0.25, 0.5, 0.75, 1.0])


@given(patch=st.integers(1, 60), more=st.integers(0, 200), step=st.floats(0.05, 1.0))
def test_windows_cover_a_line_evenly(patch: int, more: int, step: float) -> None:
    size = patch + more
    starts = window_starts(size, patch, step)
    assert starts[0] == 0
    assert starts[-1] == size - patch
    gaps = np.diff(starts)
    assert np.all(gaps <= np.ceil(max(1.0, patch * step)))
    assert np.all(gaps <= patch)
    assert len(gaps) == 0 or 1 <= gaps.min() <= gaps.max() <= gaps.min() + 1


@pytest.mark.parametrize(
    ("size", "patch", "step", "starts"),
    [
        (110, 64, 0.5, [0, 23, 46]),  # the example in nnU-Net's own comment
        (64, 64, 0.5, [0]),
        (65, 64, 0.5, [0, 1]),
        (128, 64, 1.0, [0, 64]),
        (10, 4, 0.5, [0, 2, 4, 6]),
        (5, 2, 0.1, [0, 1, 2, 3]),  # where nnU-Net would look at the same window many times
    ],
)
def test_starts_are_those_of_nnunet(size: int, patch: int, step: float, starts: list[int]) -> None:
    assert window_starts(size, patch, step) == starts


@given(patch=st.tuples(*[st.integers(1, 6)] * 3), more=st.tuples(*[st.integers(0, 9)] * 3), step=STEPS)
def test_windows_cover_a_volume(patch: Shape, more: Shape, step: float) -> None:
    shape = tuple(p + m for p, m in zip(patch, more, strict=True))
    seen = np.zeros(shape, dtype=bool)
    cores = np.zeros(shape, dtype=bool)
    tiles = tiling(shape, patch, step)  # type: ignore[arg-type]
    for tile in tiles:
        seen[tile.box] = True
        cores[tile.core] = True
        assert all(b.start <= c.start < c.stop <= b.stop for b, c in zip(tile.box, tile.core, strict=True))
        assert tuple(b.stop - b.start for b in tile.box) == patch
    assert seen.all()
    assert cores.all()
    assert len({tuple(part.start for part in tile.box) for tile in tiles}) == len(tiles)


@pytest.mark.parametrize("patch", [(8, 16, 16), (1, 7, 9), (64, 64, 64)])
def test_gaussian_weight(patch: Shape) -> None:
    weight = gaussian_weight(patch)
    assert (tuple(weight.shape), weight.dtype) == (patch, torch.float32)
    assert float(weight.min()) > 0
    assert float(weight.max()) == 1.0
    assert float(weight[tuple(n // 2 for n in patch)]) == 1.0
    middle = patch[1] // 2
    sigma = patch[1] / 8
    line = weight[patch[0] // 2, :, patch[2] // 2]
    assert float(line[middle + 1]) == pytest.approx(np.exp(-1 / (2 * sigma**2)), rel=1e-3)


def test_tiles_come_in_the_order_of_the_axes() -> None:
    tiles = tiling((4, 6, 4), (4, 4, 4), 0.5)
    assert [tile.place for tile in tiles] == list(itertools.product([0], [0, 1], [0]))
    assert [tile.box[1] for tile in tiles] == [slice(0, 4), slice(2, 6)]
    assert [tile.core[1] for tile in tiles] == [slice(0, 3), slice(3, 6)]
    assert [tile.core[0] for tile in tiles] == [slice(0, 4), slice(0, 4)]
