"""Connected components of masks: voxels that share a face, an edge or a corner belong together (26 neighbours)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.utils.geometry import Box, Geometry
from vmseg_auto.utils.label_masks import mask_of, take_out
from vmseg_auto.utils.postprocessing import PostProcessing

_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


def mask_box(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around the True voxels of a mask (Z, Y, X); None where there are none.

    >>> mask_box(np.pad(np.ones((1, 2, 3), bool), 1))
    ((1, 2), (1, 3), (1, 4))
    """
    (found,) = ndimage.find_objects(mask.view(np.uint8), max_label=1)
    if found is None:
        return None
    z, y, x = found
    return (z.start, z.stop), (y.start, y.stop), (x.start, x.stop)


def label_components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the components of a mask.

    Args:
        mask: (Z, Y, X).

    Returns:
        int32 (Z, Y, X) with 0 outside and 1 to n within, and n. Numbers follow the order of the voxels in memory.
    """
    numbered = np.zeros(mask.shape, dtype=np.int32)
    box = mask_box(mask)
    if box is None:
        return numbered, 0
    inside = tuple(slice(start, stop) for start, stop in box)
    count = ndimage.label(mask[inside], structure=_NEIGHBOURS, output=numbered[inside])
    return numbered, int(count)


def component_volumes(mask: NDArray[np.bool_]) -> list[int]:
    """Count the voxels of each component of a mask (Z, Y, X), largest first; times Geometry.voxel_ml they are mL.

    >>> component_volumes(np.array([[[1, 1, 0, 1]]], bool))
    [2, 1]
    """
    numbered, _ = label_components(mask)
    return sorted((int(n) for n in np.bincount(numbered.ravel())[1:]), reverse=True)


def keep_largest(mask: NDArray[np.uint8], names: Iterable[str], labels: Mapping[str, int]) -> NDArray[np.uint8]:
    """Take all but the largest component out of each of these labels.

    Of equally large components the first in memory is kept.

    Args:
        mask: label values (Z, Y, X); it is left as it is.
        names: labels to clean; others are not touched.
        labels: label name -> value.

    Example:
        >>> keep_largest(np.array([[[1, 1, 0, 1]]], np.uint8), ["lesion"], {"background": 0, "lesion": 1})
        array([[[1, 1, 0, 0]]], dtype=uint8)
    """
    cleaned = mask.copy()
    for name in names:
        take_out(cleaned, _smaller(mask_of(mask, labels, name)), labels, name)
    return cleaned


def _smaller(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of all components but the largest."""
    numbered, count = label_components(inside)
    if count < 2:
        return np.zeros_like(inside)
    largest = 1 + int(np.argmax(np.bincount(numbered.ravel())[1:]))
    smaller: NDArray[np.bool_] = (numbered != 0) & (numbered != largest)
    return smaller


def apply_postprocessing(
    mask: NDArray[np.uint8], postprocessing: PostProcessing | None, labels: Mapping[str, int]
) -> NDArray[np.uint8]:
    """Clean a predicted mask (Z, Y, X) as was decided; None leaves it as it is.

    Args:
        labels: label name -> value.
    """
    if postprocessing is None:
        return mask
    if postprocessing.together:
        mask = np.where(_smaller(mask != 0), np.uint8(0), mask)
    if not postprocessing.keep_largest:
        return mask
    return keep_largest(mask, postprocessing.keep_largest, labels)


@dataclass(frozen=True)
class Components:
    """The connected components of a mask, numbered by size: the lesions of one scan.

    Args:
        numbered: (Z, Y, X), 0 outside; 1 is the largest lesion.
        voxels: of each lesion.
        places: voxels [N, 3] (Z, Y, X) of all lesions, and the number of each [N].
        geometry: the grid.
    """

    numbered: NDArray[np.int32]
    voxels: NDArray[np.int64]
    places: tuple[NDArray[np.int64], NDArray[np.int32]]
    geometry: Geometry

    @classmethod
    def of(cls, mask: NDArray[np.bool_], geometry: Geometry) -> Components:
        """Number the components of a mask (Z, Y, X); of equal ones the first in memory comes first."""
        found, _ = label_components(mask)
        sizes = np.bincount(found.ravel())[1:]
        order = np.argsort(-sizes, kind="stable")
        number = np.zeros(len(sizes) + 1, dtype=np.int32)
        number[order + 1] = np.arange(1, len(sizes) + 1)
        numbered = number[found]
        places = np.argwhere(numbered)
        return cls(numbered, sizes[order], (places, numbered[tuple(places.T)]), geometry)

    @property
    def count(self) -> int:
        return len(self.voxels)

    def volume_ml(self, numbers: tuple[int, ...]) -> float:
        """Return the volume of several components together, mL."""
        return float(sum(int(self.voxels[number - 1]) for number in numbers)) * self.geometry.voxel_ml
