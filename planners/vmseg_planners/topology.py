"""Arithmetic of spacings, patches and strides, as in nnU-Net 2.8.1; plain numbers in and out.

The method is that of Isensee et al., nnU-Net (Nature Methods 2021, 18:203), in its second version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, prod

import numpy as np

from vmseg_auto.planning.network import Int3
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Shape, Spacing

ANISOTROPY = 3
"""An axis is coarse when its voxels are more than this many times as long as the others'."""
MIN_EDGE = 4
"""No feature map gets smaller than this by halving, in voxels."""
START_VOXELS = {2: 2048**2, 3: 256**3}
"""Voxels of the slice, or volume, from which the search starts; far more than any usual budget allows."""
MIN_BATCH = 2
"""Also the batch that budgets are stated for."""

APART = inf
"""Spacing, in mm, of slices that are taken one by one: no patch has two, no kernel reaches from one to the next."""

AXES = range(3)
Size = tuple[float, float, float]
"""Voxels along three axes; a median of whole numbers may end in a half."""


@dataclass(frozen=True)
class Topology:
    """A patch and how a network halves it.

    Args:
        patch: voxels, a multiple of `divisors` on each axis.
        strides: stride on entering each stage, the first (1, 1, 1).
        kernels: kernel of each stage, the last (3, 3, 3), or (1, 3, 3) for slices one by one.
    """

    patch: Shape
    strides: tuple[Int3, ...]
    kernels: tuple[Int3, ...]

    @property
    def stages(self) -> int:
        return len(self.strides)

    @property
    def divisors(self) -> Int3:
        """Product of the strides on each axis."""
        z, y, x = (prod(stride[axis] for stride in self.strides) for axis in AXES)
        return z, y, x


@dataclass(frozen=True)
class Budget:
    """How many conv outputs of one patch (see planning.memory) a memory holds, for a batch of 2.

    It runs straight from nothing through the points, and goes on in proportion beyond the last.

    Args:
        gb: memory of each point, rising.
        outputs: what it holds, rising.
    """

    gb: tuple[float, ...]
    outputs: tuple[float, ...]

    def held_by(self, memory_gb: float) -> float:
        """Return how many conv outputs this memory holds."""
        return _along(self.gb, self.outputs, memory_gb)

    def needed_for(self, outputs: float) -> float:
        """Return the GB that so many conv outputs need."""
        return _along(self.outputs, self.gb, outputs)


def target_spacing(spacings: Sequence[Spacing], shapes: Sequence[Shape]) -> tuple[Spacing, bool]:
    """Choose the spacing that every case is resampled to.

    It is the median on each axis. Where the coarsest axis is more than 3 times as coarse as the others and has less
    than a third of their voxels, its median would blur the thinner-sliced scans: it takes the 10th percentile, but
    never becomes finer than the other axes.

    Args:
        spacings: of each case, in mm.
        shapes: of each case, in voxels.

    Returns:
        The spacing in mm, axes in the order given, and whether one axis left its median.

    Example:
        >>> target_spacing([(4.0, 0.5, 0.5), (4.0, 0.5, 0.5), (5.0, 0.6, 0.6)], [(20, 256, 256)] * 3)
        ((4.0, 0.5, 0.5), True)
    """
    spacing = np.percentile(np.array(spacings, dtype=float), 50, axis=0)
    size = np.percentile(np.array(shapes, dtype=float), 50, axis=0)
    worst = int(np.argmax(spacing))
    others = [axis for axis in AXES if axis != worst]
    coarsest_other = max(spacing[others])
    anisotropic = spacing[worst] > ANISOTROPY * coarsest_other and size[worst] * ANISOTROPY < min(size[others])
    if anisotropic:
        finer = np.percentile([case[worst] for case in spacings], 10)
        # the 1e-5 keeps this axis the coarsest one, which decides the order of axes
        spacing[worst] = finer if finer >= coarsest_other else coarsest_other + 1e-5
    z, y, x = (float(value) for value in spacing)
    return (z, y, x), bool(anisotropic)


def axes_order(spacing: Spacing) -> Int3:
    """Put the axis of largest spacing first and leave the others in their order.

    >>> axes_order((0.5, 4.0, 0.5))
    (1, 0, 2)
    """
    first = int(np.argmax(spacing))
    second, third = (axis for axis in AXES if axis != first)
    return first, second, third


def start_patch(spacing: Spacing, median_shape: Size) -> Size:
    """Make a patch of 256^3 voxels that is a cube in mm, or a square of 2048^2, clipped to the median shape.

    >>> start_patch((APART, 0.5, 0.5), (24, 4000, 320))
    (1.0, 2048.0, 320.0)
    """
    aspect = [1 / edge for edge in spacing if isfinite(edge)]
    scale = (START_VOXELS[len(aspect)] / prod(aspect)) ** (1 / len(aspect))
    z, y, x = (
        float(min(round(scale * (1 / edge)), size)) if isfinite(edge) else 1.0
        for edge, size in zip(spacing, median_shape, strict=True)
    )
    return z, y, x


