"""Parameters are drawn as often, and from the ranges, that nnU-Net has; the seed alone decides."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from batchgenerators.augmentations.utils import rotate_coords_2d, rotate_coords_3d
from numpy.typing import NDArray

from vmseg_auto.training.augmentation.config import Drawn, affine, draw
from vmseg_auto.utils.geometry import Shape

CUBE, FLAT = (12, 14, 16), (5, 18, 16)
COUNT, CHANNELS = 4000, 2


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    return [draw(seed, CHANNELS, CUBE, (0, 1, 2)) for seed in range(COUNT)]


def alike(ours: Drawn, theirs: Drawn) -> bool:
    return all(np.array_equal(getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(Drawn))


@pytest.mark.parametrize(
    ("step", "share", "channel_share", "low", "high"),
    [
        ("blur_sigma", 0.2, 0.5, 0.5, 1.0),
        ("brightness", 0.15, 1.0, 0.75, 1.25),
        ("contrast", 0.15, 1.0, 0.75, 1.25),
        ("resolution", 0.25, 0.5, 0.5, 1.0),
        ("inverted_gamma", 0.1, 1.0, 0.7, 1.5),
        ("gamma", 0.3, 1.0, 0.7, 1.5),
    ],
)
def test_steps_of_a_channel(
    drawn: list[Drawn], step: str, share: float, channel_share: float, low: float, high: float
) -> None:
    pairs = [pair for one in drawn for pair in getattr(one, step)]
    values = np.array([value for _, value in pairs])
    expected = COUNT * CHANNELS * share * channel_share
    assert len(pairs) == pytest.approx(expected, abs=6 * expected**0.5)
    for channel in range(CHANNELS):
        assert sum(c == channel for c, _ in pairs) == pytest.approx(expected / 2, abs=6 * expected**0.5)
    if channel_share == 1:  # a sample's channels go together
        assert {len(getattr(one, step)) for one in drawn} == {0, CHANNELS}
    assert low <= values.min() < low + 0.02
    assert high - 0.02 < values.max() <= high
    assert len(np.unique(values)) == len(values), "each channel has a value of its own"
    if low < 1 < high:
        assert (values < 1).mean() == pytest.approx(0.5, abs=0.06), "one side of 1 as often as the other"


def test_noise(drawn: list[Drawn]) -> None:
    stds = np.array([one.noise_std for one in drawn if one.noise_std is not None])
    assert len(stds) == pytest.approx(0.1 * COUNT, abs=100)
    assert 0 <= stds.min() < 0.002 < 0.098 < stds.max() <= 0.1
    assert len({one.noise_seed for one in drawn}) == COUNT


def test_mirroring(drawn: list[Drawn]) -> None:
    for axis in range(3):
        assert np.mean([axis in one.mirrored for one in drawn]) == pytest.approx(0.5, abs=0.04)
    assert {one.mirrored for one in drawn} == {(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)}
    assert {draw(seed, 1, CUBE, (2,)).mirrored for seed in range(20)} == {(), (2,)}
    assert {draw(seed, 1, CUBE, ()).mirrored for seed in range(20)} == {()}


@pytest.mark.parametrize(("patch", "axes", "largest"), [(CUBE, 3, 30), (FLAT, 2, 180)])
def test_turns_and_zooms(patch: Shape, axes: int, largest: float) -> None:
    """A matrix is turn x zoom: its determinant tells the zoom, what remains tells the angles."""
    matrices = [one.matrix for one in (draw(seed, 1, patch, ()) for seed in range(COUNT)) if one.matrix is not None]
    assert len(matrices) == pytest.approx((1 - 0.8 * 0.8) * COUNT, abs=160)
    assert {matrix.shape for matrix in matrices} == {(axes, axes)}
    zooms = np.array([np.linalg.det(matrix) ** (1 / axes) for matrix in matrices])
    zoomed = zooms[abs(zooms - 1) > 1e-9]
    assert len(zoomed) == pytest.approx(0.2 * COUNT, abs=140)
    assert 0.7 <= zoomed.min() < 0.71
    assert 1.38 < zoomed.max() <= 1.4
    assert (zoomed < 1).mean() == pytest.approx(0.5, abs=0.08)
    turns = [matrix / zoom for matrix, zoom in zip(matrices, zooms, strict=True)]
    turned = np.array([angles_of(turn) for turn in turns if not np.allclose(turn, np.eye(axes))])
    assert len(turned) == pytest.approx(0.2 * COUNT, abs=140)
    for angles in turned.T:
        assert largest * 0.98 < abs(angles).max() <= largest
        assert angles.mean() == pytest.approx(0, abs=largest * 0.1)
        assert angles.std() == pytest.approx(largest / 3**0.5, rel=0.1), "every angle is as likely"


def angles_of(turn: NDArray[np.float64]) -> list[float]:
    """In degrees; about z, y and x for `affine`'s three."""
    if len(turn) == 2:
        return [float(np.degrees(np.arctan2(turn[0, 1], turn[0, 0])))]
    first, third = np.arctan2(-turn[2, 1], turn[2, 2]), np.arctan2(-turn[1, 0], turn[0, 0])
    return [float(angle) for angle in np.degrees([first, np.arcsin(turn[2, 0]), third])]


def test_the_angles_are_read_off_rightly() -> None:
    assert angles_of(affine((0.3, -0.2, 0.5), 1.0)) == pytest.approx(np.degrees([0.3, -0.2, 0.5]))
    assert angles_of(affine((2.5,), 1.0)) == pytest.approx([np.degrees(2.5)])


def test_the_seed_alone_decides(drawn: list[Drawn]) -> None:
    np.random.seed(3)
    for seed in (0, 7, 2**31 - 1):
        assert alike(draw(seed, CHANNELS, CUBE, (0, 1, 2)), draw(seed, CHANNELS, CUBE, (0, 1, 2)))
    assert not alike(drawn[0], drawn[1])


def test_drawing_needs_no_torch() -> None:
    script = "import sys, vmseg_auto.training.augmentation.config\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "False", done.stdout + done.stderr


def test_turns_are_batchgenerators_bit_by_bit() -> None:
    for angles in np.random.default_rng(0).uniform(-np.pi, np.pi, (50, 3)).tolist():
        assert np.array_equal(affine(tuple(angles), 1.1), rotate_coords_3d(np.eye(3), *angles) * 1.1)
        assert np.array_equal(affine((angles[0],), 0.8), rotate_coords_2d(np.eye(2), angles[0]) * 0.8)
