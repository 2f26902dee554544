"""Sliding-window inference: the logits of a whole image from an ensemble's logits of overlapping windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.outputs import foreground
from vmseg_auto.inference.uncertainty import UncertaintyEstimator
from vmseg_auto.inference.windows import Tile, WeightedSum, gaussian_weight, maxima, pad, tiling
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget
from vmseg_auto.utils.device_memory import memory_ran_out
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.geometry import Shape

VOXELS_AT_ONCE = 2**21
"""Of the windows that a GPU computes together; a CPU is fastest with one window at a time."""

SUMMED_BYTES = 4 * 2**30
"""Of the sums of logits and weights of all budgets that are computed side by side."""

OnProgress = Callable[[int, int], None] | None
"""Called with (passes done, passes in all)."""


@torch.inference_mode()
def predict_logits(
    ensemble: FoldEnsemble,
    image: torch.Tensor,
    patch: Shape,
    *,
    step: float = 0.5,
    budgets: Sequence[InferenceBudget] = (EXHAUSTIVE,),
    air_below: float = -math.inf,
    progress: OnProgress = None,
    estimator: UncertaintyEstimator | None = None,
) -> list[torch.Tensor]:
    """Return the logits of a whole image, from overlapping windows with Gaussian weights, once for each budget.

    With the whole budget they are nnU-Net's: the mean over all networks, mirrorings and windows that cover a voxel.
    With less, a window gets fewer passes (a pass is one network in one mirroring), each of the same weight.

    Where the ensemble's device does not hold a scan beside the networks, the scan begins anew with image and sums in
    main memory, and only windows go to the device; where it holds no window either, the CPU computes this scan.

    Args:
        ensemble: the networks and their mirrorings.
        image: float32 [C, Z, Y, X].
        patch: window (Z, Y, X).
        step: distance of windows as a share of the patch.
        budgets: several share the passes that they have in common.
        air_below: windows without any intensity as high as this are skipped: they are background.
        progress: called after each pass; with a foreground gate the number of all is not known at first.
        estimator: updated with the logits of each pass, and with the sum of all by the first budget. For it, a window
            that gets one mirroring gets one pass more, in the opposite one.

    Returns:
        For each budget float32 [K, Z, Y, X] of the image's shape, on the ensemble's device or on the CPU.

    Raises:
        VmsegError: a network gave NaN or infinite logits; it is named.
        RuntimeError: there is no way to make do with less memory.
    """

    def attempt(device: torch.device) -> list[torch.Tensor]:
        padded, inner = pad(image.to(device), patch)
        sums = _SlidingWindow(ensemble, padded, patch, step, air_below, progress, estimator).run(budgets)
        logits = [total.finish()[(slice(None), *inner)] for total in sums]
        if estimator is not None:
            estimator.finalize(logits[0])
        return logits

    ensemble.come_back()
    try:
        return attempt(ensemble.device)
    except RuntimeError as error:
        if not memory_ran_out(error):
            raise
    # Not where the error is caught: until it is forgotten, it holds on to the memory that was taken.
    ensemble.console.warn(
        "The GPU's memory does not hold this scan beside the networks: its logits are summed up in main memory, which "
        "takes longer."
    )
    if estimator:
        estimator.reset()
    with ensemble.free_to_leave():
        return attempt(torch.device("cpu"))


def budgets_at_once(classes: int, shape: Shape) -> int:
    """Return how many budgets' logits of an image [K, Z, Y, X] `SUMMED_BYTES` hold side by side; at least one."""
    return max(1, SUMMED_BYTES // (4 * (classes + 1) * math.prod(shape)))


@dataclass(frozen=True)
class _Pass:
    """One network in one mirroring on windows of the same parity, and for each window the sums that its logits enter.

    Args:
        tiles: the windows.
        number: of the pass, in the order of `FoldEnsemble.passes`.
        targets: of each window.
    """

    tiles: Sequence[Tile]
    number: int
    targets: Sequence[Sequence[WeightedSum]]


class _SlidingWindow:
    """The windows of one image, and all passes over them."""

    def __init__(
        self,
        ensemble: FoldEnsemble,
        image: torch.Tensor,
        patch: Shape,
        step: float,
        air_below: float,
        progress: OnProgress,
        estimator: UncertaintyEstimator | None,
    ) -> None:
        z, y, x = image.shape[1:]
        tiles = tiling((z, y, x), patch, step)
        highest = maxima(image.amax(dim=0), [tile.box for tile in tiles])
        self.tiles = [tile for tile, intensity in zip(tiles, highest, strict=True) if intensity >= air_below]
        self.ensemble, self.image, self.patch = ensemble, image, patch
        self.progress, self.estimator = progress, estimator
        self.weight = gaussian_weight(patch).to(image.device)
        self.totals = torch.zeros(len(ensemble.networks), device=image.device)
        """Sum of all logits of each network: not finite as soon as one of them is not, and read only once."""

    def run(self, budgets: Sequence[InferenceBudget]) -> list[WeightedSum]:
        """Return the sum of each budget's passes; a pass that several want is computed once."""
        z, y, x = self.image.shape[1:]
        self.most = max(map(self._count, budgets))
        sums = [WeightedSum.zeros(self.ensemble.classes, (z, y, x), self.image.device) for _ in budgets]
        first = [_Pass(group, 0, [sums] * len(group)) for group in self._groups()]
        if not any(budget.gate for budget in budgets):
            self._accumulate(first + self._further(sums, budgets, {}))
        else:
            self._accumulate(first)
            self._accumulate(self._further(sums, budgets, self._peaks(sums[0])))
        self._refuse_what_is_not_finite()
        return sums

    def _refuse_what_is_not_finite(self) -> None:
        wrong = [number for number, finite in enumerate(self.totals.isfinite().tolist()) if not finite]
        if wrong:
            named = ", ".join(map(self.ensemble.name, wrong))
            half = self.ensemble.dtype is torch.float16
            raise VmsegError(
                f"the network gave NaN or infinite values, and no mask can be made of them: {named}",
                remedy=f"{'Try --precision float32. ' if half else ''}Train that fold again with --fresh, or predict "
                "with other folds (--folds).",
            )

    def _count(self, budget: InferenceBudget) -> int:
        """Return how many passes a budget gives a window at most."""
        return len(self.ensemble.passes((0, 0, 0), budget.passes))

    def _further(
        self, sums: Sequence[WeightedSum], budgets: Sequence[InferenceBudget], peaks: Mapping[Shape, float]
    ) -> list[_Pass]:
        """Return all passes after the first that some budget wants. A window without a known peak is above any gate."""
        rows = [(total, budget, self._count(budget)) for total, budget in zip(sums, budgets, strict=True)]
        passes = []
        for group in self._groups():
            for number in range(1, self.most):
                wanted = [
                    (tile, [s for s, budget, n in rows if number < n and peaks.get(tile.place, 1.0) >= budget.gate])
                    for tile in group
                ]
                if needed := [(tile, targets) for tile, targets in wanted if targets]:
                    passes.append(_Pass([tile for tile, _ in needed], number, [targets for _, targets in needed]))
            passes += self._opposite(group, min(budget.gate for budget in budgets), peaks)
        return passes

    def _opposite(self, group: Sequence[Tile], gate: float, peaks: Mapping[Shape, float]) -> list[_Pass]:
        """Return the estimator's own pass: the first network in the opposite mirroring, where no budget has one."""
        opposite = len(self.ensemble.networks)
        if self.estimator is None or not self.estimator.mirrored or self.most > opposite:
            return []
        above = [tile for tile in group if peaks.get(tile.place, 1.0) >= gate]
        return [_Pass(above, opposite, [[]] * len(above))] if above else []

    def _accumulate(self, passes: Sequence[_Pass]) -> None:
        """Compute passes and add their logits up, in their order."""
        for done, (one, logits) in enumerate(zip(passes, self._computed(passes), strict=True), 1):
            for tile, of_tile, targets in zip(one.tiles, logits, one.targets, strict=True):
                for total in targets:
                    total.add(tile.box, of_tile, self.weight)
                self._update_estimator(tile, one.number, of_tile)
            self.totals[self._network(one.tiles[0], one.number)] += logits.sum()
            if self.progress:
                self.progress(done, len(passes))

    def _update_estimator(self, tile: Tile, number: int, logits: torch.Tensor) -> None:
        if self.estimator is not None:
            mirroring, order = divmod(number, len(self.ensemble.networks))
            self.estimator.update(tile, logits, mirroring, self._network(tile, number), first=order == 0)

    def _network(self, tile: Tile, number: int) -> int:
        """Return the number of the network that computes a window's pass of that number."""
        return (self.ensemble.first_network(tile.place) + number) % len(self.ensemble.networks)

    def _computed(self, passes: Sequence[_Pass]) -> Iterator[torch.Tensor]:
        """Yield the logits of each pass. CPU threads take whole windows, which is faster than sharing every layer."""
        threads = torch.get_num_threads()
        if self.ensemble.device.type != "cpu" or threads == 1:
            yield from map(self._logits, passes)
            return
        try:
            torch.set_num_threads(1)  # what this thread does meanwhile would wait for cores that are taken
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield from pool.map(self._logits, passes)
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def _logits(self, one: _Pass) -> torch.Tensor:
        windows = torch.stack([self.image[(slice(None), *tile.box)] for tile in one.tiles])
        return self.ensemble.logits(windows, self.ensemble.passes(one.tiles[0].place)[one.number])

    def _peaks(self, first: WeightedSum) -> dict[Shape, float]:
        """Return the highest foreground probability in the core of each window."""
        likely = foreground(first.mean(), self.ensemble.overlap)
        found = maxima(likely, [tile.core for tile in self.tiles])
        return {tile.place: peak for tile, peak in zip(self.tiles, found, strict=True)}

    def _groups(self) -> Iterator[list[Tile]]:
        """Yield windows to compute together: of the same parity, so with the same passes in the same order."""
        size = 1 if self.ensemble.device.type == "cpu" else max(1, VOXELS_AT_ONCE // math.prod(self.patch))
        size = min(size, self.ensemble.at_once or size)
        for _, same in itertools.groupby(sorted(self.tiles, key=_parity), key=_parity):
            alike = list(same)
            for start in range(0, len(alike), size):
                yield alike[start : start + size]


def _parity(tile: Tile) -> tuple[int, ...]:
    return tuple(number % 2 for number in tile.place)
