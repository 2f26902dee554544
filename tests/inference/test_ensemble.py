"""Ensembles ask all networks in all ways, in as much memory as there is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from consoles import Heard
from torch import nn

from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.utils.devices import lay_out, round_convolutions

pytestmark = pytest.mark.usefixtures("one_thread")
"""As on a GPU: threads would ask at once, and learn at once that memory is short."""


class Hungry(nn.Module):
    """Gives its image. Memory holds `most` windows at a time, and none before the network is moved to the CPU.

    The CPU computes in float32, so that a network that begins in float64 can tell.
    """

    error: RuntimeError = torch.OutOfMemoryError("CUDA out of memory")

    def __init__(self, most: int, begins: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=begins))
        self.most, self.asked = most, list[int]()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(image))
        if len(image) > self.most or self.weight.dtype == torch.float64:
            raise self.error
        return image * self.weight


@pytest.mark.parametrize("mirror_axes", [(), (1,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_views_are_all_networks_with_all_mirrorings(mirror_axes: tuple[int, ...], count: int) -> None:
    networks = [nn.Identity() for _ in range(count)]
    ensemble = FoldEnsemble(networks, 1, mirror_axes)
    for place in ((0, 0, 0), (1, 0, 0), (2, 3, 1), (1, 1, 1)):
        views = ensemble.passes(place)
        known = {(flip, networks.index(network)) for flip, network in views}
        assert len(views) == len(known) == count * 2 ** len(mirror_axes)
        assert len({flip for flip, _ in views[:count]}) == 1
        assert len({network for _, network in views[:count]}) == count
        assert ensemble.passes(place, 1) == ensemble.passes(place, count) == views[:count]
        assert ensemble.passes(place, count + 1) == views[: 2 * count]


def test_eight_windows_around_a_voxel_begin_with_the_eight_mirrorings() -> None:
    ensemble = FoldEnsemble([nn.Identity() for _ in range(5)], 1, (0, 1, 2))
    first = [ensemble.passes((z, y, x))[0] for z in (0, 1) for y in (2, 3) for x in (4, 5)]
    assert len({flip for flip, _ in first}) == 8
    assert len({network for _, network in first}) == 5


def test_the_second_mirroring_is_the_opposite_of_the_first() -> None:
    views = FoldEnsemble([nn.Identity()], 1, (0, 1, 2)).passes((0, 1, 0))
    assert views[0][0] == (1,)
    assert views[1][0] == (0, 2)


@pytest.mark.parametrize("error", [Hungry.error, RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")])
def test_windows_are_halved_until_memory_holds_them(error: RuntimeError) -> None:
    network, heard = Hungry(most=3), Heard()
    network.error = error
    ensemble = FoldEnsemble([network], 1, (0,), console=heard)
    windows = torch.randn(8, 1, 2, 3, 4)
    for view in ensemble.passes((0, 0, 0)):
        assert torch.equal(ensemble.logits(windows, view), windows)
    assert network.asked == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2], "it is learnt once"
    assert torch.equal(ensemble.logits(windows[:5], view), windows[:5])
    assert network.asked[-3:] == [2, 2, 1]
    assert heard.warned == [
        "The GPU's memory does not hold 8 windows at a time; prediction goes on with 4.",
        "The GPU's memory does not hold 4 windows at a time; prediction goes on with 2.",
    ]


def test_where_no_window_fits_the_cpu_computes_that_scan_and_the_next_is_tried_on_the_gpu_again() -> None:
    networks, heard = [Hungry(9, begins=torch.float64) for _ in range(2)], Heard()
    ensemble = FoldEnsemble(networks, 1, (1,), dtype=torch.bfloat16, console=heard)
    home, image = ensemble.device, torch.randn(1, 5, 9, 9)
    for number in (1, 2):
        (logits,) = predict_logits(ensemble, image, (4, 6, 6))
        assert torch.allclose(logits, image, atol=1e-6)
        assert ensemble.device is home
        assert ensemble.dtype is torch.bfloat16
        assert len(heard.warned) == 2 * number
        assert "summed up in main memory" in heard.warned[-2]
        assert "the CPU predicts this scan" in heard.warned[-1]
        assert "The next one is tried on the GPU again" in heard.warned[-1]
        for network in networks:
            network.to(torch.float64)  # as if the GPU still had no room


def test_networks_come_back_as_they_were() -> None:
    network = round_convolutions(nn.Conv3d(2, 3, 3), torch.bfloat16)
    before, laid_out = copy.deepcopy(network), lay_out(nn.Conv3d(2, 3, 3), torch.device("cpu"))
    ensemble = FoldEnsemble([network], 3, dtype=torch.bfloat16)
    with ensemble.free_to_leave():
        ensemble._go_over_to_cpu()
        assert network.weight.dtype is torch.float32
        assert network.weight.stride() == laid_out.weight.stride()  # type: ignore[operator,union-attr]
    assert network.weight.dtype is torch.bfloat16
    assert torch.equal(network.weight, before.weight)  # type: ignore[arg-type]


class Leaves(nn.Module):
    """Gives its image; once away from the GPU (here: from float64), nothing brings it back there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def to(self, *where: Any, **how: Any) -> Leaves:  # type: ignore[override]
        if torch.float32 not in where:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().to(*where, **how)


def test_networks_that_find_no_room_any_more_go_on_where_they_are() -> None:
    ensemble = FoldEnsemble([Leaves()], 1, dtype=torch.bfloat16)
    with ensemble.free_to_leave():
        ensemble._go_over_to_cpu()
    assert ensemble.dtype is None
    assert ensemble.networks[0].weight.dtype is torch.float32  # type: ignore[union-attr]


@pytest.mark.parametrize("stays", [True, False])
def test_where_nothing_helps_the_error_comes_through(stays: bool) -> None:
    """Networks in training stay where they are; on the CPU there is nowhere else to go."""
    network = Hungry(0, begins=torch.float64)
    ensemble = FoldEnsemble([network], 1, stays=stays)
    with pytest.raises(torch.OutOfMemoryError):
        predict_logits(ensemble, torch.randn(1, 4, 6, 6), (4, 6, 6))
    assert network.weight.dtype == (torch.float64 if stays else torch.float32)
