"""Cross-entropy and soft Dice against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vmseg_auto.training.losses import (
    DeepSupervision,
    DiceBinaryCrossEntropy,
    DiceCrossEntropy,
    downsample,
    smooth_boundary_labels,
)
from vmseg_auto.utils.labels import IGNORE

LOG3 = math.log(3.0)


def logits_of(probabilities: list[float]) -> torch.Tensor:
    """[1, 2, 1, 1, n] whose softmax gives class 1 these probabilities."""
    p = torch.tensor(probabilities).reshape(1, 1, 1, 1, -1)
    return torch.cat([(1 - p).log(), p.log()], dim=1)


def target_of(labels: list[int]) -> torch.Tensor:
    return torch.tensor(labels).reshape(1, 1, 1, -1)


def perfect(target: torch.Tensor, classes: int) -> torch.Tensor:
    return 50 * nn.functional.one_hot(target, classes).movedim(-1, 1).float()


def test_two_voxels_by_hand() -> None:
    loss = DiceCrossEntropy()(logits_of([0.75, 0.25]), target_of([1, 0]))
    cross_entropy = -math.log(0.75)
    dice = 2 * 0.75 / (1 + 1)
    assert float(loss) == pytest.approx(cross_entropy - dice, abs=1e-4)


def test_three_classes_by_hand() -> None:
    """Equal logits: a third for each class; the background has no Dice."""
    loss = DiceCrossEntropy()(torch.zeros(1, 3, 1, 1, 4), target_of([0, 0, 1, 2]))
    dice = 2 * (1 / 3) / (4 / 3 + 1)  # for class 1 and class 2 alike
    assert float(loss) == pytest.approx(LOG3 - dice, abs=1e-4)


def test_a_perfect_prediction_reaches_minus_one() -> None:
    target = torch.randint(0, 3, (2, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    for batch_dice in (False, True):
        assert float(DiceCrossEntropy(batch_dice)(perfect(target, 3), target)) == pytest.approx(-1.0, abs=1e-5)


def test_batch_dice_sums_before_it_divides() -> None:
    logits = torch.cat([logits_of([0.5, 0.5]), logits_of([0.9, 0.1])])
    target = torch.cat([target_of([1, 1]), target_of([0, 0])])
    cross_entropy = -(2 * math.log(0.5) + math.log(0.1) + math.log(0.9)) / 4
    alone = (2 * 1.0 / (1 + 2) + 0.0) / 2
    together = 2 * 1.0 / (1 + 2 + 1)
    assert float(DiceCrossEntropy(False)(logits, target)) == pytest.approx(cross_entropy - alone, abs=1e-4)
    assert float(DiceCrossEntropy(True)(logits, target)) == pytest.approx(cross_entropy - together, abs=1e-4)


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_empty_masks_give_finite_gradients(batch_dice: bool, scale: float) -> None:
    logits = (scale * torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))).requires_grad_()
    loss = DiceCrossEntropy(batch_dice)(logits, torch.zeros(2, 4, 4, 4, dtype=torch.int64))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_an_empty_mask_rightly_predicted_empty_is_perfect() -> None:
    target = torch.zeros(1, 2, 2, 2, dtype=torch.int64)
    assert float(DiceCrossEntropy()(perfect(target, 2), target)) == pytest.approx(-1.0, abs=1e-4)


def test_sixteen_bits_are_summed_in_float32() -> None:
    """bf16 sums stall at 256: here each class sums to thousands."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 32, 32, 32, generator=generator).bfloat16()
    target = torch.randint(0, 2, (1, 32, 32, 32), generator=generator)
    loss = DiceCrossEntropy()(logits, target)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(DiceCrossEntropy()(logits.double(), target)), abs=1e-5)
    assert DeepSupervision(DiceCrossEntropy())([logits, logits], target).dtype == torch.float32


class First(nn.Module):
    """A loss that is the first logit, so that weights can be read off."""

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert logits.shape[2:] == target.shape[1:]
        return logits.flatten()[0]


