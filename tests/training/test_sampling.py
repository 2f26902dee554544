"""Patches are read from where they should be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import tiny_case

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.evaluation.lesions import CaseStudy
from vmseg_auto.training.sampling import PatchSampler, forced_foreground, read_box
from vmseg_auto.utils.geometry import Shape
from vmseg_auto.utils.labels import IGNORE

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.tuples(*[st.integers(1, 14)] * 3)


def mapped_case(shape: Shape, voxels: dict[int, list[tuple[int, int, int]]]) -> PreprocessedCase:
    """The three channels hold each voxel's own position, from 1 on; what is outside reads as 0."""
    image = np.indices(shape).astype(np.float32) + 1
    label = np.zeros(shape, dtype=np.uint8)
    for index, positions in voxels.items():
        for position in positions:
            label[position] = index
    foreground = {index: np.array(positions, dtype=np.int32) for index, positions in voxels.items()}
    return replace(tiny_case("mapped", 0), image=image, label=label, foreground=foreground)


def start_of(box: NDArray[np.float32]) -> list[int]:
    """Where in its case a box of a mapped case begins."""
    _, z, y, x = (int(found[0]) for found in np.nonzero(box))
    return [int(box[axis, z, y, x]) - 1 - at for axis, at in enumerate((z, y, x))]


@given(shape=SHAPES, start=st.tuples(*[st.integers(-20, 20)] * 3), size=SHAPES, channels=st.integers(0, 3))
def test_a_box_is_cut_from_a_padded_array(shape: Shape, start: Shape, size: Shape, channels: int) -> None:
    full = (channels, *shape) if channels else shape
    array = np.arange(1, np.prod(full) + 1, dtype=np.int32).reshape(full)
    pad = 40
    padded = np.pad(array, [(0, 0)] * (array.ndim - 3) + [(pad, pad)] * 3)
    cut = padded[(..., *(slice(s + pad, s + pad + n) for s, n in zip(start, size, strict=True)))]
    box = read_box(array, np.array(start), np.array(size))
    assert box.dtype == array.dtype
    assert np.array_equal(box, cut)
    box[...] = 0
    assert array.min() == 1, "the case itself must never change"


@given(shape=SHAPES, patch=SHAPES, margin=st.tuples(*[st.integers(0, 9)] * 3), seed=SEEDS)
def test_random_boxes_hang_over_no_more_than_they_must(shape: Shape, patch: Shape, margin: Shape, seed: int) -> None:
    read = tuple(p + m for p, m in zip(patch, margin, strict=True))
    case = mapped_case(shape, {})
    image, label = PatchSampler(patch, read)([case], False, np.random.default_rng(seed))  # type: ignore[arg-type]
    assert image.shape == (3, *read)
    assert label.shape == read
    for start, n, p, r in zip(start_of(image), shape, patch, read, strict=True):
        allowed = max(r - p, r - n)
        assert -start <= allowed // 2
        assert start + r - n <= allowed - allowed // 2


@given(
    shape=SHAPES,
    patch=st.tuples(*[st.integers(2, 14)] * 3),
    margin=st.tuples(*[st.integers(0, 9)] * 3),
    seed=SEEDS,
    data=st.data(),
)
def test_a_foreground_patch_holds_its_voxel(
    shape: Shape, patch: Shape, margin: Shape, seed: int, data: st.DataObject
) -> None:
    voxel = data.draw(st.tuples(*[st.integers(0, n - 1) for n in shape]))
    read = tuple(p + m for p, m in zip(patch, margin, strict=True))
    case = mapped_case(shape, {2: [voxel]})
    image, label = PatchSampler(patch, read)([case], True, np.random.default_rng(seed))  # type: ignore[arg-type]
    assert (label == 2).sum() == 1
    for start, at, p, m in zip(start_of(image), voxel, patch, margin, strict=True):
        inner = start + m // 2  # where the patch proper begins, which the augmentation cuts out
        assert inner <= at < inner + p


def test_image_and_label_come_from_the_same_place() -> None:
    case = tiny_case("a", 3)
    sampler = PatchSampler((6, 8, 8), (9, 12, 12))
    for seed in range(20):
        image, label = sampler([case], bool(seed % 2), np.random.default_rng(seed))
        assert np.all(image[0][label == 1] > 0.5)  # the cuboid is 2 plus noise of 0.3


def test_every_class_is_as_likely_however_small() -> None:
    case = mapped_case((9, 9, 9), {1: [(z, y, 0) for z in range(9) for y in range(9)], 3: [(4, 4, 8)]})
    sampler = PatchSampler((1, 1, 1), (1, 1, 1))
    rng = np.random.default_rng(0)
    drawn = Counter(int(sampler([case], True, rng)[1][0, 0, 0]) for _ in range(400))
    assert set(drawn) == {1, 3}
    assert 150 < drawn[3] < 250


