"""The same image is found under another file, scale or edge; different people are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.preprocessing.duplicates import same_images, signature

Image = NDArray[np.float32]


def scan(seed: int, shape: tuple[int, int, int] = (20, 60, 50)) -> Image:
    """[1, Z, Y, X]: an image as smooth as a scan, 0 to about 1000."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = gaussian_filter(noise, (1.5, 4, 4))
    return (1000 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)[None]


def found(*images: Image) -> list[tuple[int, int, bool]]:
    return list(same_images([signature(image) for image in images]))


def trimmed(image: Image, axis: int, end: str) -> Image:
    """Without the first or last slice, row or column."""
    places = slice(1, None) if end == "first" else slice(None, -1)
    return np.take(image, range(image.shape[axis])[places], axis)


def test_equal_voxels_are_told_from_nearly_equal_ones() -> None:
    image = scan(0)
    assert found(image, scan(1), image.copy()) == [(0, 2, True)]
    changed = image.copy()
    changed[0, 3, 4, 5] += 1
    assert found(image, changed) == [(0, 1, False)]
    assert found(image, scan(1), scan(2)) == []
    assert found() == []


@settings(max_examples=25)
@given(
    seed=st.integers(0, 5),
    kind=st.sampled_from([np.uint8, np.int16, np.float16]),
    scale=st.floats(0.01, 30),
    offset=st.floats(0, 100),
    edge=st.sampled_from([(axis, end) for axis in (1, 2, 3) for end in ("first", "last")] + [None]),
    turned=st.booleans(),
)
def test_scale_number_type_and_a_lost_edge_hide_nothing(
    seed: int, kind: type[np.number], scale: float, offset: float, edge: tuple[int, str] | None, turned: bool
) -> None:
    image = scan(seed)
    levels = image * (200 / image.max()) if kind is np.uint8 else image  # as an 8-bit export does
    other = levels.astype(kind).astype(np.float32) * np.float32(scale) + np.float32(offset)
    if edge is not None:
        other = trimmed(other, *edge)
    pair = (other, image) if turned else (image, other)
    assert [place[:2] for place in found(scan(seed + 10), *pair)] == [(1, 2)]


def test_a_frame_of_zeros_hides_nothing() -> None:
    image = scan(0)
    framed = np.pad(image, ((0, 0), (2, 0), (30, 10), (7, 0)))
    assert found(image, framed, 2 * framed + 50) == [(0, 1, False), (0, 2, False), (1, 2, False)]


def test_all_channels_must_be_alike() -> None:
    first, second = scan(0), scan(1)
    both = np.concatenate([first, second])
    assert found(both, np.concatenate([first, scan(2)])) == []
    assert found(both, np.concatenate([3 * first, second + 1])) == [(0, 1, False)]


def test_flat_and_thin_images_are_compared() -> None:
    flat = np.full((1, 4, 5, 6), 7, dtype=np.float32)
    assert found(flat, flat, scan(0, (1, 40, 30)), 2 * scan(0, (1, 40, 30))) == [(0, 1, True), (2, 3, False)]


@pytest.mark.parametrize("name", ["vmsemi53", "hippocampus53", "neck_cord"])
def test_real_patients_are_told_apart(shared_data: Path, name: str) -> None:
    dataset = read_dataset(shared_data / name)
    cases = [*dataset.cases, *dataset.test_cases]
    images = [read_case(case)[0] for case in cases]
    signatures = [signature(image) for image in images]
    assert all(cases[a].patient == cases[b].patient for a, b, _ in same_images(signatures))
    for place in (0, len(images) // 2, len(images) - 1):
        copy = np.round(images[place] * (250 / images[place].max()))
        for axis in (1, 2, 3):
            pair = [signatures[place], signature(trimmed(copy, axis, "first"))]
            assert list(same_images(pair)) == [(0, 1, False)]