@pytest.mark.parametrize(
    ("levels", "weights"),
    [(1, [1.0]), (2, [1.0, 0.0]), (3, [2 / 3, 1 / 3, 0.0]), (4, [4 / 7, 2 / 7, 1 / 7, 0.0])],
)
def test_weights_of_deep_supervision(levels: int, weights: list[float]) -> None:
    target = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    for level, weight in enumerate(weights):
        outputs = [torch.full((1, 2, *(3 * (8 >> i,))), float(i == level)) for i in range(levels)]
        assert float(DeepSupervision(First())(outputs, target)) == pytest.approx(weight)


def test_deep_supervision_compares_with_the_nearest_coarser_labels() -> None:
    fine = torch.zeros(1, 2, 4, 4, dtype=torch.int64)
    fine[:, :, :2, :2] = 2
    coarse = downsample(fine, torch.Size((2, 2, 2)))
    assert coarse.dtype == torch.int64
    assert coarse[0].tolist() == [[[2, 0], [0, 0]]] * 2
    assert downsample(fine, fine.shape[1:]) is fine


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_a_coarser_grid_takes_the_voxel_nearest_to_its_centre(size: int, factor: int, seed: int) -> None:
    fine = torch.randint(0, 5, (1, size * factor, 1, 1), generator=torch.Generator().manual_seed(seed))
    coarse = downsample(fine, torch.Size((size, 1, 1)))
    centres = [i * factor + factor // 2 for i in range(size)]
    assert coarse.flatten().tolist() == fine.flatten()[centres].tolist()


@given(st.integers(0, 2**31), st.floats(0.1, 3.0))
def test_better_logits_cost_less(seed: int, step: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 3, (2, 3, 3, 3), generator=generator)
    logits = torch.randn(2, 3, 3, 3, 3, generator=generator)
    better = logits + step * nn.functional.one_hot(target, 3).movedim(-1, 1)
    for loss in (DiceCrossEntropy(False), DiceCrossEntropy(True)):
        assert loss(better, target) < loss(logits, target)


def test_tversky_by_hand() -> None:
    """One voxel found with certainty, one missed, one found that isn't there."""
    logits, target = logits_of([0.999999, 1e-6, 0.999999]), target_of([1, 1, 0])
    plain, missing = DiceCrossEntropy(), DiceCrossEntropy(tversky_alpha=0.2)
    cross_entropy = float(plain(logits, target)) + 0.5  # Dice: 2 / (2 + 2)
    assert float(missing(logits, target)) == pytest.approx(cross_entropy - 1 / (1 + 0.2 + 0.8), abs=1e-4)
    logits, target = logits_of([0.999999, 0.999999, 0.999999]), target_of([1, 0, 0])
    cross_entropy = float(plain(logits, target)) + 2 / (3 + 1)
    assert float(missing(logits, target)) == pytest.approx(cross_entropy - 1 / (1 + 0.2 * 2), abs=1e-4)


def test_focal_loss_by_hand() -> None:
    loss = DiceCrossEntropy(focus=2.0)(logits_of([0.75, 0.25]), target_of([1, 0]))
    assert float(loss) == pytest.approx(-(0.25**2) * math.log(0.75) - 0.75, abs=1e-4)


def test_truth_is_unsure_at_the_margin_alone() -> None:
    target = torch.zeros(1, 5, 9, 9, dtype=torch.int64)
    target[:, :, 3:, :] = 1
    truth = smooth_boundary_labels(target, 2, 0.3)
    assert torch.allclose(truth.sum(1), torch.ones(1, 5, 9, 9))
    assert torch.equal(truth[0, 1, :, 4:], torch.ones(5, 5, 9)), "within the lesion"
    assert torch.equal(truth[0, 1, :, :2], torch.zeros(5, 2, 9)), "away from it"
    assert truth[0, 1, 2, 2, 4] == pytest.approx(0.3 / 3), "a third of its neighbours are lesion"
    assert truth[0, 1, 2, 3, 4] == pytest.approx(0.7 + 0.3 * 2 / 3)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_margin_in_few_slices(depth: int) -> None:
    """As at the coarse levels of deep supervision."""
    target = torch.zeros(1, depth, 4, 4, dtype=torch.int64)
    target[:, :, :, 2:] = 1
    truth = smooth_boundary_labels(target, 2, 0.3)
    assert truth[0, 1, 0, 1].tolist() == pytest.approx([0, 0.1, 0.9, 1])


def test_soft_truth_changes_nothing_where_there_is_no_margin() -> None:
    logits = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.ones(2, 4, 4, 4, dtype=torch.int64)
    plain, soft = DiceCrossEntropy(), DiceCrossEntropy(boundary_label_smoothing=0.5)
    assert float(soft(logits, target)) == pytest.approx(float(plain(logits, target)), abs=1e-5)


def test_the_finest_level_alone() -> None:
    target = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    levels = [torch.zeros(1, 2, 4, 4, 4), torch.full((1, 2, 2, 2, 2), 7.0), torch.full((1, 2, 1, 1, 1), 9.0)]
    loss = DiceCrossEntropy()
    assert float(DeepSupervision(loss, finest_only=True)(levels, target)) == pytest.approx(
        float(loss(levels[0], target))
    )


@given(seed=st.integers(0, 2**31), classes=st.integers(2, 4))
def test_where_only_one_order_of_sums_is_allowed_the_loss_is_the_same(seed: int, classes: int) -> None:
    """CUDA has no deterministic negative log-likelihood, so it is computed in another way there."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 3, 4, 5, generator=generator, requires_grad=True)
    target = torch.randint(0, classes, (2, 3, 4, 5), generator=generator)
    usual = DiceCrossEntropy()(logits, target)
    (slope,) = torch.autograd.grad(usual, logits)
    torch.use_deterministic_algorithms(True)
    try:
        other = DiceCrossEntropy()(logits, target)
        (other_slope,) = torch.autograd.grad(other, logits)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.allclose(usual, other, atol=1e-6)
    assert torch.allclose(slope, other_slope, atol=1e-6)


VARIANTS = ({}, {"batch_dice": True}, {"focus": 2.0}, {"boundary_label_smoothing": 0.3}, {"tversky_alpha": 0.3})


def some_target(share: float, seed: int, shape: tuple[int, ...] = (2, 4, 5, 6)) -> torch.Tensor:
    """Three classes at random, and a share of voxels that nobody has annotated."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 3, shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < share, IGNORE, target)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_an_ignored_voxel_changes_nothing_and_has_no_gradient(variant: dict[str, Any], deterministic: bool) -> None:
    target = some_target(0.4, seed=1)
    logits = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(2), requires_grad=True)
    ignored = (target == IGNORE)[:, None].expand_as(logits)
    torch.use_deterministic_algorithms(deterministic)
    try:
        loss = DiceCrossEntropy(**variant)(logits, target)
        loss.backward()
        other = DiceCrossEntropy(**variant)(torch.where(ignored, torch.randn_like(logits) * 9, logits.detach()), target)
    finally:
        torch.use_deterministic_algorithms(False)
    assert logits.grad is not None
    assert (logits.grad[ignored] == 0).all()
    assert (logits.grad[~ignored] != 0).any()
    assert float(loss.detach()) == float(other)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_of_the_annotated_part_is_that_of_the_part_alone(variant: dict[str, Any]) -> None:
    target = some_target(0, seed=3)
    target[:, 2:] = IGNORE
    logits = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(4))
    loss = DiceCrossEntropy(**variant)
    assert float(loss(logits, target)) == pytest.approx(float(loss(logits[:, :, :2], target[:, :2])), abs=1e-6)