def test_every_case_is_drawn() -> None:
    cases = [replace(tiny_case(name, 0), image=np.full((1, 12, 20, 24), i, np.float32)) for i, name in enumerate("abc")]
    sampler, rng = PatchSampler((4, 4, 4), (4, 4, 4)), np.random.default_rng(0)
    drawn = Counter(int(sampler(cases, False, rng)[0].max()) for _ in range(300))
    assert sorted(drawn) == [0, 1, 2]
    assert min(drawn.values()) > 70


def test_a_case_without_foreground_gives_any_patch() -> None:
    case, sampler = mapped_case((6, 6, 6), {}), PatchSampler((2, 2, 2), (2, 2, 2))
    images = [sampler([case], True, np.random.default_rng(seed))[0] for seed in range(60)]
    assert len({tuple(start_of(image)) for image in images}) > 20


def test_the_same_stream_draws_the_same_patch() -> None:
    case, sampler = tiny_case("a", 1), PatchSampler((4, 8, 8), (6, 10, 10))
    first = sampler([case], True, np.random.default_rng([1, 2]))
    again = sampler([case], True, np.random.default_rng([1, 2]))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(
    ("batch", "share", "forced"),
    [
        (2, 1 / 3, 1),
        (3, 1 / 3, 1),
        (5, 1 / 3, 2),
        (9, 1 / 3, 3),
        (12, 1 / 3, 4),
        (1, 1 / 3, 1),
        (4, 0.01, 1),
        (4, 1, 4),
    ],
)
def test_the_last_third_is_forced_and_at_least_one(batch: int, share: float, forced: int) -> None:
    flags = [forced_foreground(i, batch, share) for i in range(batch)]
    assert flags == [False] * (batch - forced) + [True] * forced


@given(st.integers(1, 64))
def test_a_share_of_nothing_forces_nothing(batch: int) -> None:
    assert not any(forced_foreground(i, batch, 0.0) for i in range(batch))


@given(shape=SHAPES, patch=SHAPES, foreground=st.booleans(), seed=SEEDS)
def test_a_patch_holds_an_annotated_voxel(shape: Shape, patch: Shape, foreground: bool, seed: int) -> None:
    """Of a case of which one voxel alone is annotated."""
    rng = np.random.default_rng(seed)
    at = tuple(int(rng.integers(n)) for n in shape)
    label = np.full(shape, IGNORE, dtype=np.uint8)
    label[at] = 0
    case = replace(mapped_case(shape, {}), label=label, annotated=np.array([at], dtype=np.int32))
    _, box = PatchSampler(patch, patch)([case], foreground, rng)
    padded = np.prod(patch) > np.count_nonzero(box == IGNORE) + 1
    assert (box == 0).sum() >= 1
    assert padded or (box == 0).sum() == 1


def test_foreground_comes_before_other_annotated_voxels() -> None:
    case = mapped_case((9, 9, 9), {1: [(2, 2, 2)]})
    case = replace(case, annotated=np.array([(6, 6, 6)], dtype=np.int32))
    sampler, rng = PatchSampler((3, 3, 3), (3, 3, 3)), np.random.default_rng(0)
    assert start_of(sampler([case], True, rng)[0]) == [1, 1, 1]
    assert start_of(sampler([case], False, rng)[0]) == [5, 5, 5]


def test_a_lesion_of_which_a_part_may_not_be_annotated_is_not_whole() -> None:
    case = mapped_case((5, 9, 9), {1: [(1, 1, 1), (3, 7, 7)]})
    assert case.label is not None
    case.label[0, 2, 2] = IGNORE
    study = CaseStudy(case)
    assert len(study.lesions) == 2
    assert [lesion.box for lesion in study.whole_lesions] == [((3, 4), (7, 8), (7, 8))]


def test_slices_are_drawn_one_by_one_with_foreground_where_it_is_wanted() -> None:
    case = mapped_case((7, 9, 9), {1: [(2, 4, 4), (5, 4, 4)]})
    sampler, rng = PatchSampler((1, 8, 8), (1, 12, 12)), np.random.default_rng(0)
    anywhere = [start_of(sampler([case], False, rng)[0])[0] for _ in range(200)]
    assert set(anywhere) == set(range(7))
    forced = [sampler([case], True, rng) for _ in range(50)]
    assert {start_of(image)[0] for image, _ in forced} == {2, 5}
    assert all(label.any() for _, label in forced)
