"""What the planner knows of a cohort."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Axes, Geometry, Shape, Spacing, order_along, picked
from vmseg_auto.utils.histogram import Histogram
from vmseg_auto.utils.json_codec import Stored, digest
from vmseg_auto.utils.labels import Labels, check_labels

Profile = tuple[float, ...]
"""How a scan's intensities are distributed, whatever their scale: where PROFILE_PERCENTILES lie between dark and bright
(preprocessing/normalise.py), from 0 to 1."""
PROFILE_PERCENTILES = (10, 25, 50, 75, 90)
AGREED = 0.9
"""Share of the scans that must be stored alike for the others to be turned as they are."""


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
        patient_axes: for each of the file's axes, the patient's that it runs closest to (`Geometry.patient_axes`).
        profiles: of each channel, empty of one that is missing; none in workspaces from before they were kept.
        ignored_voxels: that nobody has annotated, of the file.
    """

    shape: Shape
    cropped_shape: Shape
    spacing_mm: Spacing
    class_voxels: dict[int, int]
    content: str
    image_content: str = ""
    patient_axes: Axes = (2, 1, 0)
    profiles: tuple[Profile, ...] = ()
    ignored_voxels: int = 0

    def along(self, patient_axes: Axes) -> CaseSummary:
        """Return the case with its axes in the order of these of the patient's."""
        order = order_along(self.patient_axes, patient_axes)
        return replace(
            self,
            shape=picked(self.shape, order),
            cropped_shape=picked(self.cropped_shape, order),
            spacing_mm=picked(self.spacing_mm, order),
            patient_axes=patient_axes,
        )

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of the channels that the case has no image of."""
        return tuple(number for number, profile in enumerate(self.profiles) if not profile)

    @property
    def annotated_share(self) -> float:
        """Share of the file's voxels that somebody has annotated."""
        return 1 - self.ignored_voxels / math.prod(self.shape)

    @property
    def volume_ml(self) -> float:
        """All foreground, in mL. Of a mask annotated in part, an estimate: as if the rest held as much."""
        z, y, x = self.spacing_mm
        return sum(self.class_voxels.values()) * z * y * x / 1000 / self.annotated_share

    @property
    def relative_size(self) -> float:
        """Share of the voxels that cropping leaves."""
        return math.prod(self.cropped_shape) / math.prod(self.shape)


@dataclass(frozen=True)
class FileHashes:
    """Hashes of a case's files, and of its image files alone."""

    content: str
    image_content: str


@dataclass(frozen=True)
class ScanRange:
    """The smallest and largest of a cohort's scans, along the axes (Z, Y, X) as most of the files have them, in mm.

    Args:
        spacing_mm: lowest and highest spacing.
        extent_mm: lowest and highest field of view.
        profiles: lowest and highest intensity profile of each channel; none where they are not known.
        patient_axes: the patient's axis that each runs closest to; None where scans are taken as they are stored.
    """

    spacing_mm: tuple[Spacing, Spacing]
    extent_mm: tuple[Spacing, Spacing]
    profiles: tuple[tuple[Profile, Profile], ...] = ()
    patient_axes: Axes | None = None

    MARGIN: ClassVar[float] = 0.25
    """How far beyond, as a share, a scan's grid still counts as alike."""
    PROFILE_MARGIN: ClassVar[float] = 0.1
    """How far beyond a scan's intensity profile does, of the way from dark to bright."""

    def unlike(self, scan: Geometry, profiles: Sequence[Profile]) -> list[str]:
        """Describe what sets a scan apart from the cohort; empty where nothing does."""
        return [*self._unlike_grid(scan), *self._unlike_intensities(profiles)]

    def _unlike_grid(self, scan: Geometry) -> Iterator[str]:
        order = (0, 1, 2) if self.patient_axes is None else order_along(scan.patient_axes, self.patient_axes)
        z, y, x = (n * mm for n, mm in zip(scan.shape, scan.spacing_mm, strict=True))
        for name, stored, (low, high) in (
            ("spacing", scan.spacing_mm, self.spacing_mm),
            ("field of view", (z, y, x), self.extent_mm),
        ):
            values = picked(stored, order)
            for axis, value, least, most in zip("zyx", values, low, high, strict=True):
                if not least / (1 + self.MARGIN) <= value <= most * (1 + self.MARGIN):
                    yield f"{name} along {axis} {value:.4g} mm, in the cohort {least:.4g} to {most:.4g} mm"

    def _unlike_intensities(self, profiles: Sequence[Profile]) -> Iterator[str]:
        """Describe for each channel the percentile that lies furthest outside."""
        for number, (profile, (low, high)) in enumerate(zip(profiles, self.profiles, strict=False), 1):
            if not profile:
                continue
            rows = list(zip(PROFILE_PERCENTILES, profile, low, high, strict=True))
            percent, value, least, most = max(rows, key=lambda row: max(row[2] - row[1], row[1] - row[3]))
            if not least - self.PROFILE_MARGIN <= value <= most + self.PROFILE_MARGIN:
                yield (
                    f"intensities of channel {number}: {percent} % of the voxels lie below {100 * value:.0f} % of the "
                    f"way from dark to bright, in the cohort below {100 * least:.0f} to {100 * most:.0f} %"
                )