def test_a_batch_of_which_nothing_is_annotated_teaches_nothing() -> None:
    """The coarsest level of deep supervision can be such a one."""
    logits = torch.randn(1, 2, 2, 3, 4, requires_grad=True)
    for variant in VARIANTS:
        loss = DiceCrossEntropy(**variant)(logits, torch.full((1, 2, 3, 4), IGNORE))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert float(loss.detach()) == pytest.approx(-1.0)
        assert (gradient == 0).all()


def test_ignored_voxels_stay_so_on_coarser_grids() -> None:
    target = torch.tensor([[[[0, 0, IGNORE, IGNORE]]]])
    assert downsample(target, torch.Size((1, 1, 2))).tolist() == [[[[0, IGNORE]]]]


def test_smoothed_truths_come_from_annotated_neighbours_alone() -> None:
    target = torch.tensor([0, 0, IGNORE, 1]).expand(1, 3, 3, 4)
    smooth = smooth_boundary_labels(target, 2, 0.4)
    assert (smooth[:, :, :, :, 2] == 0).all()
    assert torch.equal(smooth[..., [0, 1, 3]].sum(1), torch.ones(1, 3, 3, 3))
    assert smooth[0, 1, 1, 1].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("batch_dice", "value", "slope"), [(False, 1.95103121, 1.52362847), (True, 1.95308971, 1.52461135)]
)
def test_the_loss_with_ignored_voxels_is_nnunet_s(batch_dice: bool, value: float, slope: float) -> None:
    """Made with nnunetv2 2.8.1: DC_and_CE_loss with ignore_label=3 and MemoryEfficientSoftDiceLoss, do_bg=False."""
    shape = (2, 3, 2, 3, 4)
    logits = torch.sin(torch.arange(math.prod(shape), dtype=torch.float32) * 1.7).reshape(shape) * 3
    target = (torch.arange(2 * 2 * 3 * 4) * 7 % 5 % 4).reshape(2, 2, 3, 4)
    logits.requires_grad_()
    loss = DiceCrossEntropy(batch_dice)(logits, torch.where(target == 3, IGNORE, target))
    loss.backward()
    assert logits.grad is not None
    assert float(loss.detach()) == pytest.approx(value, abs=2e-6)
    assert float(logits.grad.abs().sum()) == pytest.approx(slope, abs=2e-5)


