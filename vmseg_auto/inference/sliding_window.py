"""What an ensemble says of a whole image, window by window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from vmseg_auto.inference.ensemble import Ensemble
from vmseg_auto.inference.uncertainty import Witness
from vmseg_auto.inference.windows import Tile, WeightedSum, gaussian_weight, maxima, pad, tiling
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, Effort
from vmseg_auto.utils.devices import memory_ran_out
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.geometry import Shape

VOXELS_AT_ONCE = 2**21
"""Of the windows that a GPU computes together; a CPU is fastest with one window at a time."""

SUMMED_BYTES = 4 * 2**30
"""Of the sums of logits and weights of all efforts that are computed side by side."""

Watch = Callable[[int, int], None] | None
"""Called with (looks at windows done, looks in all)."""


@torch.inference_mode()
def predict_logits(
    ensemble: Ensemble,
    image: torch.Tensor,
    patch: Shape,
    *,
    step: float = 0.5,
    efforts: Sequence[Effort] = (EXHAUSTIVE,),
    air_below: float = -math.inf,
    progress: Watch = None,
    witness: Witness | None = None,
) -> list[torch.Tensor]:
    """Logits of a whole image from overlapping windows with Gaussian weights, once for each effort.

    With all effort they are nnU-Net's: the mean over all networks, mirrorings and windows that cover a voxel. With
    less, windows are looked at in fewer ways, and every look counts the same.

    Args:
        ensemble: who is asked.
        image: float32 [C, Z, Y, X].
        patch: window (Z, Y, X).
        step: distance of windows as a share of the patch.
        efforts: several share the work, and show what each would save and change.
        air_below: windows without any intensity as high as this are passed over: they are background.
        progress: hears of every look at a window; with a gate their number is not known before all are looked at.
        witness: hears what each look says, and sees what they come to by the first effort. For it, a window that gets
            one mirroring is looked at once more.

    Where the ensemble's device does not hold a scan beside the networks, the scan begins anew with image and sums in
    main memory, and only windows go to the device; where it holds no window either, the CPU computes this scan.

    Returns:
        For each effort float32 [K, Z, Y, X] of the image's shape, on the ensemble's device or on the CPU.

    Raises:
        VmsegError: a network gave NaN or infinite logits; it is named.
        RuntimeError: there is no way to make do with less memory.
    """

    def attempt(device: torch.device) -> list[torch.Tensor]:
        padded, inner = pad(image.to(device), patch)
        sums = _Sweep(ensemble, padded, patch, step, air_below, progress, witness).run(efforts)
        found = [total.finish()[(slice(None), *inner)] for total in sums]
        if witness is not None:
            witness.see(found[0])
        return found

    try:
        return attempt(ensemble.device)
    except RuntimeError as error:
        if not memory_ran_out(error):
            raise
    # Not where the error is caught: until it is forgotten, it holds on to the memory that was taken.
    ensemble.tell(
        "The GPU's memory does not hold this scan beside the networks: its logits are summed up in main memory, which "
        "takes longer."
    )
    if witness:
        witness.forget()
    with ensemble.free_to_leave():
        return attempt(torch.device("cpu"))


def efforts_at_once(classes: int, shape: Shape) -> int:
    """How many efforts' logits of an image [K, Z, Y, X] `SUMMED_BYTES` hold side by side; at least one."""
    return max(1, SUMMED_BYTES // (4 * (classes + 1) * math.prod(shape)))


@dataclass(frozen=True)
class _Look:
    """One view of windows of the same parity, and the sums that each of them goes into."""

    tiles: Sequence[Tile]
    number: int
    takers: Sequence[Sequence[WeightedSum]]


class _Sweep:
    """The windows of one image, and all that is seen in them."""

    def __init__(
        self,
        ensemble: Ensemble,
        image: torch.Tensor,
        patch: Shape,
        step: float,
        air_below: float,
        progress: Watch,
        witness: Witness | None,
    ) -> None:
        z, y, x = image.shape[1:]
        tiles = tiling((z, y, x), patch, step)
        highest = maxima(image.amax(dim=0), [tile.box for tile in tiles])
        self.tiles = [tile for tile, intensity in zip(tiles, highest, strict=True) if intensity >= air_below]
        self.ensemble, self.image, self.patch, self.progress, self.witness = ensemble, image, patch, progress, witness
        self.weight = gaussian_weight(patch).to(image.device)
        self.said = torch.zeros(len(ensemble.networks), device=image.device)
        """Sum of all logits of each network: not finite as soon as one of them is not, and read only once."""

    def run(self, efforts: Sequence[Effort]) -> list[WeightedSum]:
        """For each effort the sum of all that it wants to see; what several want is computed once."""
        z, y, x = self.image.shape[1:]
        self.views = max(map(self._views, efforts))
        sums = [WeightedSum.zeros(self.ensemble.classes, (z, y, x), self.image.device) for _ in efforts]
        looks = [_Look(group, 0, [sums] * len(group)) for group in self._groups()]
        if not any(effort.gate for effort in efforts):
            self._see(looks + self._further(sums, efforts, {}))
        else:
            self._see(looks)
            self._see(self._further(sums, efforts, self._peaks(sums[0])))
        self._refuse_what_is_not_finite()
        return sums

    def _refuse_what_is_not_finite(self) -> None:
        wrong = [number for number, finite in enumerate(self.said.isfinite().tolist()) if not finite]
        if wrong:
            named = ", ".join(map(self.ensemble.name, wrong))
            half = self.ensemble.dtype is torch.float16
            raise VmsegError(
                f"the network gave NaN or infinite values, and no mask can be made of them: {named}",
                remedy=f"{'Try --precision float32. ' if half else ''}Train that fold again with --fresh, or predict "
                "with other folds (--folds).",
            )

    def _views(self, effort: Effort) -> int:
        """How many views of a window an effort wants, at most."""
        return len(self.ensemble.views((0, 0, 0), effort.looks))

    def _further(
        self, sums: Sequence[WeightedSum], efforts: Sequence[Effort], peaks: Mapping[Shape, float]
    ) -> list[_Look]:
        """All views after the first that some effort wants. A window without a known peak counts as suspect."""
        rows = [(total, effort, self._views(effort)) for total, effort in zip(sums, efforts, strict=True)]
        looks = []
        for group in self._groups():
            for number in range(1, self.views):
                wanted = [
                    (tile, [s for s, effort, n in rows if number < n and peaks.get(tile.place, 1.0) >= effort.gate])
                    for tile in group
                ]
                if asked := [(tile, takers) for tile, takers in wanted if takers]:
                    looks.append(_Look([tile for tile, _ in asked], number, [takers for _, takers in asked]))
            looks += self._witnessed(group, min(effort.gate for effort in efforts), peaks)
        return looks

    def _witnessed(self, group: Sequence[Tile], gate: float, peaks: Mapping[Shape, float]) -> list[_Look]:
        """A first network's look in the opposite mirroring, which goes into no sum, where no effort asks for it."""
        opposite = len(self.ensemble.networks)
        if self.witness is None or not self.witness.mirrored or self.views > opposite:
            return []
        suspects = [tile for tile in group if peaks.get(tile.place, 1.0) >= gate]
        return [_Look(suspects, opposite, [[]] * len(suspects))] if suspects else []

    def _see(self, looks: Sequence[_Look]) -> None:
        """Compute the looks and add them up, in their order."""
        for done, (look, logits) in enumerate(zip(looks, self._computed(looks), strict=True), 1):
            for tile, one, takers in zip(look.tiles, logits, look.takers, strict=True):
                for total in takers:
                    total.add(tile.box, one, self.weight)
                self._tell(tile, look.number, one)
            self.said[self._network(look.tiles[0], look.number)] += logits.sum()
            if self.progress:
                self.progress(done, len(looks))

    def _tell(self, tile: Tile, number: int, logits: torch.Tensor) -> None:
        if self.witness is not None:
            mirroring, turn = divmod(number, len(self.ensemble.networks))
            self.witness.hear(tile, logits, mirroring, self._network(tile, number), first=turn == 0)

    def _network(self, tile: Tile, number: int) -> int:
        """Which network a window's view of that number asks."""
        return (self.ensemble.first_network(tile.place) + number) % len(self.ensemble.networks)

    def _computed(self, looks: Sequence[_Look]) -> Iterator[torch.Tensor]:
        """The logits of each look. CPU threads take whole windows, which is faster than sharing every layer."""
        threads = torch.get_num_threads()
        if self.ensemble.device.type != "cpu" or threads == 1:
            yield from map(self._logits, looks)
            return
        try:
            torch.set_num_threads(1)  # what this thread does meanwhile would wait for cores that are taken
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield from pool.map(self._logits, looks)
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def _logits(self, look: _Look) -> torch.Tensor:
        windows = torch.stack([self.image[(slice(None), *tile.box)] for tile in look.tiles])
        return self.ensemble.look(windows, self.ensemble.views(look.tiles[0].place)[look.number])

    def _peaks(self, first: WeightedSum) -> dict[Shape, float]:
        """The highest foreground probability in the core of each window."""
        foreground = 1 - torch.softmax(first.mean(), dim=0)[0]
        found = maxima(foreground, [tile.core for tile in self.tiles])
        return {tile.place: peak for tile, peak in zip(self.tiles, found, strict=True)}

    def _groups(self) -> Iterator[list[Tile]]:
        """Windows to compute together: of the same parity, so that they have the same views in the same order."""
        size = 1 if self.ensemble.device.type == "cpu" else max(1, VOXELS_AT_ONCE // math.prod(self.patch))
        size = min(size, self.ensemble.at_once or size)
        for _, same in itertools.groupby(sorted(self.tiles, key=_parity), key=_parity):
            alike = list(same)
            for start in range(0, len(alike), size):
                yield alike[start : start + size]


def _parity(tile: Tile) -> tuple[int, ...]:
    return tuple(number % 2 for number in tile.place)
