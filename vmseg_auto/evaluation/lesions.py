"""Lesions, one connected piece of foreground each, and those of preprocessed cases. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.preprocessing.air import NO_TISSUE, air_level
from vmseg_auto.utils.components import label_components
from vmseg_auto.utils.geometry import Box
from vmseg_auto.utils.label_masks import foreground_of
from vmseg_auto.utils.labels import IGNORE

SEEN_VOXELS = 200_000
"""Voxels of a scan from which its percentiles and tissue are taken."""


@dataclass(frozen=True)
class Lesion:
    """Where it lies in its case (Z, Y, X), and which voxels of that box it takes."""

    box: Box
    mask: NDArray[np.bool_]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(start, stop) for start, stop in self.box)
        return z, y, x

    @property
    def surroundings(self) -> tuple[slice, slice, slice]:
        """Its box and the voxels next to it."""
        z, y, x = (slice(max(0, start - 1), stop + 1) for start, stop in self.box)
        return z, y, x


@dataclass(frozen=True)
class Tissue:
    """The intensities of a case's body by channel: above `air`, without its lesions; mean and deviation [C]."""

    air: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


class CaseStudy:
    """A case's lesions and tissue, computed when first asked for."""

    def __init__(self, case: PreprocessedCase) -> None:
        self.case = case

    @cached_property
    def lesions(self) -> tuple[Lesion, ...]:
        assert self.case.label is not None
        return find_lesions(foreground_of(np.asarray(self.case.label)))

    @cached_property
    def whole_lesions(self) -> tuple[Lesion, ...]:
        """The lesions of which all neighbours are annotated, so that nothing of them can be missing."""
        label = np.asarray(self.case.label)
        return tuple(lesion for lesion in self.lesions if not (label[lesion.surroundings] == IGNORE).any())

    @cached_property
    def tissue(self) -> Tissue:
        assert self.case.label is not None
        step = max(1, self.case.label.size // SEEN_VOXELS)
        seen = np.asarray(self.case.image.reshape(len(self.case.image), -1)[:, ::step])
        sound = np.asarray(self.case.label.reshape(-1)[::step]) == 0
        air = air_level(seen, NO_TISSUE)
        body = [row[sound & (row > level)] for row, level in zip(seen, air, strict=True)]
        kept = [inside if len(inside) else row for inside, row in zip(body, seen, strict=True)]
        mean, std = [row.mean() for row in kept], [max(float(row.std()), 1e-6) for row in kept]
        return Tissue(air.astype(np.float32), np.float32(mean), np.float32(std))  # type: ignore[arg-type]


def find_lesions(mask: NDArray[np.bool_]) -> tuple[Lesion, ...]:
    """Return the connected pieces (26 neighbours) of a mask (Z, Y, X), in the order of their first voxels.

    Example:
        >>> [lesion.box for lesion in find_lesions(np.array([[[True, False, True, True]]]))]
        [((0, 1), (0, 1), (0, 1)), ((0, 1), (0, 1), (2, 4))]
    """
    numbered, _ = label_components(mask)
    found = []
    for number, place in enumerate(ndimage.find_objects(numbered), 1):
        z, y, x = ((s.start, s.stop) for s in place)
        found.append(Lesion((z, y, x), numbered[place] == number))
    return tuple(found)


@dataclass(frozen=True)
class Studies:
    """The studies of a fold's cases; nothing of them travels to other processes."""

    known: dict[str, CaseStudy] = field(default_factory=dict, compare=False, repr=False)

    def of(self, case: PreprocessedCase) -> CaseStudy:
        study = self.known.get(case.id)
        if study is None or study.case is not case:
            study = self.known[case.id] = CaseStudy(case)
        return study

    def __reduce__(self) -> tuple[type[Studies], tuple[()]]:
        return Studies, ()


def random_voxel(lesions: Sequence[Lesion], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a random voxel (Z, Y, X) of a random lesion: small lesions come as often as large ones."""
    lesion = lesions[int(rng.integers(len(lesions)))]
    inside = np.flatnonzero(lesion.mask)
    at = np.unravel_index(inside[int(rng.integers(len(inside)))], lesion.mask.shape)
    return np.array([start + int(n) for (start, _), n in zip(lesion.box, at, strict=True)])
