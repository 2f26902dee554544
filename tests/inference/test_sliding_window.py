"""Ensembles say of an image what their networks say, whole or with less budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from consoles import Heard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.sliding_window import SUMMED_BYTES, budgets_at_once, predict_logits
from vmseg_auto.inference.uncertainty import UncertaintyEstimator
from vmseg_auto.inference.windows import AIR_LOGIT, WeightedSum, air_level, gaussian_weight
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.geometry import Shape

STEPS = st.sampled_from([0.25, 0.5, 0.75, 1.0])


class Says(nn.Module):
    """A network that is a plain function of its image."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.function(image)


class Counts(Says):
    """Counts how often it is asked, also by several threads."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(function)
        self._windows: list[int] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self._windows.append(len(image))
        return super().forward(image)

    def take_count(self) -> int:
        """Windows since the last call."""
        count = sum(self._windows)
        self._windows.clear()
        return count


def noise(shape: Shape, channels: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(channels, *shape, generator=torch.Generator().manual_seed(seed))


def logits_of(
    networks: Sequence[nn.Module],
    image: torch.Tensor,
    patch: Shape,
    mirror_axes: tuple[int, ...] = (),
    dtype: torch.dtype | None = None,
    classes: int | None = None,
    **options: Any,
) -> torch.Tensor:
    ensemble = FoldEnsemble(networks, classes or len(image), mirror_axes, dtype=dtype)
    (logits,) = predict_logits(ensemble, image, patch, **options)
    return logits


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
    logits = logits_of([nn.Identity()] * copies, image, patch, step=step, mirror_axes=mirror_axes)
    assert logits.dtype == torch.float32
    assert logits.shape == image.shape
    assert torch.allclose(logits, image, atol=1e-5)
    assert torch.equal(image, before)


def test_a_network_that_no_tta_disturbs_gives_the_same_with_and_without() -> None:
    torch.manual_seed(0)
    pointwise = nn.Sequential(nn.Conv3d(2, 4, 1), nn.LeakyReLU(), nn.Conv3d(4, 3, 1)).eval()
    image = noise((9, 11, 13))
    plain = logits_of([pointwise], image, (4, 8, 6), classes=3)
    mirrored = logits_of([pointwise], image, (4, 8, 6), mirror_axes=(0, 1, 2), classes=3)
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

    logits = logits_of([Says(add_ramp)], image, patch, mirror_axes=(0, 2))
    flips = [(), (0,), (2,), (0, 2)]
    assert len(seen) == 4
    assert all(any(torch.equal(x, image.flip([a + 1 for a in flip])[None]) for x in seen) for flip in flips)
    mean_ramp = torch.stack([ramp[0].flip([a + 1 for a in flip]) for flip in flips]).mean(0)
    assert torch.allclose(logits, image + mean_ramp, atol=1e-4)


def test_an_ensemble_is_the_mean_of_logits() -> None:
    image = noise((6, 9, 9))
    networks = [Says(lambda x: 2 * x), Says(lambda x: -x), Says(lambda x: x + 3)]
    logits = logits_of(networks, image, (4, 4, 4), mirror_axes=(1,))
    assert torch.allclose(logits, (2 * image - image + image + 3) / 3, atol=1e-5)


def test_overlapping_windows_are_weighted_by_the_gaussian() -> None:
    """Two windows on a line, told apart by the value in their first voxel."""
    patch, weight = (1, 1, 4), gaussian_weight((1, 1, 4)).flatten()
    image = torch.arange(6.0).reshape(1, 1, 1, 6)
    logits = logits_of([Says(lambda x: x[..., :1].expand_as(x))], image, patch).flatten()
    first, second = torch.zeros(6), torch.zeros(6)
    first[:4], second[2:] = weight, weight
    assert torch.allclose(logits, (0 * first + 2 * second) / (first + second), atol=1e-6)


def test_small_images_stand_in_the_middle_of_zeros() -> None:
    seen: list[torch.Tensor] = []

    def one(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return x

    logits_of([Says(one)], torch.ones(1, 2, 3, 4), (4, 4, 4))
    expected = torch.zeros(1, 1, 4, 4, 4)
    expected[0, 0, 1:3, 0:3] = 1
    assert len(seen) == 1
    assert torch.equal(seen[0], expected)


def test_progress_counts_passes() -> None:
    told: list[tuple[int, int]] = []
    logits_of([nn.Identity()], noise((4, 4, 8)), (4, 4, 4), progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_sixteen_bits_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(2, 3, 1).eval()
    image = noise((6, 9, 9))
    exact = logits_of([network] * 3, image, (4, 4, 4), classes=3)
    rounded = logits_of([network] * 3, image, (4, 4, 4), mirror_axes=(0, 1, 2), dtype=torch.bfloat16, classes=3)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, atol=0.05)


def test_channels_and_classes_may_differ() -> None:
    network = Says(lambda x: torch.cat([x, x, x[:, :1]], dim=1))
    assert logits_of([network], noise((3, 5, 7)), (2, 4, 4), classes=5).shape == (5, 3, 5, 7)


def test_no_gradient_is_kept() -> None:
    network = nn.Conv3d(1, 2, 3, padding=1).eval()
    assert not logits_of([network], noise((4, 4, 4), 1), (4, 4, 4), classes=2).requires_grad


def blob_in_quiet() -> tuple[torch.Tensor, nn.Module]:
    """A bright blob in one corner, and a network that finds foreground where it is bright."""
    image = torch.zeros(1, 8, 32, 32)
    image[:, :4, :6, :6] = 1
    return image, Says(lambda x: torch.cat([0 * x, 20 * x - 10], dim=1))


def test_several_budgets_give_what_each_gives_alone() -> None:
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Conv3d(2, 3, 3, padding=1)).eval() for _ in range(2)]
    image = noise((9, 11, 13))
    ensemble = FoldEnsemble(networks, 3, (0, 2))
    budgets = [EXHAUSTIVE, InferenceBudget(1), InferenceBudget(2), InferenceBudget(gate=0.6), InferenceBudget(2, 0.55)]
    together = predict_logits(ensemble, image, (4, 8, 6), budgets=budgets)
    for budget, logits in zip(budgets, together, strict=True):
        (alone,) = predict_logits(ensemble, image, (4, 8, 6), budgets=[budget])
        assert torch.allclose(logits, alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_a_gate_spares_windows_without_a_lesion() -> None:
    image, finder = blob_in_quiet()
    counter = Counts(finder)
    ensemble = FoldEnsemble([counter], 2, (0, 1, 2))
    (whole,) = predict_logits(ensemble, image, (4, 8, 8))
    every = counter.take_count()
    (gated,) = predict_logits(ensemble, image, (4, 8, 8), budgets=[InferenceBudget(gate=0.5)])
    assert counter.take_count() < every / 4
    assert torch.equal(whole.argmax(0), gated.argmax(0))


def test_a_gate_of_one_leaves_every_window_at_first_sight() -> None:
    image, finder = blob_in_quiet()
    counter = Counts(finder)
    predict_logits(FoldEnsemble([counter] * 3, 2, (0,)), image, (4, 8, 8), budgets=[InferenceBudget(gate=1.0)])
    assert counter.take_count() == 3 * 7 * 7


def test_threads_change_no_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(2, 8, 3, padding=1), nn.InstanceNorm3d(8), nn.Conv3d(8, 3, 3, padding=1)).eval()
    ensemble = FoldEnsemble([network], 3, (0, 1, 2))
    image, threads = noise((9, 30, 30)), torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(predict_logits(ensemble, image, (8, 16, 16))[0])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_windows_of_air_are_passed_over_and_are_background() -> None:
    image, finder = blob_in_quiet()
    counter = Counts(finder)
    (logits,) = predict_logits(FoldEnsemble([counter], 2), image, (4, 8, 8), air_below=0.5)
    assert 0 < counter.take_count() < 3 * 7 * 7
    assert float(logits[0, -1, -1, -1]) == pytest.approx(AIR_LOGIT)
    assert torch.equal(logits.argmax(0), (image[0] > 0.5).long())


def test_air_is_darker_than_a_tenth_of_the_range() -> None:
    image = torch.zeros(1, 10, 20, 20)
    image[:, 2:8, 5:15, 5:15] = 100.0
    assert air_level(image) == pytest.approx(10.0)
    assert air_level(image - 50.0) == pytest.approx(-40.0)
    empty = torch.zeros_like(image)
    assert air_level(torch.cat([image - 50.0, empty])) == pytest.approx(-40.0)  # of a channel that is missing
    assert air_level(torch.cat([empty, empty])) == 0.0  # a scan without contrast


def test_an_even_image_is_not_air() -> None:
    even = torch.full((1, 4, 8, 8), 3.0)
    logits = logits_of([Says(lambda x: x)], even, (4, 4, 4), air_below=air_level(even))
    assert torch.allclose(logits, even)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("budget", [EXHAUSTIVE, InferenceBudget(1), InferenceBudget(gate=0.5)])
def test_a_network_whose_logits_are_not_finite_is_named(wrong: float, budget: InferenceBudget) -> None:
    """A single voxel is enough: such logits would make an empty mask, or none that means anything."""

    def spoils_a_voxel(x: torch.Tensor) -> torch.Tensor:
        logits = torch.cat([0 * x, 20 * x - 10], dim=1)
        logits[0, 1, 0, 0, 0] = wrong
        return logits

    image, finder = blob_in_quiet()
    networks = [finder, Says(spoils_a_voxel), finder]
    ensemble = FoldEnsemble(networks, 2, (0,), names=["fold 0", "fold 1", "fold 4"])
    with pytest.raises(VmsegError, match=r"NaN or infinite values, and no mask can be made of them: fold 1\. Train"):
        predict_logits(ensemble, image, (4, 8, 8), budgets=[budget])


def test_sixteen_bits_that_overflow_are_met_with_more() -> None:
    image = noise((4, 8, 8))
    ensemble = FoldEnsemble([Says(lambda x: x / 0)], 2)
    ensemble.dtype = torch.float16
    with pytest.raises(VmsegError, match=r"network 0\. Try --precision float32\."):
        predict_logits(ensemble, image, (4, 8, 8))


def test_a_scan_that_does_not_fit_beside_the_networks_begins_anew_with_its_sums_in_main_memory() -> None:
    """The sums do not fit, in the middle of a scan: what was seen until then does not count twice."""
    torch.manual_seed(0)
    networks = [nn.Conv3d(2, 2, 3, padding=1).eval() for _ in range(2)]
    image, heard, console = noise((9, 11, 13)), [], Heard()

    def no_room_once(done: int, total: int) -> None:
        heard.append(done)
        if len(heard) == total // 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    undisturbed, estimator = UncertaintyEstimator(2, True), UncertaintyEstimator(2, True)
    (expected,) = predict_logits(FoldEnsemble(networks, 2, (0,)), image, (4, 8, 6), estimator=undisturbed)
    ensemble = FoldEnsemble(networks, 2, (0,), console=console)
    home = ensemble.device
    for _ in range(2):
        heard.clear()
        (logits,) = predict_logits(ensemble, image, (4, 8, 6), progress=no_room_once, estimator=estimator)
        assert torch.equal(logits, expected)
        assert ensemble.device is home, "the networks stay where they are"
    assert estimator.confidence() == undisturbed.confidence()
    assert len(console.warned) == 2
    assert all("summed up in main memory" in text for text in console.warned)


def test_as_many_budgets_are_summed_side_by_side_as_memory_is_given_for() -> None:
    assert budgets_at_once(2, (40, 512, 512)) >= 9, "a usual head"
    giant = budgets_at_once(2, (256, 512, 512))
    assert giant * 4 * 3 * 256 * 512 * 512 <= SUMMED_BYTES < (giant + 1) * 4 * 3 * 256 * 512 * 512
    assert budgets_at_once(5, (1024, 1024, 1024)) == 1


def test_a_sum_is_finished_in_its_own_memory() -> None:
    total = WeightedSum.zeros(2, (2, 3, 4), torch.device("cpu"))
    total.add((slice(0, 1), slice(0, 3), slice(0, 4)), torch.full((2, 1, 3, 4), 3.0), torch.full((1, 3, 4), 2.0))
    mean = total.mean()
    finished = total.finish()
    assert torch.equal(mean, finished)
    assert finished.data_ptr() == total.total.data_ptr()
    assert finished[:, 0, 0, 0].tolist() == [3.0, 3.0]
    assert finished[:, 1, 0, 0].tolist() == [AIR_LOGIT, 0.0]
