"""One step alike, however it is computed; and the running mean of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.training.losses import DeepSupervision, DiceCrossEntropy
from vmseg_auto.training.step import Learner, LearnerState

SPEC = NetworkSpec(
    builder="plain_unet",
    features=(4, 8, 8),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    blocks=(2, 2, 2),
    decoder_blocks=(2, 2),
    deep_supervision=True,
)
CPU = torch.device("cpu")


def learner(ema_decay: float = 0.0, network: nn.Module | None = None) -> Learner:
    torch.manual_seed(0)
    network = network or build_network(SPEC, 1, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    loss = DeepSupervision(DiceCrossEntropy(batch_dice=True))
    return Learner(network, loss, optimizer, CPU, amp=False, gradient_clip=12.0, ema_decay=ema_decay)


def batch(seed: int, size: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(size, 1, 4, 8, 8, generator=generator)
    return image, torch.randint(0, 3, (size, 4, 8, 8), generator=generator)


def test_the_running_mean_by_hand() -> None:
    one = learner(ema_decay=0.5)
    start = {name: tensor.clone() for name, tensor in one.network.state_dict().items()}
    one.step(*batch(0))
    first = {name: tensor.clone() for name, tensor in one.network.state_dict().items()}
    one.step(*batch(1))
    second = one.network.state_dict()
    for name, mean in one.evaluated.state_dict().items():
        # Decay 1/11 after the first step, 2/12 after the second: the start is soon forgotten.
        after_first = start[name] / 11 + first[name] * 10 / 11
        assert torch.allclose(mean, after_first / 6 + second[name] * 5 / 6, atol=1e-6)
    assert one.evaluated is not one.network


def test_a_restored_learner_goes_on_as_if_nothing_had_been() -> None:
    whole, before, after = (learner(ema_decay=0.9) for _ in range(3))
    for seed in range(3):
        whole.step(*batch(seed))
        before.step(*batch(seed))
    state = copy.deepcopy(before.state())
    before.step(*batch(9))
    after.restore(state, 3)
    for seed in range(3, 6):
        whole.step(*batch(seed))
        after.step(*batch(seed))
    ours, theirs = whole.state(), after.state()
    for a, b in ((ours.weights, theirs.weights), (ours.live, theirs.live)):
        assert all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_without_a_mean_there_is_one_set_of_weights() -> None:
    one = learner()
    state = one.state()
    assert not state.live
    assert one.evaluated is one.network
    assert all(torch.equal(tensor, state.weights[name]) for name, tensor in one.network.state_dict().items())


def same(ours: LearnerState, theirs: LearnerState) -> bool:
    """Weights and what the optimizer remembers, bit for bit."""
    weights = all(torch.equal(tensor, theirs.weights[name]) for name, tensor in ours.weights.items())
    a, b = (state.optimizer["state"] for state in (ours, theirs))
    moments = all(torch.equal(value, b[index][name]) for index, values in a.items() for name, value in values.items())
    return weights and a.keys() == b.keys() and moments


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, nesterov=True),
    "fused sgd": lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, nesterov=True, fused=True),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01),
    "fused adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01, fused=True),
}
"""CUDA takes the fused ones."""


def with_optimizer(kind: str, ema_decay: float = 0.0) -> Learner:
    one = learner(ema_decay)
    one.optimizer = OPTIMIZERS[kind](one.network.parameters())
    return one


def spoilt(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    image, label = batch(seed)
    image[1, 0, 2, 3, 4] = float("nan")
    return image, label


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("before", [0, 2])
def test_a_step_whose_loss_is_not_finite_leaves_everything_as_it_was(kind: str, before: int) -> None:
    """Also the very first one; and the steps after it are those of a learner that never met it."""
    one, other = with_optimizer(kind), with_optimizer(kind)
    for seed in range(before):
        assert bool(one.step(*batch(seed)).good)
        other.step(*batch(seed))
    state = one.state()
    taken = one.step(*spoilt(7))
    assert not taken.good
    assert not torch.isfinite(taken.loss)
    assert same(one.state(), state)
    for seed in range(2):
        one.step(*batch(seed))
        other.step(*batch(seed))
    assert same(one.state(), other.state())


@pytest.mark.parametrize("kind", ["sgd", "fused sgd"])
def test_a_finite_loss_with_an_infinite_gradient_is_no_good_step(kind: str) -> None:
    one = with_optimizer(kind)
    one.step(*batch(0))
    state, usual = one.state(), one.loss
    one.loss = lambda logits, label: usual(logits, label) + (0 * logits[0].sum()).abs().sqrt()
    taken = one.step(*batch(1))
    assert torch.isfinite(taken.loss)
    assert not taken.good
    assert same(one.state(), state)


def test_the_running_mean_stays_finite() -> None:
    one = learner(ema_decay=0.9)
    for image, label in (batch(0), spoilt(1), batch(2)):
        one.step(image, label)
    assert one.is_finite()
    assert all(tensor.isfinite().all() for tensor in one.evaluated.state_dict().values())


@pytest.mark.parametrize("kind", ["sgd", "fused sgd"])
def test_the_scale_of_gradients_is_lowered_and_kept(kind: str) -> None:
    """As in float16, whose scaler works on any device."""
    one = with_optimizer(kind)
    one.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for seed in range(2):
        assert bool(one.step(*batch(seed)).good)
    assert one.scaler.get_scale() == 1024
    assert not one.step(*spoilt(3)).good
    assert one.scaler.get_scale() == 512
    again = with_optimizer(kind)
    again.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    again.restore(one.state(), 3)
    assert again.scaler.get_scale() == 512
    one.step(*batch(4))
    again.step(*batch(4))
    assert same(one.state(), again.state())


@pytest.mark.parametrize(("there", "here"), [("sgd", "fused sgd"), ("fused sgd", "sgd"), ("adamw", "fused adamw")])
def test_a_state_of_another_device_is_gone_on_from_in_this_ones_way(there: str, here: str) -> None:
    first, second = with_optimizer(there), with_optimizer(here)
    first.step(*batch(0))
    second.restore(first.state(), 1)
    assert second.optimizer.param_groups[0]["fused"] == ("fused" in here or None)
    for one in (first, second):
        one.step(*spoilt(1))
        one.step(*batch(2))
    for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_infinite_weights_are_noticed() -> None:
    one = learner()
    assert one.is_finite()
    with torch.no_grad():
        next(iter(one.network.parameters())).flatten()[0] = float("inf")
    assert not one.is_finite()
