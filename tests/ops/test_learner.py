"""One step alike, however it is computed; and the running mean of the weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vmseg_auto.core.plan import NetworkSpec
from vmseg_auto.ops.learner import Learner
from vmseg_auto.ops.losses import DeepSupervision, DiceCrossEntropy
from vmseg_auto.ops.network import plain_unet

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


@pytest.fixture
def two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def learner(averaging: float = 0.0, batch_dice: bool = True, network: nn.Module | None = None) -> Learner:
    torch.manual_seed(0)
    network = network or plain_unet(SPEC, 1, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    loss = DeepSupervision(DiceCrossEntropy(batch_dice))
    return Learner(network, loss, optimizer, CPU, amp=False, gradient_clip=12.0, averaging=averaging)


def batch(seed: int, size: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(size, 1, 4, 8, 8, generator=generator)
    return image, torch.randint(0, 3, (size, 4, 8, 8), generator=generator)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_samples_on_threads_of_their_own_learn_the_same(two_threads: None, batch_dice: bool) -> None:
    """Loss, gradients and weights, whether or not the loss couples the samples."""
    apart, together = learner(batch_dice=batch_dice), learner(batch_dice=batch_dice)
    together.threads = None
    for seed in range(4):
        ours, theirs = apart.step(*batch(seed)), together.step(*batch(seed))
        assert float(ours.loss) == pytest.approx(float(theirs.loss), abs=1e-5)
    for a, b in zip(apart.network.parameters(), together.network.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch.get_num_threads() == 2


def test_threads_change_no_bit_between_runs(two_threads: None) -> None:
    runs = []
    for _ in range(2):
        one = learner()
        for seed in range(5):
            one.step(*batch(seed, size=4))
        runs.append(one.network.state_dict())
    assert all(torch.equal(a, runs[1][name]) for name, a in runs[0].items())


@pytest.mark.parametrize("layer", [nn.BatchNorm3d(1), nn.Dropout3d(0.5)])
def test_networks_that_mix_samples_see_the_batch_whole(two_threads: None, layer: nn.Module) -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = layer, nn.Conv3d(1, 3, 1)

        def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
            assert len(image) == 3
            return [self.head(self.layer(image))]

    assert torch.isfinite(learner(network=Mixing()).step(*batch(0)).loss)


def test_the_running_mean_by_hand() -> None:
    one = learner(averaging=0.5)
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
    whole, before, after = (learner(averaging=0.9) for _ in range(3))
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
