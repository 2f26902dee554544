"""Uncertainty and agreement of passes, on logits whose masks are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.inference.uncertainty import UncertaintyEstimator, undecided
from vmseg_auto.inference.windows import Tile, tiling
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget

SHAPE = (1, 1, 8)
(TILE,) = tiling(SHAPE, SHAPE, 0.5)


def line(*probabilities: float) -> torch.Tensor:
    """Logits [2, 1, 1, X] of two classes with these foreground probabilities."""
    p = torch.tensor(probabilities).clamp(1e-6, 1 - 1e-6)
    return torch.stack([torch.zeros_like(p), torch.log(p / (1 - p))]).reshape(2, 1, 1, -1)


def estimated(*passes: tuple[torch.Tensor, int, int], networks: int = 1, tile: Tile = TILE) -> UncertaintyEstimator:
    estimator = UncertaintyEstimator(networks, mirrored=True)
    for logits, mirroring, network in passes:
        estimator.update(tile, logits, mirroring, network, first=network == 0)
    return estimator


FOUR, TWO = line(1, 1, 1, 1, 0, 0, 0, 0), line(0, 0, 1, 1, 0, 0, 0, 0)
NOTHING = line(*[0.001] * 8)


def test_the_same_certain_mask_twice_leaves_no_doubt() -> None:
    assert estimated((FOUR, 0, 0), (FOUR, 1, 0)).confidence().uncertainty == pytest.approx(0, abs=1e-3)


def test_certain_masks_that_differ_give_their_dice() -> None:
    assert estimated((FOUR, 0, 0), (TWO, 1, 0)).confidence().uncertainty == pytest.approx(1 - 4 / 6, abs=1e-3)


def test_doubt_counts_where_mirrorings_agree() -> None:
    doubtful = line(0.6, 0.6, 0.6, 0.6, 0, 0, 0, 0)
    confidence = estimated((doubtful, 0, 0), (doubtful, 1, 0)).confidence()
    assert confidence.uncertainty == pytest.approx(1 - 4.8 / 6.4, abs=1e-3)


def test_an_empty_prediction_is_uncertain() -> None:
    assert estimated((NOTHING, 0, 0), (NOTHING, 1, 0)).confidence().uncertainty == 1
    assert estimated((NOTHING, 0, 0), (FOUR, 1, 0)).confidence().uncertainty > 0.99
    assert estimated((NOTHING, 0, 0)).confidence().uncertainty == 1
    assert estimated().confidence().uncertainty == 1


def test_without_a_second_mirroring_a_look_is_compared_with_itself() -> None:
    one = line(0.7, 0.7, 0, 0, 0, 0, 0, 0)
    assert estimated((one, 0, 0)).confidence().uncertainty == pytest.approx(1 - 2.8 / 3.4, abs=1e-3)


def test_opposite_mirrorings_are_compared_pair_by_pair() -> None:
    passes = [(FOUR, 0, 0), (FOUR, 1, 0), (TWO, 2, 0), (FOUR, 3, 0)]
    assert estimated(*passes).confidence().uncertainty == pytest.approx((0 + 1 - 4 / 6) / 2, abs=1e-3)


def test_other_networks_do_not_count_as_doubt() -> None:
    passes = [(FOUR, 0, 0), (NOTHING, 0, 1), (FOUR, 1, 0), (NOTHING, 1, 1)]
    assert estimated(*passes, networks=2).confidence().uncertainty == pytest.approx(0, abs=1e-3)


def test_folds_agree_by_the_mean_dice_of_their_pairs() -> None:
    confidence = estimated((FOUR, 0, 0), (TWO, 0, 1), (TWO, 0, 2), networks=3).confidence()
    assert confidence.fold_agreement == pytest.approx((4 / 6 + 4 / 6 + 1) / 3)


def test_folds_that_find_nothing_agree_on_nothing() -> None:
    assert estimated((NOTHING, 0, 0), (NOTHING, 0, 1), networks=2).confidence().fold_agreement is None


def test_a_single_network_tells_no_fold_agreement() -> None:
    assert estimated((FOUR, 0, 0), (FOUR, 1, 0)).confidence().fold_agreement is None


def test_labels_count_alike() -> None:
    first = torch.full((3, 1, 1, 8), -20.0)
    first[1, ..., :6], first[2, ..., 6:] = 20, 20
    second = first.clone()
    second[2, ..., 6:], second[0, ..., 6:] = -20, 20
    assert estimated((first, 0, 0), (second, 1, 0)).confidence().uncertainty == pytest.approx(0.5, abs=1e-3)


def cubes(*sizes: int) -> torch.Tensor:
    """Logits [2, 4, 4, X] with apart components of so many voxels."""
    logits = torch.zeros(2, 4, 4, 3 * len(sizes) + 1)
    logits[1] = -1
    for number, size in enumerate(sizes):
        logits[1, :, 0, 3 * number][:size] = 1
    return logits


@pytest.mark.parametrize(("sizes", "scatter"), [((4,), 0.0), ((3, 1), 0.25), ((2, 2), 0.5), ((), 1.0)])
def test_scatter_is_what_lies_outside_the_largest_component(sizes: tuple[int, ...], scatter: float) -> None:
    estimator = UncertaintyEstimator(1, mirrored=True)
    estimator.finalize(cubes(*sizes))
    assert estimator.confidence().scatter == pytest.approx(scatter)


def test_scatter_counts_labels_alike() -> None:
    logits = torch.zeros(3, 1, 1, 9)
    logits[1, ..., 0:2], logits[2, ..., 4], logits[2, ..., 8] = 1, 1, 1
    estimator = UncertaintyEstimator(1, mirrored=True)
    estimator.finalize(logits)
    assert estimator.confidence().scatter == pytest.approx((0 + 0.5) / 2)


class Bright(nn.Module):
    """Foreground where the image is bright, more readily by `bias`; it prefers its left, so mirrorings differ."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias, self.passes = bias, 0

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.passes += len(windows)
        ramp = torch.linspace(1, -1, windows.shape[-1])
        return torch.cat([torch.zeros_like(windows), 4 * windows + ramp + self.bias], dim=1)