def pool(spacing: Spacing, size: Size, max_stages: int = 10) -> Topology:
    """Halve a patch for as long as it makes sense.

    An axis is halved when at least 8 voxels are left on it and its voxels are less than twice as long as the
    shortest among such axes; an axis that would be halved alone needs 12. Its kernel is 1 until its voxels are
    less than twice as long as the shortest of all, and 3 from there on and at the coarsest stage; between slices that
    are APART it stays 1.

    Args:
        spacing: in mm, in the order of `size`.
        size: the patch wanted; it is rounded up to what the strides divide.
        max_stages: of the network, whatever would still make sense.

    Example:
        >>> pool((4.0, 0.5, 0.5), (20, 256, 256)).strides
        ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    """
    edges, left = list(spacing), list(size)
    kernel = [1, 1, 1]
    strides: list[Int3] = [(1, 1, 1)]
    kernels: list[Int3] = []
    while len(strides) < max_stages and (chosen := _halved_next(edges, left)):
        kernel = [3 if k == 3 or edge / min(edges) < 2 else 1 for k, edge in zip(kernel, edges, strict=True)]
        kernels.append((kernel[0], kernel[1], kernel[2]))
        for axis in chosen:
            edges[axis] *= 2
            left[axis] = ceil(left[axis] / 2)
        z, y, x = (2 if axis in chosen else 1 for axis in AXES)
        strides.append((z, y, x))
    kernels.append((3 if isfinite(spacing[0]) else 1, 3, 3))
    divisors = [prod(stride[axis] for stride in strides) for axis in AXES]
    z, y, x = (ceil(n / divisor) * divisor for n, divisor in zip(size, divisors, strict=True))
    return Topology((z, y, x), tuple(strides), tuple(kernels))


def fit_patch(
    spacing: Spacing,
    median_shape: Size,
    cost: Callable[[Topology], int],
    budget: Budget,
    memory_gb: float,
    max_stages: int = 10,
) -> Topology:
    """Find the largest patch that the memory holds, with the aspect of the median shape.

    Args:
        spacing: target spacing in mm, the coarsest axis first; it may be APART.
        median_shape: the cohort's at that spacing, in the same order.
        cost: conv outputs of the network that a topology leads to.
        budget: what a memory holds.
        memory_gb: the memory.
        max_stages: of the network.

    Raises:
        InputError: the scans have too few voxels to halve, or the budget is too small for any patch.
    """
    topology = pool(spacing, start_patch(spacing, median_shape), max_stages)
    if topology.stages < 2:
        shown = "x".join(f"{n:g}" for n in median_shape)
        raise InputError(
            f"the scans are too small for this method: their median shape is {shown} voxels",
            remedy=f"It needs {3 * MIN_EDGE} voxels along the axis of finest spacing, or {2 * MIN_EDGE} along two of "
            "similar spacing; check the files' size and spacing.",
        )
    held = budget.held_by(memory_gb)
    while (needed := cost(topology)) > held:
        smaller = _shrunk(spacing, median_shape, topology, max_stages)
        if smaller is None or smaller.stages < 2:
            least_gb = ceil(100 * budget.needed_for(needed)) / 100
            raise InputError(
                f"a memory budget of {memory_gb:g} GB is too small for any patch",
                remedy=f"Plan with --memory {least_gb:g} or more.",
            )
        topology = smaller
    return topology


def fit_batch(
    held: float, needed: int, dataset_voxels: float, patch: Shape, dataset_share: float
) -> tuple[int, int, int]:
    """Choose the batch size: what memory and a share of the dataset's voxels allow, but at least 2.

    Args:
        held: conv outputs that the memory holds.
        needed: those of one patch.
        dataset_voxels: of all cases together.
        patch: in voxels.
        dataset_share: of those voxels, the most that one batch may hold.

    Returns:
        The batch size, what memory alone allows, and what the share of the dataset alone allows.
    """
    by_memory = round(held / needed * MIN_BATCH)
    by_dataset = round(dataset_voxels * dataset_share / prod(patch))
    return max(min(by_memory, by_dataset), MIN_BATCH), by_memory, by_dataset


def _along(x: tuple[float, ...], y: tuple[float, ...], at: float) -> float:
    if at > x[-1]:
        return y[-1] * (at / x[-1])
    return float(np.interp(at, (0.0, *x), (0.0, *y)))


def _halved_next(edges: Sequence[float], left: Sequence[float]) -> list[int]:
    large = [axis for axis in AXES if left[axis] >= 2 * MIN_EDGE]
    shortest = min((edges[axis] for axis in large), default=0.0)
    chosen = [axis for axis in large if edges[axis] / shortest < 2]
    if len(chosen) == 1 and left[chosen[0]] < 3 * MIN_EDGE:
        return []
    return chosen


def _shrunk(spacing: Spacing, median_shape: Size, topology: Topology, max_stages: int) -> Topology | None:
    """Shrink the axis that covers the most of the median shape; None where nothing would be left of it."""
    patch = topology.patch
    axis = max((a for a in AXES if isfinite(spacing[a])), key=lambda a: (patch[a] / median_shape[a], a))

    def less(divisor: int) -> Shape:
        z, y, x = (n - divisor if a == axis else n for a, n in enumerate(patch))
        return z, y, x

    # A shorter axis may be halved less often, and then smaller steps are possible: 256 - 64 would skip 224.
    trial = less(topology.divisors[axis])
    if trial[axis] < 1:
        return None
    smaller = less(pool(spacing, trial, max_stages).divisors[axis])
    return pool(spacing, smaller, max_stages) if smaller[axis] >= 1 else None
