"""How a patient lies in one scan compared with another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RigidTransform:
    """A rigid transform: what lies at p in the first scan's world lies at rotation * p + shift in the second's.

    Args:
        rotation: the nine numbers of the matrix, row by row.
        shift_mm: in world order (x, y, z).

    Example:
        >>> RigidTransform((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)).degrees
        90.0
    """

    rotation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    shift_mm: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def degrees(self) -> float:
        """The angle turned, about whatever axis."""
        trace = self.rotation[0] + self.rotation[4] + self.rotation[8]
        return math.degrees(math.acos(min(1.0, max(-1.0, (trace - 1) / 2))))

    @property
    def inverse(self) -> RigidTransform:
        """From the second scan's world to the first's."""
        back = np.array(self.rotation).reshape(3, 3).T
        return RigidTransform(tuple(back.ravel().tolist()), tuple((-back @ self.shift_mm).tolist()))