def sweep(
    networks: Sequence[Bright],
    budget: InferenceBudget,
    estimator: UncertaintyEstimator | None,
    mirror_axes: tuple[int, ...] = (0, 2),
) -> torch.Tensor:
    image = torch.full((1, 8, 12, 20), -2.0)
    image[:, 2:5, 3:8, 4:9] = 1
    ensemble = FoldEnsemble(list(networks), 2, mirror_axes)
    (logits,) = predict_logits(ensemble, image, (4, 6, 8), budgets=(budget,), estimator=estimator)
    return logits


@pytest.mark.parametrize(
    "budget", [EXHAUSTIVE, InferenceBudget(passes=1), InferenceBudget(passes=2), InferenceBudget(passes=4, gate=0.5)]
)
def test_listening_changes_no_logit(budget: InferenceBudget) -> None:
    networks = [Bright(0.0), Bright(0.5)]
    alone = sweep(networks, budget, None)
    assert torch.equal(alone, sweep(networks, budget, UncertaintyEstimator(2, mirrored=True)))


def test_little_budget_tells_the_same_as_all() -> None:
    said = []
    for budget in (
        EXHAUSTIVE,
        InferenceBudget(passes=1),
        InferenceBudget(passes=2),
        InferenceBudget(passes=4),
        InferenceBudget(passes=1, gate=0.5),
    ):
        estimator = UncertaintyEstimator(1, mirrored=True)
        sweep([Bright(0.0)], budget, estimator)
        said.append(estimator.confidence().uncertainty)
    assert 0.01 < said[0] < 0.5
    assert said == pytest.approx([said[0]] * len(said), abs=0.02)


def test_at_most_one_more_look_at_each_window() -> None:
    networks = [Bright(0.0), Bright(0.1)]
    sweep(networks, InferenceBudget(passes=2), None)
    before = sum(network.passes for network in networks)
    sweep(networks, InferenceBudget(passes=2), UncertaintyEstimator(2, mirrored=True))
    assert sum(network.passes for network in networks) - before == before + before // 2
    assert sum(1 for _ in tiling((8, 12, 20), (4, 6, 8), 0.5)) == before // 2


def test_gated_windows_need_no_second_look() -> None:
    network = Bright(-20.0)
    estimator = UncertaintyEstimator(1, mirrored=True)
    sweep([network], InferenceBudget(gate=0.5), estimator)
    assert network.passes == len(tiling((8, 12, 20), (4, 6, 8), 0.5))
    assert estimator.confidence().uncertainty == pytest.approx(1, abs=1e-3)


def test_cores_share_the_scan_out() -> None:
    """Whole-scan figures come from windows: a certain network's fold agreement is that of its whole masks."""
    networks = [Bright(0.0), Bright(7.0)]
    estimator = UncertaintyEstimator(2, mirrored=False)
    sweep(networks, EXHAUSTIVE, estimator, mirror_axes=())
    masks = [sweep([network], EXHAUSTIVE, None, mirror_axes=()).argmax(0) for network in networks]
    both = int((masks[0] * masks[1]).sum())
    dice = 2 * both / int(masks[0].sum() + masks[1].sum())
    assert estimator.confidence().scatter == 0
    agreement = estimator.confidence().fold_agreement
    assert agreement is not None
    assert math.isclose(agreement, dice, abs_tol=0.02)


def test_undecided_voxels_of_two_classes_by_hand() -> None:
    foreground = np.array([0.0, 0.11, 0.5, 0.89, 1.0], dtype=np.float32).reshape(1, 1, 5)
    found = undecided(np.stack([1 - foreground, foreground]))
    assert found.dtype == np.float32
    assert found.ravel() == pytest.approx([0, 0.5, 1, 0.5, 0], abs=0.001)


@given(st.integers(2, 4), st.integers(0, 1000))
def test_undecided_is_a_share_whatever_the_number_and_order_of_classes(classes: int, seed: int) -> None:
    raw = np.random.default_rng(seed).exponential(1, (classes, 2, 3, 4)).astype(np.float32)
    soft = raw / raw.sum(axis=0)
    found = undecided(soft)
    assert found.shape == (2, 3, 4)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(undecided(soft[::-1]), found, atol=0.0011)
    even = np.full_like(soft, 1 / classes)
    np.testing.assert_array_equal(undecided(even), np.ones((2, 3, 4), np.float32))


def test_undecided_is_the_greatest_doubt_of_a_region() -> None:
    probabilities = np.array([[0.0, 0.4], [1.0, 0.5], [1.0, 0.6]], np.float32).reshape(3, 1, 1, 2)
    assert undecided(probabilities, overlap=True).ravel().tolist() == [0.0, 1.0]


def test_regions_that_overlap_are_judged_one_by_one() -> None:
    """Both are sure and everywhere; as classes they would share each voxel between them."""
    tile = tiling((4, 4, 4), (4, 4, 4), 1.0)[0]
    logits = torch.full((2, 4, 4, 4), 20.0)
    estimator = UncertaintyEstimator(networks=1, mirrored=True, overlap=True)
    for mirroring in (0, 1):
        estimator.update(tile, logits, mirroring, network=0, first=True)
    estimator.finalize(logits)
    assert estimator.confidence().uncertainty == pytest.approx(0, abs=1e-3)
    assert estimator.confidence().scatter == 0
