"""DICOM series: the slices that form a scan, as their headers describe them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

Vector = tuple[float, float, float]
"""World order (x, y, z), as DICOM and ITK give it."""


@dataclass(frozen=True)
class PixelFormat:
    """How a pixel is stored; the slices of one series agree on it. `rescaled`: the header gives slope and intercept."""

    bits_allocated: int
    bits_stored: int
    signed: bool
    rescaled: bool
    transfer_syntax: str


@dataclass(frozen=True)
class Slice:
    """One image of a series. What could name a patient is never kept.

    Args:
        file: a path on the disk, or ZIP/MEMBER for a file within a zip.
        frame: its number in a multi-frame file, from 0; 0 in a file of one image.
        shape: pixels along (Y, X).
        spacing_mm: distance of pixels along (Y, X).
        position_mm: centre of the first pixel.
        along_row: direction cosines in which X grows.
        along_column: direction cosines in which Y grows.
        slope, intercept: stored number * slope + intercept is the image's value.
        pixels: how a pixel is stored.
        examination: a hash of what tells examinations apart; only ever compared.
        patient: hashes of what tells patients apart (id, day of birth); empty where the header tells nothing. Only
            ever compared, and never stored.
        days: of study, series and acquisition, as YYYYMMDD; likewise. Only their order is ever told.
        padding: the lowest and the highest stored number that stand for no measurement, where the header tells so.
        echo_ms: echo time, where the header tells it.
        thickness_mm: SliceThickness, where the header tells it.
        apart_mm: SpacingBetweenSlices, where the header tells it.
    """

    file: Path
    frame: int
    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    position_mm: Vector
    along_row: Vector
    along_column: Vector
    slope: float
    intercept: float
    pixels: PixelFormat
    examination: str
    echo_ms: float | None = None
    thickness_mm: float | None = None
    apart_mm: float | None = None
    patient: tuple[str, ...] = field(default=(), repr=False)
    days: tuple[str, ...] = field(default=(), repr=False)
    padding: tuple[int, int] | None = None


@dataclass(frozen=True)
class Acquisition:
    """How a series was taken, in its header's words. It is shown on the screen and compared, and never stored.

    Args:
        study: a hash of what is equal for the series of one study.
        number: SeriesNumber; 0 where there is none.
        description: SeriesDescription, which can name a patient.
        sequence: ScanningSequence, such as SE or GR.
        options: ScanOptions, such as FS.
        repetition_ms, inversion_ms: TR and TI.
    """

    study: str = ""
    number: int = 0
    description: str = ""
    sequence: str = ""
    options: str = ""
    repetition_ms: float | None = None
    inversion_ms: float | None = None


@dataclass(frozen=True)
class Series:
    """A scan of several slices. Whether they form a volume is for `data.dicom.stack` to say.

    Args:
        name: made from the user's folder and file names, never from a header.
        path: the folder or file that holds it, as the user knows it.
        slices: sorted along their normal.
        echo: the echo that was chosen, from 1 (the shortest echo time), where the series has several.
        refusal: why it can't be used, where its files alone tell.
        acquisition: how it was taken.
    """

    name: str
    path: Path
    slices: tuple[Slice, ...]
    echo: int | None = None
    refusal: str | None = None
    acquisition: Acquisition = field(default_factory=Acquisition, compare=False, repr=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files in slice order, each once."""
        return tuple(dict.fromkeys(one.file for one in self.slices))

    @property
    def source(self) -> Path:
        """Its first file by name, or what holds it, by which it is told from all others."""
        return min(self.files, default=self.path)

    @property
    def echoes_ms(self) -> tuple[float | None, ...]:
        """The different echo times, ascending; None for slices whose header tells none."""
        return tuple(sorted({one.echo_ms for one in self.slices}, key=lambda echo: (echo is None, echo)))


@dataclass(frozen=True)
class Choice:
    """Which series are wanted.

    Args:
        series: names or descriptions (SeriesDescription), or patterns of them such as "*_T2"; empty for all.
        echo: of series with several, from 1 (the shortest echo time).
    """

    series: tuple[str, ...] = ()
    echo: int | None = None


Scan = Path | Series
"""One channel of a case: an image file, or a DICOM series."""


def path_of(scan: Scan) -> Path:
    """Return the file or folder to name in a message."""
    return scan.path if isinstance(scan, Series) else scan
