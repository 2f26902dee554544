"""What a metric is: a function of a predicted mask and its reference, and what its column of metrics.csv means.

docs/metrics.md says more of each; docs/extending/metric.md adds one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vmseg_auto.evaluation.metrics.pair import MaskPair

PENALTY_MM = 374.0
"""What a distance counts where one mask is empty: as in BraTS 2023, the diagonal of its images."""
TOLERANCE_MM = 1.0
"""Of the NSD, unless another is asked for."""
LESIONS = "vmseg_auto, components by scipy.ndimage.label, 26 neighbours"
SURFACES = (
    "vmseg_auto (evaluation/surfaces.py: smoothed triangles by skimage.measure.marching_cubes; scipy.spatial.KDTree)"
)

Unit = Literal["", "mm", "mL", "%", "per scan"]
Better = Literal["higher", "lower", "nearer to 0", ""]


@dataclass(frozen=True)
class Metric:
    """A column of the table, and how its values are computed.

    Args:
        name: the column.
        title: as people read it, with the unit.
        definition: in words.
        of: gives the value; NaN where there is none (`may_lack`).
        group: Overlap, Distances, Volumes, Lesions: its section in docs/metrics.md.
        unit: empty for shares and other plain numbers.
        better: which values are; empty of what says nothing on how good a mask is.
        low, high: ends of what is possible.
        may_lack: whether some masks have no value.
        digits: after the point, where people read it.
        computed_by: the implementation.
        on_screen: whether the commands show it; all are in the files and in the report.
        at_tolerance: whether it depends on the tolerance of surfaces.
    """

    name: str
    title: str
    definition: str
    of: Callable[[MaskPair], float]
    group: str
    unit: Unit = ""
    better: Better = "higher"
    low: float = 0.0
    high: float = 1.0
    may_lack: bool = False
    digits: int = 3
    computed_by: str = "vmseg_auto, numpy"
    on_screen: bool = False
    at_tolerance: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def meaning(self) -> str:
        """The definition, and which values are better."""
        return f"{self.definition}; {self.better} is better" if self.better else self.definition

    def heading(self, tolerance_mm: float) -> str:
        """Return the title, with the tolerance where the metric depends on it."""
        return f"{self.title} at {tolerance_mm:g} mm" if self.at_tolerance else self.title

    def may_be(self, value: float) -> bool:
        """Return whether a mask can have this value."""
        return self.may_lack if math.isnan(value) else self.low <= value <= self.high
