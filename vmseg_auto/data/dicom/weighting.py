"""What kind of MR image a series is, by its header: for the eye, and to warn of a T1 among T2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vmseg_auto.data.dicom.series import Series

_WORDS = {
    "T1": re.compile(r"(?<![a-z0-9])(?:t1|mprage|vibe|lava|thrive)(?![0-9])", re.IGNORECASE),
    "T2": re.compile(r"(?<![a-z0-9])(?:t2|stir|tirm|haste)(?![0-9])", re.IGNORECASE),
    "PD": re.compile(r"(?<![a-z0-9])pd(?![a-z0-9])", re.IGNORECASE),
}
_FAT = re.compile(r"(?<![a-z])(?:fs|fatsat|fat[ _-]?sat|spair|spir|stir|tirm|dixon)(?![a-z])", re.IGNORECASE)
_NAMED = re.compile(r"(t1|t2|pd)(?![0-9])", re.IGNORECASE)
_PLANES = ("sagittal", "coronal", "axial")


def weighting(series: Series) -> str | None:
    """Return T1, T2 or PD, by TR, TE and TI, and where these tell nothing by SeriesDescription; None where neither
    does.

    A STIR is a T2 here: like it, it shows what is fluid brightly.
    """
    kind = _by_times(series.acquisition.repetition_ms, _echo(series), series.acquisition.inversion_ms)
    return kind or next(iter(weightings_named(series.acquisition.description)), None)


def weightings_named(description: str) -> list[str]:
    """Return which of T1, T2 and PD a SeriesDescription names.

    >>> weightings_named("t2_tse_fs_tra"), weightings_named("localizer")
    (['T2'], [])
    """
    return [name for name, word in _WORDS.items() if word.search(description)]


def wanted_weighting(channel: str) -> str | None:
    """Return T1, T2 or PD, as the name of a channel begins with it; None where it tells none."""
    named = _NAMED.match(channel.strip())
    return named[1].upper() if named else None


def _echo(series: Series) -> float | None:
    return series.echoes_ms[0] if series.slices else None


def _by_times(tr: float | None, te: float | None, ti: float | None) -> str | None:
    if te is None or tr is None or tr <= 0:
        return None
    if te >= 60 or (ti and 80 <= ti <= 300 and tr >= 1200):
        return "T2"
    if te < 40 and (tr < 1200 or (ti and ti > 300)):
        return "T1"
    return "PD" if te < 40 and tr >= 1500 else None


def suppresses_fat(series: Series) -> bool:
    """Return whether options or description say so."""
    return "FS" in series.acquisition.options.split("\\") or bool(_FAT.search(series.acquisition.description))


def plane(series: Series) -> str:
    """Return the anatomical plane that a series' slices lie closest to; empty without slices."""
    if not series.slices:
        return ""
    first = series.slices[0]
    return _PLANES[int(np.argmax(np.abs(np.cross(first.along_row, first.along_column))))]


def unlike(series: Sequence[Series], channel: str) -> list[tuple[Series, str, str]]:
    """Find the series that look otherwise weighted than they should.

    Args:
        channel: what the scans are called, such as T2; where that tells no weighting, most of the series do.

    Returns:
        Series, its weighting, and the one that it should have.
    """
    told = [(one, kind) for one in series if (kind := weighting(one))]
    wanted = wanted_weighting(channel)
    if wanted is None:
        wanted = Counter(kind for _, kind in told).most_common(1)[0][0] if told else ""
    return [(one, kind, wanted) for one, kind in told if kind != wanted]


def times(series: Series) -> str:
    """Write TR and TE in words, as far as they are known."""
    told = [("TR", series.acquisition.repetition_ms), ("TE", _echo(series))]
    return ", ".join(f"{name} {value:g} ms" for name, value in told if value is not None)
