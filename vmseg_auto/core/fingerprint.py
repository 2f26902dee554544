"""What the planner knows of a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vmseg_auto.core.codec import decode, encode
from vmseg_auto.core.geometry import Shape, Spacing


@dataclass(frozen=True)
class CaseSummary:
    """One case's grid and content.

    Args:
        shape: voxels (Z, Y, X) of the file.
        cropped_shape: voxels (Z, Y, X) after cropping to the non-zero region.
        spacing_mm: (Z, Y, X) in mm.
        class_voxels: foreground label value -> number of voxels.
        content: hash of the case's image and label files.
    """

    shape: Shape
    cropped_shape: Shape
    spacing_mm: Spacing
    class_voxels: dict[int, int]
    content: str


@dataclass(frozen=True)
class ChannelStats:
    """Intensities of one channel over foreground voxels, a fixed number of samples a case."""

    mean: float
    median: float
    std: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float


@dataclass(frozen=True)
class Fingerprint:
    """Everything that planning depends on, a pure function of the dataset.

    Args:
        dataset: the dataset's name.
        channels: channel names in order.
        labels: label name -> value, background 0 included.
        cases: case id -> summary.
        channel_stats: one for each channel.
        median_relative_size: median over cases of (voxels after cropping / voxels before).
        dataset_hash: hash of all the cases' contents, channels and labels.
    """

    dataset: str
    channels: tuple[str, ...]
    labels: dict[str, int]
    cases: dict[str, CaseSummary]
    channel_stats: tuple[ChannelStats, ...]
    median_relative_size: float
    dataset_hash: str
    schema: int = 1

    SCHEMA: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: Any, where: str = "fingerprint.json") -> Fingerprint:
        """Raises InputError where a field is missing, unknown or of the wrong type."""
        return decode(cls, data, where)
