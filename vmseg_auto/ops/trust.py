"""How far looks at the windows of a scan agree: one network's in two mirrorings, and all networks' in one.

Every window answers for its core alone, where its logits count most; the cores of all windows share a scan out. So no
look needs a volume of its own: sums over cores do, and what a window's first look said until the others have come.

The uncertainty is one minus the soft Dice of a network's probabilities p and q in opposite mirrorings,
2 sum(p q) / (sum p + sum q): the Dice of two masks, each voxel of which is foreground with probability p in one and q
in the other. It grows with disagreement and with doubt alike, and is near 1 where next to nothing is found.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch

from vmseg_auto.core.geometry import Shape
from vmseg_auto.core.trust import Trust
from vmseg_auto.ops.patches import Tile


@dataclass
class _Window:
    """What the looks at one window have said of its core so far.

    Args:
        first: probabilities by the first look, float16 [K - 1, n]; None once the second has come.
        votes: network -> class of each voxel, uint8 [n]; empty once all networks have been heard.
    """

    first: torch.Tensor | None = None
    votes: dict[int, torch.Tensor] = field(default_factory=dict)


class Witness:
    """Listens to the looks of one sweep.

    Args:
        networks: how many are asked about a window.
        mirrored: whether windows that count are seen in more than one mirroring.
    """

    def __init__(self, networks: int, mirrored: bool) -> None:
        self.networks, self.mirrored = networks, mirrored
        self._windows: dict[Shape, _Window] = {}
        self._soft: list[torch.Tensor] = []
        self._shared: list[torch.Tensor] = []

    def hear(self, tile: Tile, logits: torch.Tensor, mirroring: int, network: int, first: bool) -> None:
        """Take a look into account.

        Args:
            tile: the window.
            logits: float32 [K, Z, Y, X] of all of it.
            mirroring: number of the mirroring among those in which the window is shown; 1 is the opposite of 0.
            network: number of the network.
            first: whether it is the network that the window asks first.
        """
        if mirroring > 1 or (mirroring == 1 and not first):
            return
        core = tuple(slice(c.start - b.start, c.stop - b.start) for b, c in zip(tile.box, tile.core, strict=True))
        inside = logits[(slice(None), *core)].flatten(1)
        window = self._windows.setdefault(tile.place, _Window())
        if first:
            self._pair(window, inside.softmax(dim=0)[1:])
        if mirroring == 0 and self.networks > 1:
            window.votes[network] = inside.argmax(dim=0).to(torch.uint8)
            if len(window.votes) == self.networks:
                self._shared.append(_overlaps(window.votes, len(inside)))
                window.votes.clear()

    def trust(self) -> Trust:
        """What was heard in all."""
        lone = [window.first.float() for window in self._windows.values() if window.first is not None]
        soft = [*self._soft, *(_soft_overlap(p, p) for p in lone)]
        if not soft:
            return Trust(1.0, self.mirrored)
        both, one, other = torch.stack(soft).cpu().double().sum(0).numpy().T
        dice = 2 * both / np.maximum(one + other, np.finfo(np.float64).tiny)
        return Trust(float(np.clip(1 - dice.mean(), 0, 1)), self.mirrored, self._fold_agreement())

    def _pair(self, window: _Window, probabilities: torch.Tensor) -> None:
        if window.first is None:
            window.first = probabilities.half()
        else:
            self._soft.append(_soft_overlap(window.first.float(), probabilities))
            window.first = None

    def _fold_agreement(self) -> float | None:
        """Mean Dice over pairs of networks, then over the labels that any of them finds."""
        if not self._shared:
            return None
        agreements = []
        for shared in torch.stack(self._shared).cpu().double().sum(0).numpy():
            sizes = np.diagonal(shared)
            if sizes.any():
                pairs = itertools.combinations(range(self.networks), 2)
                dice = [2 * shared[a, b] / (sizes[a] + sizes[b]) if sizes[a] + sizes[b] else 1.0 for a, b in pairs]
                agreements.append(np.mean(dice))
        return float(np.mean(agreements)) if agreements else None


def _soft_overlap(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Sums over voxels of p q, p and q for each label: [K - 1, n] twice -> [K - 1, 3]."""
    return torch.stack([(p * q).sum(1), p.sum(1), q.sum(1)], dim=1)


def _overlaps(votes: dict[int, torch.Tensor], classes: int) -> torch.Tensor:
    """Voxels that each two networks share, for each label: float32 [K - 1, F, F]."""
    stacked = torch.stack([votes[network] for network in sorted(votes)])
    masks = torch.stack([(stacked == label).float() for label in range(1, classes)])
    return masks @ masks.mT
