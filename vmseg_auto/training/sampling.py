"""Which patch of which training case comes next. Imports no torch: it runs in worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.evaluation.lesions import Studies, random_voxel
from vmseg_auto.utils.geometry import Shape

T = TypeVar("T", bound=np.generic)
Slices = tuple[slice, slice, slice]


def forced_foreground(index: int, batch_size: int, share: float) -> bool:
    """Return whether the sample at `index` of a batch is centred on foreground: the last `share`, at least one.

    A share of 0 forces none. nnU-Net does the same.

    Example:
        >>> [forced_foreground(index, batch_size=4, share=0.33) for index in range(4)]
        [False, False, False, True]
    """
    return share > 0 and index >= min(round(batch_size * (1 - share)), batch_size - 1)


@dataclass(frozen=True)
class PatchSampler:
    """Draws a case, then a box: anywhere, or around a random voxel of a random foreground class it holds.

    In a case annotated in part, a box that could lie anywhere lies around a random annotated voxel, as in nnU-Net.

    Args:
        patch: the plan's patch (Z, Y, X); boxes may reach over the border as far as it needs padding.
        read_shape: shape (Z, Y, X) that is read, at least `patch`: rotation and zoom need a margin.
        by_lesion: take a random voxel of a random lesion instead, so that small lesions come as often as large ones.
    """

    patch: Shape
    read_shape: Shape
    by_lesion: bool = False
    studies: Studies = field(default_factory=Studies, compare=False, repr=False)

    def __call__(
        self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return an image [C, Z, Y, X] and label [Z, Y, X] of `read_shape`, zero outside the case.

        Args:
            cases: the fold's training cases; each has a label.
            foreground: centre on foreground, where the case has any.
            rng: all the randomness.
        """
        return self.read(*self.place(cases, foreground, rng))

    def place(
        self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator
    ) -> tuple[PreprocessedCase, NDArray[np.int64]]:
        """Draw a case, and where in it a box begins (Z, Y, X); it may lie outside."""
        case = cases[int(rng.integers(len(cases)))]
        shape = np.array(case.image.shape[1:])
        read = np.array(self.read_shape)
        # nnU-Net's bounds: at random only the margin hangs over; around foreground the far end may hang over more.
        padding = np.maximum(read - np.array(self.patch), read - shape)
        lowest, highest = -(padding // 2), shape + padding // 2 + padding % 2 - read
        if foreground and case.foreground:
            return case, np.maximum(lowest, self._centre(case, rng) - read // 2)
        if case.annotated is not None:
            return case, np.maximum(lowest, case.annotated[int(rng.integers(len(case.annotated)))] - read // 2)
        return case, np.array([int(rng.integers(a, b + 1)) for a, b in zip(lowest, highest, strict=True)])

    def read(self, case: PreprocessedCase, start: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return image [C, Z, Y, X] and label [Z, Y, X] of a box that begins there."""
        assert case.label is not None
        read = np.array(self.read_shape)
        return read_box(case.image, start, read), read_box(case.label, start, read)

    def _centre(self, case: PreprocessedCase, rng: np.random.Generator) -> NDArray[np.int64]:
        if self.by_lesion:
            return random_voxel(self.studies.of(case).lesions, rng)
        voxels = case.foreground[sorted(case.foreground)[int(rng.integers(len(case.foreground)))]]
        centre: NDArray[np.int64] = voxels[int(rng.integers(len(voxels)))].astype(np.int64)
        return centre


def read_box(array: NDArray[T], start: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[T]:
    """Copy a box of [..., Z, Y, X], zero where it reaches over the border; only the box is read from disk.

    Example:
        >>> read_box(np.array([[[1, 2, 3]]]), np.array([0, 0, 1]), np.array([1, 1, 3]))
        array([[[2, 3, 0]]])
    """
    box: NDArray[T] = np.zeros((*array.shape[:-3], *size), dtype=array.dtype)
    here, there = overlap(start.tolist(), size.tolist(), array.shape[-3:])
    box[(..., *here)] = array[(..., *there)]
    return box


def overlap(start: Sequence[int], size: Sequence[int], shape: Sequence[int]) -> tuple[Slices, Slices]:
    """Return the part of a box that lies in an array, in voxels of the box and of the array (Z, Y, X); it may be empty.

    Example:
        >>> here, there = overlap((0, 0, -1), (1, 1, 3), (1, 1, 9))
        >>> here[2], there[2]
        (slice(1, 3, None), slice(0, 2, None))
    """
    inner = [(min(max(a, 0), n), max(min(a + s, n), 0)) for a, s, n in zip(start, size, shape, strict=True)]
    z, y, x = ((a, max(a, b)) for a, b in inner)
    there = slice(*z), slice(*y), slice(*x)
    to_z, to_y, to_x = (slice(part.start - a, part.stop - a) for part, a in zip(there, start, strict=True))
    return (to_z, to_y, to_x), there
