"""What the planner knows of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from vmseg_auto.core.codec import decode, encode
from vmseg_auto.core.geometry import Geometry, Shape, Spacing


@dataclass(frozen=True)
class CaseSummary:
    """One case's grid and content.

    Args:
        shape: voxels (Z, Y, X) of the file.
        cropped_shape: voxels (Z, Y, X) after cropping to the non-zero region.
        spacing_mm: (Z, Y, X) in mm.
        class_voxels: foreground label value -> number of voxels.
        content: hash of the case's image and label files.
        image_content: hash of its image files alone; "" in workspaces from before it was kept.
        left_right: the axis that runs closest to the patient's from right to left; None in workspaces from before.
    """

    shape: Shape
    cropped_shape: Shape
    spacing_mm: Spacing
    class_voxels: dict[int, int]
    content: str
    image_content: str = ""
    left_right: int | None = None

    @property
    def volume_ml(self) -> float:
        """All foreground, in mL."""
        z, y, x = self.spacing_mm
        return sum(self.class_voxels.values()) * z * y * x / 1000


@dataclass(frozen=True)
class ScanRange:
    """The smallest and largest of a cohort's scans, along the files' axes (Z, Y, X), in mm.

    Args:
        spacing_mm: lowest and highest spacing.
        extent_mm: lowest and highest field of view.
    """

    spacing_mm: tuple[Spacing, Spacing]
    extent_mm: tuple[Spacing, Spacing]

    MARGIN: ClassVar[float] = 0.25
    """How far beyond, as a share, a scan still counts as alike."""

    def unlike(self, scan: Geometry) -> list[str]:
        """In words, what sets a scan apart from the cohort; empty where nothing does."""
        extent = tuple(n * mm for n, mm in zip(scan.shape, scan.spacing_mm, strict=True))
        found = []
        for name, values, (low, high) in (
            ("spacing", scan.spacing_mm, self.spacing_mm),
            ("field of view", extent, self.extent_mm),
        ):
            for axis, value, least, most in zip("zyx", values, low, high, strict=True):
                if not least / (1 + self.MARGIN) <= value <= most * (1 + self.MARGIN):
                    found.append(f"{name} along {axis} {value:.4g} mm, in the cohort {least:.4g} to {most:.4g} mm")
        return found


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
class Duplicate:
    """Two scans that are the same image.

    Args:
        cases: case ids; held-out ones as "imagesTs/ID".
        kind: every voxel is equal, or they differ in intensity scale, noise or an edge alone.
    """

    cases: tuple[str, str]
    kind: Literal["identical", "nearly identical"]


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
        duplicates: pairs of the same image, those of one patient too.
    """

    dataset: str
    channels: tuple[str, ...]
    labels: dict[str, int]
    cases: dict[str, CaseSummary]
    channel_stats: tuple[ChannelStats, ...]
    median_relative_size: float
    dataset_hash: str
    duplicates: tuple[Duplicate, ...] = ()
    schema: int = 1

    SCHEMA: ClassVar[int] = 1

    @property
    def scans(self) -> ScanRange:
        spacings = [case.spacing_mm for case in self.cases.values()]
        extents = [
            tuple(n * mm for n, mm in zip(case.shape, case.spacing_mm, strict=True)) for case in self.cases.values()
        ]
        return ScanRange((_least(spacings), _most(spacings)), (_least(extents), _most(extents)))

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: Any, where: str = "fingerprint.json") -> Fingerprint:
        """Raises InputError where a field is missing, unknown or of the wrong type."""
        return decode(cls, data, where)


def _least(rows: Sequence[tuple[float, ...]]) -> Spacing:
    z, y, x = (min(values) for values in zip(*rows, strict=True))
    return z, y, x


def _most(rows: Sequence[tuple[float, ...]]) -> Spacing:
    z, y, x = (max(values) for values in zip(*rows, strict=True))
    return z, y, x