@pytest.mark.parametrize(
    ("ignored", "batch_dice", "dice", "entropy"),
    [
        (False, False, -0.42533502, 1.14075732),
        (False, True, -0.42547166, 1.14075732),
        (True, False, -0.47870830, 3.44556499 / 3),
        (True, True, -0.47841775, 3.44556522 / 3),
    ],
)
def test_the_loss_of_regions_is_nnunet_s(ignored: bool, batch_dice: bool, dice: float, entropy: float) -> None:
    """Made with nnunetv2 2.8.1: DC_and_BCE_loss with MemoryEfficientSoftDiceLoss, do_bg=True.

    With an ignore label its entropy is summed over the three regions; ours is their mean in both cases.
    """
    shape = (2, 3, 2, 3, 4)
    logits = torch.sin(torch.arange(math.prod(shape), dtype=torch.float32) * 1.7).reshape(shape) * 3
    target = (torch.arange(2 * 2 * 3 * 4) * 7 % 5).reshape(2, 2, 3, 4)
    wanted = torch.where(target == 4, IGNORE if ignored else 0, target)
    loss = DiceBinaryCrossEntropy(((1, 2, 3), (2, 3), (2,)), batch_dice=batch_dice)
    assert float(loss(logits, wanted)) == pytest.approx(dice + entropy, abs=2e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_of_regions_knows_nothing_of_ignored_voxels(variant: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(2)
    target = torch.randint(0, 3, (2, 4, 5, 6), generator=generator)
    target[:, 2:] = IGNORE
    loss, logits = DiceBinaryCrossEntropy(((1, 2), (2,)), **variant), torch.randn(2, 2, 4, 5, 6, generator=generator)
    other = torch.where((target == IGNORE)[:, None], 9.0, logits)
    assert float(loss(other, target)) == float(loss(logits, target))
    assert float(loss(logits, target)) == pytest.approx(float(loss(logits[:, :, :2], target[:, :2])), abs=1e-6)
    sure = torch.stack([(target == 1) | (target == 2), target == 2], dim=1) * 40.0 - 20
    if not variant.get("boundary_label_smoothing"):
        assert float(loss(sure, target)) == pytest.approx(-1.0, abs=1e-4)
