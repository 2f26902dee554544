"""One line for each thing that happens, with the pseudonym of its series, and its identity where that is wanted."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread

from vmseg_auto.data.dicom.elements import hushed
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.utils.console import Console, shown

IDENTITY = ("PatientID", "PatientName", "AccessionNumber", "SeriesDescription")
"""What names a scan to those who may know."""


class Events:
    """Tells what happens to series.

    Args:
        console: where the lines go, and into the command's log.
        queue: of the series.
        with_identity: whether a line also tells whose scan it is.
    """

    def __init__(self, console: Console, queue: Queue, with_identity: bool = False) -> None:
        self._console, self._queue, self._with_identity = console, queue, with_identity

    def say(self, text: str, series: str = "") -> None:
        self._console.say(self._line(text, series))

    def warn(self, text: str, series: str = "") -> None:
        self._console.warn(self._line(text, series))

    def _line(self, text: str, series: str) -> str:
        if not series:
            return text
        images = self._queue.images(series) if self._with_identity else []
        whose = f" ({identity(images[0])})" if images else ""
        return f"{series}{whose}: {text}"


def identity(image: Path) -> str:
    """Return what names the scan of an image, in its header's words."""
    try:
        with hushed():
            header = dcmread(image, stop_before_pixels=True, specific_tags=list(IDENTITY))
            told = [f"{name} {value}" for name in IDENTITY if (value := str(header.get(name) or "").strip())]
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        return "its header can't be read"
    return shown(", ".join(told) or "its header names nobody", lines=False)
