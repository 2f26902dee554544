"""How undecided a prediction is, voxel by voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def undecided(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy of the mean probabilities of all passes, as a share of the highest there is.

    It is 0 where all passes are sure of the same class, and 1 where all classes are equally likely: because each pass
    is in doubt, or because passes that are sure contradict each other.

    Args:
        probabilities: [K, Z, Y, X], background first, the mean of all passes.

    Returns:
        [Z, Y, X], in steps of a thousandth, which pack well.

    Example:
        >>> undecided(np.array([[1.0, 0.5], [0.0, 0.5]], np.float32).reshape(2, 1, 1, 2))
        array([[[0., 1.]]], dtype=float32)
    """
    entropy = np.zeros(probabilities.shape[1:], dtype=np.float32)
    for one in probabilities:
        entropy -= one * np.log(np.maximum(one, np.finfo(np.float32).tiny))
    share: NDArray[np.float32] = np.round(entropy / np.float32(np.log(len(probabilities))), 3).clip(0, 1)
    return share
