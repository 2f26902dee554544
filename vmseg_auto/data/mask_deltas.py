"""Masks that hardly differ from another one, kept as their differences from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.arrays import UNREADABLE, read_arrays, write_arrays
from vmseg_auto.utils.errors import InputError

Mask = NDArray[np.uint8]
_MOST_MASKS = 32


def write_mask_deltas(path: Path, masks: Sequence[Mask]) -> None:
    """Keep where and how all masks but the first differ from the first.

    Args:
        path: ends with .npz.
        masks: at least one; all of one shape.

    Raises:
        VmsegError: the file can't be written.
    """
    arrays: dict[str, Any] = {}
    for number, mask in enumerate(masks[1:], 1):
        places = np.flatnonzero(mask != masks[0])
        arrays |= {f"places_{number}": places, f"values_{number}": mask.ravel()[places]}
    write_arrays(path, arrays, compressed=True)


def read_mask_deltas(path: Path, first: Mask) -> list[Mask]:
    """Read all the masks again, the first included.

    Raises:
        InputError: the file is missing or damaged, or belongs to another mask.
    """
    masks = [first]
    try:
        data = read_arrays(path, most=_MOST_MASKS * 9 * first.size)
        for number in range(1, len(data) // 2 + 1):
            mask = first.copy()
            mask.ravel()[data[f"places_{number}"]] = data[f"values_{number}"]
            masks.append(mask)
    except UNREADABLE as error:
        raise InputError(
            f"the file can't be used ({error})", file=path, remedy="Delete it: the case is then predicted again."
        ) from error
    return masks