@dataclass(frozen=True)
class ChannelStats:
    """Intensities of one channel over foreground voxels, a fixed number of samples a case.

    The histogram is of the same samples; None in workspaces from before it was kept.
    """

    mean: float
    median: float
    std: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float
    histogram: Histogram | None = None


@dataclass(frozen=True)
class Duplicate:
    """Two scans that are the same image.

    Args:
        cases: case ids; test cases as "imagesTs/ID".
        kind: every voxel is equal, or they differ in intensity scale, noise or an edge alone.
    """

    cases: tuple[str, str]
    kind: Literal["identical", "nearly identical"]


@dataclass(frozen=True)
class Fingerprint(Stored):
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
        tests: validation case id -> hashes of its files as they were checked; nothing is planned by them.
        parts: hashes of the cohorts that it was merged from; empty where it was not.
    """

    dataset: str
    channels: tuple[str, ...]
    labels: Labels
    cases: dict[str, CaseSummary]
    channel_stats: tuple[ChannelStats, ...]
    median_relative_size: float
    dataset_hash: str
    duplicates: tuple[Duplicate, ...] = ()
    tests: dict[str, FileHashes] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    schema: int = 3

    @property
    def patient_axes(self) -> Axes | None:
        """The patient's axis that each axis of the files runs closest to; None where nine in ten do not agree on it."""
        ((common, number),) = Counter(case.patient_axes for case in self.cases.values()).most_common(1)
        return common if number >= AGREED * len(self.cases) else None

    @property
    def turned_cases(self) -> dict[str, CaseSummary]:
        """Case id -> summary along the axes that nine in ten files have; as stored where they do not agree."""
        common = self.patient_axes
        return {name: case if common is None else case.along(common) for name, case in self.cases.items()}

    @property
    def scans(self) -> ScanRange:
        cases = self.turned_cases.values()
        spacings = [case.spacing_mm for case in cases]
        extents = [tuple(n * mm for n, mm in zip(case.shape, case.spacing_mm, strict=True)) for case in cases]
        channels = zip(*(case.profiles for case in cases), strict=False)
        known = ([profile for profile in channel if profile] for channel in channels)
        profiles = tuple((_lowest(channel), _highest(channel)) for channel in known)
        grids = (_least(spacings), _most(spacings)), (_least(extents), _most(extents))
        return ScanRange(*grids, profiles, self.patient_axes)

    @property
    def mergeable(self) -> bool:
        """Whether it holds what merging takes, as all do but those from before there was merging."""
        return all(stats.histogram is not None for stats in self.channel_stats)

    def shared(self) -> Fingerprint:
        """Return the same cohort in numbers alone, to be given away: no names of cases or of the dataset, in no order
        of theirs, no hashes of files, and nothing of which scans are the same.
        """
        return replace(self, dataset="", cases=numbered(list(self.cases.values())), duplicates=(), tests={})

    def check(self, where: str) -> None:
        check_labels(self.labels, f"{where}: labels")
        if not self.cases or len(self.channel_stats) != len(self.channels):
            remedy = "Delete the file and run `vmseg_plan_and_preprocess` again."
            raise InputError(f"{where} has no case, or not the numbers of each channel", remedy=remedy)


def numbered(cases: Sequence[CaseSummary]) -> dict[str, CaseSummary]:
    """Return the cases by number, without hashes of their files, ordered by what is left."""
    bare = sorted((replace(case, content="", image_content="") for case in cases), key=digest)
    return {f"scan_{number:04d}": case for number, case in enumerate(bare, 1)}


def _least(rows: Sequence[tuple[float, ...]]) -> Spacing:
    z, y, x = _lowest(rows)
    return z, y, x


def _most(rows: Sequence[tuple[float, ...]]) -> Spacing:
    z, y, x = _highest(rows)
    return z, y, x


def _lowest(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(min(values) for values in zip(*rows, strict=True))


def _highest(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(max(values) for values in zip(*rows, strict=True))
