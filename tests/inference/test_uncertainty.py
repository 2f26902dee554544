"""Uncertainty and agreement of looks, on logits whose masks are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from vmseg_auto.inference.ensemble import Ensemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.inference.uncertainty import Witness
from vmseg_auto.inference.windows import Tile, tiling
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, Effort

SHAPE = (1, 1, 8)
(TILE,) = tiling(SHAPE, SHAPE, 0.5)


def line(*probabilities: float) -> torch.Tensor:
    """Logits [2, 1, 1, X] of two classes with these foreground probabilities."""
    p = torch.tensor(probabilities).clamp(1e-6, 1 - 1e-6)
    return torch.stack([torch.zeros_like(p), torch.log(p / (1 - p))]).reshape(2, 1, 1, -1)


def heard(*looks: tuple[torch.Tensor, int, int], networks: int = 1, tile: Tile = TILE) -> Witness:
    witness = Witness(networks, mirrored=True)
    for logits, mirroring, network in looks:
        witness.hear(tile, logits, mirroring, network, first=network == 0)
    return witness


FOUR, TWO = line(1, 1, 1, 1, 0, 0, 0, 0), line(0, 0, 1, 1, 0, 0, 0, 0)
NOTHING = line(*[0.001] * 8)


def test_the_same_certain_mask_twice_leaves_no_doubt() -> None:
    assert heard((FOUR, 0, 0), (FOUR, 1, 0)).trust().uncertainty == pytest.approx(0, abs=1e-3)


def test_certain_masks_that_differ_give_their_dice() -> None:
    assert heard((FOUR, 0, 0), (TWO, 1, 0)).trust().uncertainty == pytest.approx(1 - 4 / 6, abs=1e-3)


def test_doubt_counts_where_mirrorings_agree() -> None:
    doubtful = line(0.6, 0.6, 0.6, 0.6, 0, 0, 0, 0)
    assert heard((doubtful, 0, 0), (doubtful, 1, 0)).trust().uncertainty == pytest.approx(1 - 4.8 / 6.4, abs=1e-3)


def test_an_empty_prediction_is_uncertain() -> None:
    assert heard((NOTHING, 0, 0), (NOTHING, 1, 0)).trust().uncertainty == 1
    assert heard((NOTHING, 0, 0), (FOUR, 1, 0)).trust().uncertainty > 0.99
    assert heard((NOTHING, 0, 0)).trust().uncertainty == 1
    assert heard().trust().uncertainty == 1


def test_without_a_second_mirroring_a_look_is_compared_with_itself() -> None:
    look = line(0.7, 0.7, 0, 0, 0, 0, 0, 0)
    assert heard((look, 0, 0)).trust().uncertainty == pytest.approx(1 - 2.8 / 3.4, abs=1e-3)


def test_opposite_mirrorings_are_compared_pair_by_pair() -> None:
    looks = [(FOUR, 0, 0), (FOUR, 1, 0), (TWO, 2, 0), (FOUR, 3, 0)]
    assert heard(*looks).trust().uncertainty == pytest.approx((0 + 1 - 4 / 6) / 2, abs=1e-3)


def test_other_networks_do_not_count_as_doubt() -> None:
    looks = [(FOUR, 0, 0), (NOTHING, 0, 1), (FOUR, 1, 0), (NOTHING, 1, 1)]
    assert heard(*looks, networks=2).trust().uncertainty == pytest.approx(0, abs=1e-3)


def test_folds_agree_by_the_mean_dice_of_their_pairs() -> None:
    trust = heard((FOUR, 0, 0), (TWO, 0, 1), (TWO, 0, 2), networks=3).trust()
    assert trust.fold_agreement == pytest.approx((4 / 6 + 4 / 6 + 1) / 3)


def test_folds_that_find_nothing_agree_on_nothing() -> None:
    assert heard((NOTHING, 0, 0), (NOTHING, 0, 1), networks=2).trust().fold_agreement is None


def test_a_single_network_tells_no_fold_agreement() -> None:
    assert heard((FOUR, 0, 0), (FOUR, 1, 0)).trust().fold_agreement is None


def test_labels_count_alike() -> None:
    first = torch.full((3, 1, 1, 8), -20.0)
    first[1, ..., :6], first[2, ..., 6:] = 20, 20
    second = first.clone()
    second[2, ..., 6:], second[0, ..., 6:] = -20, 20
    assert heard((first, 0, 0), (second, 1, 0)).trust().uncertainty == pytest.approx(0.5, abs=1e-3)


def cubes(*sizes: int) -> torch.Tensor:
    """Logits [2, 4, 4, X] with apart components of so many voxels."""
    logits = torch.zeros(2, 4, 4, 3 * len(sizes) + 1)
    logits[1] = -1
    for number, size in enumerate(sizes):
        logits[1, :, 0, 3 * number][:size] = 1
    return logits


@pytest.mark.parametrize(("sizes", "scatter"), [((4,), 0.0), ((3, 1), 0.25), ((2, 2), 0.5), ((), 1.0)])
def test_scatter_is_what_lies_outside_the_largest_component(sizes: tuple[int, ...], scatter: float) -> None:
    witness = Witness(1, mirrored=True)
    witness.see(cubes(*sizes))
    assert witness.trust().scatter == pytest.approx(scatter)


def test_scatter_counts_labels_alike() -> None:
    logits = torch.zeros(3, 1, 1, 9)
    logits[1, ..., 0:2], logits[2, ..., 4], logits[2, ..., 8] = 1, 1, 1
    witness = Witness(1, mirrored=True)
    witness.see(logits)
    assert witness.trust().scatter == pytest.approx((0 + 0.5) / 2)


class Bright(nn.Module):
    """Foreground where the image is bright, more readily by `bias`; it prefers its left, so mirrorings differ."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias, self.looks = bias, 0

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.looks += len(windows)
        ramp = torch.linspace(1, -1, windows.shape[-1])
        return torch.cat([torch.zeros_like(windows), 4 * windows + ramp + self.bias], dim=1)


