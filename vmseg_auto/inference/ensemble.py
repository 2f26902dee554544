"""The ensemble of folds: networks that predict windows together, in every mirroring, in as much memory as there is."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.device_memory import forget_freed_memory, memory_ran_out
from vmseg_auto.utils.devices import autocast, choose_device, float32_products, lay_out, round_convolutions
from vmseg_auto.utils.geometry import Shape

Pass = tuple[tuple[int, ...], nn.Module]
"""Mirrored axes of (Z, Y, X), and a network."""


@dataclass
class FoldEnsemble:
    """Networks, each of which predicts a window in every mirroring (test-time augmentation).

    It computes as many windows at a time as it is given, and learns from running out of memory to take fewer. Where a
    single one is too many, its networks go over to the CPU if they may (`free_to_leave`), and come back afterwards
    (`come_back`).

    Args:
        networks: in eval mode, on `device`; each maps [B, C, Z, Y, X] to [B, K, Z, Y, X].
        classes: K.
        mirror_axes: axes of (Z, Y, X) that are mirrored, in every combination; none for no mirroring.
        device: where the networks are.
        dtype: 16-bit type for the networks; logits are float32 all the same.
        names: what the networks are called in errors; numbered from 0 unless given.
        console: is told what is done for want of memory.
        stays: whether the networks must not leave the device, as others work with them.
        overlap: whether the outputs are regions, which overlap.
    """

    networks: Sequence[nn.Module]
    classes: int
    mirror_axes: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype | None = None
    names: Sequence[str] = ()
    console: Console = field(default_factory=Silent)
    stays: bool = False
    overlap: bool = False
    leaves: bool = field(default=False, init=False)
    """Whether the networks may go over to the CPU just now."""
    at_once: int | None = field(default=None, init=False)
    """Windows that memory was found to hold; None before it ran out."""

    def __post_init__(self) -> None:
        self._home = self.device, self.dtype

    def passes(self, place: Shape, count: int | None = None) -> list[Pass]:
        """Return all networks in as few mirrorings as give so many passes, in the order in which a window runs them.

        Overlapping windows begin with different mirrorings and networks, so that few passes a window are many
        different ones at a voxel. The opposite of a mirroring comes next, and all networks come before that.

        Args:
            place: the window's number along each axis; only odd or even matters.
            count: None for all networks in all mirrorings.
        """
        axes, combinations = self.mirror_axes, int(2 ** len(self.mirror_axes))
        first = sum((place[axis] % 2) << bit for bit, axis in enumerate(axes))
        codes = [code for low in range((combinations + 1) // 2) for code in sorted({low, combinations - 1 - low})]
        flips = [tuple(axis for bit, axis in enumerate(axes) if (first ^ code) >> bit & 1) for code in codes]
        start = self.first_network(place)
        networks = [*self.networks[start:], *self.networks[:start]]
        mirrorings = None if count is None else math.ceil(count / len(networks))
        return list(itertools.product(flips[:mirrorings], networks))

    def first_network(self, place: Shape) -> int:
        """Return the number of the network that a window runs first; the others follow in turn."""
        return sum((number % 2) << axis for axis, number in enumerate(place)) % len(self.networks)

    def logits(self, windows: torch.Tensor, one: Pass) -> torch.Tensor:
        """Return the logits of one pass: [B, C, Z, Y, X] -> float32 [B, K, Z, Y, X], on the windows' device.

        Raises:
            RuntimeError: memory does not hold one window, and the networks must stay where they are.
        """
        while True:
            tried = min(len(windows), self.at_once or len(windows))
            logits = self._attempt(windows, one, tried)
            if logits is not None:
                return logits
            # Not where the error is caught: until it is forgotten, it holds on to the memory that was taken.
            self._make_room(tried)

    @contextlib.contextmanager
    def free_to_leave(self) -> Iterator[None]:
        """Let the networks leave for the CPU within where the device holds no window; bring them back afterwards."""
        forget_freed_memory(self.device)
        self.leaves = not self.stays
        try:
            yield
        finally:
            self.come_back()
            self.leaves = False

    def come_back(self) -> None:
        """Compute on the device again where the networks have left it, if it has room for them by now."""
        device, dtype = self._home
        if self.device is device:
            return
        try:
            for network in self.networks:
                # Rounded before they go: in float32 they would take twice the room that they left.
                lay_out(round_convolutions(network, dtype).to(device), device)
        except RuntimeError as error:
            if not memory_ran_out(error):
                raise
            self._go_over_to_cpu()
        else:
            self.device, self.dtype = device, dtype

    def name(self, network: int) -> str:
        return self.names[network] if self.names else f"network {network}"

    def _attempt(self, windows: torch.Tensor, one: Pass, size: int) -> torch.Tensor | None:
        """Return the logits, `size` windows at a time; None where memory does not hold them and there is a way out."""
        try:
            parts = windows.tensor_split(tuple(range(size, len(windows), size)))
            return torch.cat([self._forward(part.to(self.device), one).to(windows.device) for part in parts])
        except RuntimeError as error:
            if not memory_ran_out(error) or (size == 1 and not self.leaves):
                raise
            return None

    def _make_room(self, tried: int) -> None:
        """Take half as many windows at a time; after a single one, the CPU."""
        forget_freed_memory(self.device)
        if tried > 1:
            self.at_once = tried // 2
            self.console.warn(
                f"The GPU's memory does not hold {tried} windows at a time; prediction goes on with {self.at_once}."
            )
            return
        self._go_over_to_cpu()
        self.console.warn(
            "The GPU's memory does not hold a single window of this model: the CPU predicts this scan, which takes "
            "longer. The next one is tried on the GPU again. Close other programs that use the GPU."
        )

    def _go_over_to_cpu(self) -> None:
        """Compute on the CPU, in float32; weights that were rounded to 16 bits stay so."""
        self.device, self.dtype, self.leaves = choose_device("cpu"), None, False
        for network in self.networks:
            lay_out(network.to(self.device, torch.float32), self.device)

    def _forward(self, windows: torch.Tensor, one: Pass) -> torch.Tensor:
        flip, network = one
        axes = tuple(axis + 2 for axis in flip)
        with float32_products(self.device, self.dtype), autocast(self.device, self.dtype):
            logits: torch.Tensor = network(windows.flip(axes) if axes else windows)
        logits = logits.to(torch.float32, memory_format=torch.contiguous_format)  # the network's layout is its own
        return logits.flip(axes) if axes else logits
