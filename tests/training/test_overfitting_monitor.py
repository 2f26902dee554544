"""Looks take the same few cases, a bounded share of the work, and leave no trace."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import PLAN, tiny_case, tiny_plan
from torch import nn

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.inference.windows import count_windows
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.overfitting_monitor import MOST_CHECKS, PASSES, STEP, OverfittingMonitor, _by_lesion_size
from vmseg_auto.utils.labels import IGNORE

CPU = torch.device("cpu")
LONG = TrainingConfig(epochs=1000, iterations_per_epoch=250)


def sized(case_id: str, voxels: int) -> PreprocessedCase:
    """A case with so many voxels of lesion."""
    case = tiny_case(case_id, 0)
    label = np.zeros((12, 20, 24), dtype=np.uint8)
    label.ravel()[:voxels] = 1
    return replace(case, label=label)


class Threshold(nn.Module):
    """Calls foreground what is brighter than 1; gives a list while training, as a U-Net does."""

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        logits = torch.cat([torch.ones_like(image), image], dim=1)
        return [logits] if self.training else logits


def perfect(case_id: str) -> PreprocessedCase:
    case = tiny_case(case_id, 1)
    assert case.label is not None
    return replace(case, image=2 * case.label[None].astype(np.float32))


def test_the_handful_spreads_over_lesion_sizes_and_leaves_out_empty_masks() -> None:
    cases = [sized(f"c{i}", voxels) for i, voxels in enumerate([50, 0, 10, 40, 30, 0, 60, 20])]
    monitor = OverfittingMonitor(replace(LONG, monitor_cases=3), PLAN, cases, cases[2:5])
    assert [np.count_nonzero(case.label) for case in monitor.train] == [20, 40, 60]
    assert [np.count_nonzero(case.label) for case in monitor.val] == [10, 30, 40]
    again = OverfittingMonitor(replace(LONG, monitor_cases=3), PLAN, cases[::-1], cases[4:1:-1])
    assert [case.id for case in again.train] == [case.id for case in monitor.train]


@given(
    epochs=st.integers(1, 2000),
    steps=st.integers(1, 300),
    batch=st.integers(2, 4),
    cases=st.integers(1, 6),
    share=st.floats(0, 1),
)
def test_checks_cost_no_more_than_their_share(epochs: int, steps: int, batch: int, cases: int, share: float) -> None:
    config = TrainingConfig(epochs=epochs, iterations_per_epoch=steps, monitor_cases=cases, monitor_share=share)
    side = [sized(f"c{i}", i + 1) for i in range(5)]
    monitor = OverfittingMonitor(config, tiny_plan(batch_size=batch), side, side)
    one = sum(count_windows(case.image.shape[1:], PLAN.patch, STEP) for case in (*monitor.train, *monitor.val))
    due = [epoch for epoch in range(1, epochs + 1) if epoch in monitor.due]
    assert due[-1] == epochs, "the last epoch is always looked at"
    assert len(due) <= MOST_CHECKS
    assert 1 <= len(monitor.train) == len(monitor.val) <= min(cases, 5)
    assert len(due) == 1 or len(due) * one <= share * PASSES * epochs * steps * batch
    assert len({b - a for a, b in pairwise(due)}) <= 1


def test_a_long_training_is_looked_at_every_few_epochs() -> None:
    side = [sized(f"c{i}", i + 1) for i in range(5)]
    monitor = OverfittingMonitor(LONG, PLAN, side, side)
    assert (len(monitor.train), len(monitor.val), monitor.due) == (4, 4, range(10, 1001, 10))


@pytest.mark.parametrize("val", [[], [sized("empty", 0)]])
def test_no_lesions_on_one_side_no_checks(val: list[PreprocessedCase]) -> None:
    assert not OverfittingMonitor(LONG, PLAN, [sized("a", 5)], val).due
    assert not OverfittingMonitor(replace(LONG, monitor_cases=0), PLAN, [sized("a", 5)], [sized("b", 5)]).due


def test_dice_is_that_of_whole_cases_on_either_side() -> None:
    spoilt = perfect("spoilt")
    assert spoilt.label is not None
    label = spoilt.label.copy()
    half = label.shape[2] // 2
    label[:, :, half:] = 0
    label[0, 0, 0] = 1
    monitor = OverfittingMonitor(replace(LONG, monitor_cases=1), PLAN, [perfect("a")], [replace(spoilt, label=label)])
    train, val = monitor.check(10, Threshold(), CPU, None)
    both, truth = np.count_nonzero((spoilt.label == 1) & (label == 1)), np.count_nonzero(label)
    assert train == 1
    assert val == pytest.approx(2 * both / (np.count_nonzero(spoilt.label) + truth))
    assert all(math.isnan(dice) for dice in monitor.check(9, Threshold(), CPU, None))


@pytest.mark.parametrize("training", [True, False])
def test_a_look_leaves_randomness_weights_and_mode_as_they_were(training: bool) -> None:
    network = nn.Sequential(nn.Dropout(0.5), build_network(PLAN.network, 1, 2)).train(training)
    monitor = OverfittingMonitor(LONG, PLAN, [tiny_case("a", 1)], [tiny_case("b", 2)])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    first = monitor.check(10, network, CPU, None)
    assert monitor.check(20, network, CPU, None) == first
    assert random.getstate() == states[0]
    assert str(np.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert network.training == training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_look_at_what_is_not_a_number_counts_as_none() -> None:
    """As where 16 bits overflow: the training goes on."""
    network = build_network(PLAN.network, 1, 2)
    with torch.no_grad():
        next(iter(network.parameters())).fill_(math.nan)
    monitor = OverfittingMonitor(LONG, PLAN, [tiny_case("a", 1)], [tiny_case("b", 2)])
    assert all(math.isnan(dice) for dice in monitor.check(10, network.train(), CPU, None))
    assert network.training


def test_the_monitor_looks_at_annotated_voxels_alone() -> None:
    """The network finds class 1 everywhere; of this case one voxel of it is annotated, and nothing else."""
    label = np.full((8, 16, 16), IGNORE, dtype=np.uint8)
    label[4, 8, 8] = 1
    sparse = replace(tiny_case("sparse", 0), image=np.ones((1, 8, 16, 16), np.float32), label=label)
    empty = replace(sparse, id="empty", label=np.where(label == 1, np.uint8(0), label))
    assert [case is sparse for case in _by_lesion_size([empty, sparse])] == [True]
    monitor = OverfittingMonitor(TrainingConfig(epochs=1), tiny_plan(patch=(8, 16, 16)), [sparse], [sparse])
    network = nn.Conv3d(1, 2, 1)
    nn.init.zeros_(network.weight)
    network.bias = nn.Parameter(torch.tensor([0.0, 1.0]))
    assert monitor.check(1, network, torch.device("cpu"), None) == (1.0, 1.0)
