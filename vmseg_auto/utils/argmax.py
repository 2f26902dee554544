"""Which class a voxel is of, one class after another: the greatest (inference/argmax.py does the same in torch), or the
last that is there.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def argmax(classes: Iterable[NDArray[np.float32]]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the index of the greatest class at each voxel, and its value; the first counts on a tie.

    All classes need not be in memory at once, as they would be for numpy's own.

    Args:
        classes: at least one, up to 256, of one shape.

    >>> argmax(np.float32([[0, 3, 1], [2, 3, 0]]))[0]
    array([1, 0, 0], dtype=uint8)
    """
    others = iter(classes)
    greatest = next(others).copy()
    index = np.zeros(greatest.shape, dtype=np.uint8)
    for number, values in enumerate(others, 1):
        index[values > greatest] = number
        np.maximum(greatest, values, out=greatest)
    return index, greatest


def last_of(masks: Iterable[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Return the number of the last mask, counted from 1, that is True at each voxel; 0 where none is.

    Args:
        masks: at least one, up to 255, of one shape.

    >>> last_of(np.array([[True, True, False], [False, True, False]]))
    array([1, 2, 0], dtype=uint8)
    """
    others = iter(masks)
    index = next(others).astype(np.uint8)
    for number, mask in enumerate(others, 2):
        index[mask] = number
    return index
