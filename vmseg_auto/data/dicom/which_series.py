"""Which series of a study are taken: shown as a table on the screen, with a word where one is of another kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vmseg_auto.data.dicom.series import Scan, Series
from vmseg_auto.data.dicom.weighting import plane, suppresses_fat, times, unlike, weighting
from vmseg_auto.utils.console import Console, columns, shown

_HEAD = ("series", "slices", "plane", "TR", "TE", "fat suppressed", "looks like", "SeriesDescription")


def show_series(scans: Iterable[Scan], channel: str, console: Console) -> None:
    """Show the series of studies that hold several, and warn of those that look otherwise weighted than the channel.

    SeriesDescription goes to the screen alone: it can name a patient.

    Args:
        channel: what the scans are called, such as T2.
    """
    series = [one for one in scans if isinstance(one, Series)]
    counts = Counter(one.acquisition.study for one in series)
    if several := [one for one in series if counts[one.acquisition.study] > 1]:
        console.show("Studies with several series; --series chooses by name or SeriesDescription:")
        console.show(columns([_HEAD, *map(_row, several)]))
    for one, kind, wanted in unlike(series, channel):
        told = f" ({shown})" if (shown := times(one)) else ""
        console.warn(
            f"{one.name} looks {kind}-weighted{told}, and {wanted} is wanted: measures of it would be of no worth. "
            "Choose the right series with --series."
        )


def _row(one: Series) -> tuple[str, ...]:
    repetition, echoes = one.acquisition.repetition_ms, [echo for echo in one.echoes_ms if echo is not None]
    return (
        one.name,
        str(len(one.slices)),
        plane(one),
        "" if repetition is None else f"{repetition:g}",
        ", ".join(f"{echo:g}" for echo in echoes),
        "yes" if suppresses_fat(one) else "",
        weighting(one) or "",
        shown(one.acquisition.description, lines=False),
    )
