"""Foreground probabilities of validation cases on disk: eight bits each, compressed."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.arrays import UNREADABLE, read_arrays, write_arrays
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Shape


def write_probabilities(path: Path, foreground: NDArray[np.uint8]) -> None:
    """Write the foreground classes' probabilities, whole or not at all.

    Args:
        path: an .npz file. It takes one byte a voxel and class at most, and far less where most is background.
        foreground: uint8 [K - 1, Z, Y, X] in steps of 1/255, on the scan's own grid.

    Raises:
        VmsegError: the disk is full or not writable.
    """
    write_arrays(path, {"foreground": foreground}, compressed=True)


def read_probabilities(path: Path, case: str, classes: int, shape: Shape) -> NDArray[np.uint8]:
    """Read what `write_probabilities` wrote.

    Args:
        path: the .npz file.
        case: for messages.
        classes: foreground classes expected.
        shape: (Z, Y, X) expected.

    Raises:
        InputError: the file is missing or damaged, or of another shape.
    """
    remedy = "Delete this file and run `vmseg_train` for its fold again: it predicts only what is missing."
    try:
        foreground: NDArray[np.uint8] = read_arrays(path, most=classes * prod(shape))["foreground"]
    except FileNotFoundError:
        raise InputError("the file does not exist", case=case, file=path, remedy=remedy) from None
    except UNREADABLE as error:
        raise InputError(f"the file can't be read ({error})", case=case, file=path, remedy=remedy) from error
    if foreground.dtype != np.uint8 or foreground.shape != (classes, *shape):
        raise InputError(
            f"the file holds {foreground.dtype} {foreground.shape}, not uint8 {(classes, *shape)}",
            case=case,
            file=path,
            remedy=remedy,
        )
    return foreground
