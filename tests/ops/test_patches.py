"""Sliding windows see every voxel, and give back what a network says of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vmseg_auto.core.geometry import Shape
from vmseg_auto.ops.patches import gaussian_weight, predict_logits, window_starts, windows

STEPS = st.sampled_from([0.25, 0.5, 0.75, 1.0])


class Says(nn.Module):
    """A network that is a plain function of its image."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.function(image)


def noise(shape: Shape, channels: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(channels, *shape, generator=torch.Generator().manual_seed(seed))


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
    found = windows(shape, patch, step)  # type: ignore[arg-type]
    for start in found:
        seen[tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))] = True
    assert seen.all()
    assert len(set(found)) == len(found)


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


@settings(max_examples=60)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    patch=st.tuples(*[st.integers(1, 7)] * 3),
    step=STEPS,
    mirror_axes=st.sampled_from([(), (0,), (1, 2), (0, 1, 2)]),
    copies=st.integers(1, 3),
)
def test_a_network_that_gives_its_image_gives_the_image(
    shape: Shape, patch: Shape, step: float, mirror_axes: tuple[int, ...], copies: int
) -> None:
    """Whatever the sizes, also smaller than the patch; the image itself stays as it is."""
    image = noise(shape)
    before = image.clone()
    logits = predict_logits([nn.Identity()] * copies, image, patch, step=step, mirror_axes=mirror_axes)
    assert logits.dtype == torch.float32
    assert logits.shape == image.shape
    assert torch.allclose(logits, image, atol=1e-5)
    assert torch.equal(image, before)


def test_a_network_that_no_mirror_disturbs_gives_the_same_with_and_without() -> None:
    torch.manual_seed(0)
    pointwise = nn.Sequential(nn.Conv3d(2, 4, 1), nn.LeakyReLU(), nn.Conv3d(4, 3, 1)).eval()
    image = noise((9, 11, 13))
    plain = predict_logits([pointwise], image, (4, 8, 6))
    mirrored = predict_logits([pointwise], image, (4, 8, 6), mirror_axes=(0, 1, 2))
    assert torch.allclose(plain, mirrored, atol=1e-5)
    assert torch.allclose(plain, pointwise(image[None])[0], atol=1e-5)


def test_mirrorings_are_averaged_over_every_combination() -> None:
    patch = (3, 4, 5)
    ramp = torch.arange(60.0).reshape(1, 1, *patch)
    image = noise(patch, channels=1)
    seen = []

    def add_ramp(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return x + ramp

    logits = predict_logits([Says(add_ramp)], image, patch, mirror_axes=(0, 2))
    flips = [(), (0,), (2,), (0, 2)]
    assert len(seen) == 4
    assert all(any(torch.equal(x, image.flip([a + 1 for a in flip])[None]) for x in seen) for flip in flips)
    mean_ramp = torch.stack([ramp[0].flip([a + 1 for a in flip]) for flip in flips]).mean(0)
    assert torch.allclose(logits, image + mean_ramp, atol=1e-4)


def test_an_ensemble_is_the_mean_of_logits() -> None:
    image = noise((6, 9, 9))
    networks = [Says(lambda x: 2 * x), Says(lambda x: -x), Says(lambda x: x + 3)]
    logits = predict_logits(networks, image, (4, 4, 4), mirror_axes=(1,))
    assert torch.allclose(logits, (2 * image - image + image + 3) / 3, atol=1e-5)


def test_overlapping_windows_are_weighted_by_the_gaussian() -> None:
    """Two windows on a line, told apart by the value in their first voxel."""
    patch, weight = (1, 1, 4), gaussian_weight((1, 1, 4)).flatten()
    image = torch.arange(6.0).reshape(1, 1, 1, 6)
    logits = predict_logits([Says(lambda x: x[..., :1].expand_as(x))], image, patch).flatten()
    first, second = torch.zeros(6), torch.zeros(6)
    first[:4], second[2:] = weight, weight
    assert torch.allclose(logits, (0 * first + 2 * second) / (first + second), atol=1e-6)


def test_small_images_stand_in_the_middle_of_zeros() -> None:
    seen: list[torch.Tensor] = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return x

    predict_logits([Says(look)], torch.ones(1, 2, 3, 4), (4, 4, 4))
    expected = torch.zeros(1, 1, 4, 4, 4)
    expected[0, 0, 1:3, 0:3] = 1
    assert len(seen) == 1
    assert torch.equal(seen[0], expected)


def test_progress_counts_windows() -> None:
    told: list[tuple[int, int]] = []
    predict_logits([nn.Identity()], noise((4, 4, 8)), (4, 4, 4), progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_sixteen_bits_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(2, 3, 1).eval()
    image = noise((6, 9, 9))
    exact = predict_logits([network] * 3, image, (4, 4, 4))
    rounded = predict_logits([network] * 3, image, (4, 4, 4), mirror_axes=(0, 1, 2), dtype=torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, atol=0.05)


def test_channels_and_classes_may_differ() -> None:
    network = Says(lambda x: torch.cat([x, x, x[:, :1]], dim=1))
    assert predict_logits([network], noise((3, 5, 7)), (2, 4, 4)).shape == (5, 3, 5, 7)


def test_no_gradient_is_kept() -> None:
    network = nn.Conv3d(1, 2, 3, padding=1).eval()
    assert not predict_logits([network], noise((4, 4, 4), 1), (4, 4, 4)).requires_grad


def test_window_order_is_that_of_the_axes() -> None:
    assert windows((4, 6, 4), (4, 4, 4), 0.5) == list(itertools.product([0], [0, 2], [0]))