def sweep(
    networks: Sequence[Bright], effort: Effort, witness: Witness | None, mirror_axes: tuple[int, ...] = (0, 2)
) -> torch.Tensor:
    image = torch.full((1, 8, 12, 20), -2.0)
    image[:, 2:5, 3:8, 4:9] = 1
    ensemble = Ensemble(list(networks), 2, mirror_axes)
    (logits,) = predict_logits(ensemble, image, (4, 6, 8), efforts=(effort,), witness=witness)
    return logits


@pytest.mark.parametrize("effort", [EXHAUSTIVE, Effort(looks=1), Effort(looks=2), Effort(looks=4, gate=0.5)])
def test_listening_changes_no_logit(effort: Effort) -> None:
    networks = [Bright(0.0), Bright(0.5)]
    alone = sweep(networks, effort, None)
    assert torch.equal(alone, sweep(networks, effort, Witness(2, mirrored=True)))


def test_little_effort_tells_the_same_as_all() -> None:
    said = []
    for effort in (EXHAUSTIVE, Effort(looks=1), Effort(looks=2), Effort(looks=4), Effort(looks=1, gate=0.5)):
        witness = Witness(1, mirrored=True)
        sweep([Bright(0.0)], effort, witness)
        said.append(witness.trust().uncertainty)
    assert 0.01 < said[0] < 0.5
    assert said == pytest.approx([said[0]] * len(said), abs=0.02)


def test_at_most_one_more_look_at_each_window() -> None:
    networks = [Bright(0.0), Bright(0.1)]
    sweep(networks, Effort(looks=2), None)
    before = sum(network.looks for network in networks)
    sweep(networks, Effort(looks=2), Witness(2, mirrored=True))
    assert sum(network.looks for network in networks) - before == before + before // 2
    assert sum(1 for _ in tiling((8, 12, 20), (4, 6, 8), 0.5)) == before // 2


def test_gated_windows_need_no_second_look() -> None:
    network = Bright(-20.0)
    witness = Witness(1, mirrored=True)
    sweep([network], Effort(gate=0.5), witness)
    assert network.looks == len(tiling((8, 12, 20), (4, 6, 8), 0.5))
    assert witness.trust().uncertainty == pytest.approx(1, abs=1e-3)


def test_cores_share_the_scan_out() -> None:
    """Whole-scan figures come from windows: a certain network's fold agreement is that of its whole masks."""
    networks = [Bright(0.0), Bright(7.0)]
    witness = Witness(2, mirrored=False)
    sweep(networks, EXHAUSTIVE, witness, mirror_axes=())
    masks = [sweep([network], EXHAUSTIVE, None, mirror_axes=()).argmax(0) for network in networks]
    both = int((masks[0] * masks[1]).sum())
    dice = 2 * both / int(masks[0].sum() + masks[1].sum())
    assert witness.trust().scatter == 0
    agreement = witness.trust().fold_agreement
    assert agreement is not None
    assert math.isclose(agreement, dice, abs_tol=0.02)
