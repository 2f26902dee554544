"""What each rank gets, and a world of one."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vmseg_auto.training.step import Learner
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.distributed import ALONE, LocalBatch, Ranks, joined
from vmseg_auto.utils.errors import InputError, VmsegError


@given(st.integers(1, 9), st.integers(1, 9))
def test_each_sample_is_one_ranks(world: int, size: int) -> None:
    shares = [LocalBatch(Ranks(rank, world), size) for rank in range(world)]
    assert [sample for share in shares for sample in share.own] == list(range(size))
    counts = [len(share.own) for share in shares]
    assert max(counts) - min(counts) <= 1
    assert all(share.seen for share in shares)  # who has none still takes part
    slopes = torch.arange(1.0, size + 1)
    given_back = [share.cut(slopes) for share in shares if world > 1]
    assert sum(float(part.sum()) for part in given_back) == (slopes.sum() if world > 1 else 0)
    assert all(len(part) == len(share.seen) for part, share in zip(given_back, shares, strict=False))


@given(st.integers(1, 5), st.lists(st.integers(), max_size=12))
def test_each_item_is_one_ranks(world: int, items: list[int]) -> None:
    parts = [Ranks(rank, world).part(items) for rank in range(world)]
    assert sorted(item for part in parts for item in part) == sorted(items)


def test_a_rank_whose_device_is_full_says_so_and_not_that_another_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter(
        [RuntimeError("NCCL error: unhandled cuda error, Cuda failure 2 'out of memory'"), RuntimeError("EOF")]
    )

    def fails(*given: object) -> None:
        raise next(errors)

    monkeypatch.setattr(torch.distributed, "all_reduce", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        Ranks(0, 2).add(torch.zeros(1))
    with pytest.raises(VmsegError, match="another process of this command has ended"):
        Ranks(0, 2).add(torch.zeros(1))


def test_one_process_is_a_world_of_one() -> None:
    with joined() as ranks:
        assert ranks == ALONE
    assert ranks.on_main(lambda: "done") == "done"
    assert ranks.gather_in_order(ranks.part([3, 1, 2])) == [3, 1, 2]
    assert list(ranks.each(lambda item: item + 1, [1, 2])) == [(1, 2), (2, 3)]
    assert ranks.all_gather("x") == ["x"]
    assert ranks.all_max(7) == 7
    image = torch.rand(3, 2)
    assert LocalBatch(ranks).join(image) is image
    assert LocalBatch(ranks).cut(image) is image
    console = Silent()
    assert ranks.console(console) is console
    assert Ranks(1, 2).console(console) is not console


def test_a_turn_is_held_while_the_work_lasts() -> None:
    events = []

    @contextmanager
    def lock() -> object:
        events.append("taken")
        yield
        events.append("given back")

    with ALONE.enter_on_main(lock()):
        events.append("work")
    assert events == ["taken", "work", "given back"]


@pytest.mark.parametrize("layer", [nn.BatchNorm3d(2), nn.Dropout(0.5)])
def test_networks_that_would_learn_otherwise_are_refused(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 1), layer)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def learner(share: LocalBatch) -> Learner:
        return Learner(network, nn.Identity(), optimizer, torch.device("cpu"), amp=False, gradient_clip=1, share=share)

    learner(LocalBatch())
    with pytest.raises(InputError, match="depend on the number of processes"):
        learner(LocalBatch(Ranks(0, 2), 2))
