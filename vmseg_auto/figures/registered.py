"""Pictures of scans laid over each other, before and after they were registered: edges that meet tell that they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vmseg_auto.figures.overlays import head_lines, show
from vmseg_auto.figures.plots import save_figure
from vmseg_auto.figures.slices import View, draw_slice, grey_window
from vmseg_auto.utils.geometry import Geometry

SQUARE_MM = 25.0
"""Edge of the squares that show one scan and the other in turns."""
SHARES = (0.3, 0.5, 0.7)
"""Of the slices' stack, where slices are shown."""

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Registered:
    """A scan on the first one's grid.

    Args:
        name: what it is.
        before: (Z, Y, X), by the scanner's coordinates; NaN where it holds nothing.
        after: the same, as it was registered.
        words: how it was moved.
    """

    name: str
    before: Image
    after: Image
    words: str


def draw_registered(first: Image, geometry: Geometry, others: Sequence[Registered], path: Path, heading: str) -> None:
    """Draw slices in which the first scan and another one stand in turns, square by square, into a PNG: for each other
    one a row before and a row after.

    Args:
        first: (Z, Y, X).
        geometry: its grid.
        others: on the same grid.
        path: ends with .png.
        heading: stands above all.

    Raises:
        VmsegError: the file can't be written.
    """
    rows = [
        (f"{other.name}, {when}", image)
        for other in others
        for when, image in (("before", other.before), (f"after: {other.words}", other.after))
    ]
    figure = Figure(figsize=(3.2 * len(SHARES), 3.3 * len(rows) + 0.5), dpi=90, facecolor="black")
    figure.set_layout_engine("constrained")
    panels = figure.subplots(len(rows), len(SHARES), squeeze=False)
    view = View.of(geometry)
    scan = view(_grey(first))
    for line, (title, image) in zip(panels, rows, strict=True):
        other = view(_grey(image))
        for panel, share in zip(line, SHARES, strict=True):
            panel.set_axis_off()
            index = int(share * (len(scan) - 1))
            board = _squares(scan.shape[1:], view.spacing_mm[1:])
            mixed = np.where(board, other[index], scan[index])
            picture = draw_slice(mixed, view.spacing_mm[1:], (0.0, 1.0))
            about = f"{view.plane} slice {view.number(index)}"
            mm = mixed.shape[0] * view.spacing_mm[1] / picture.shape[0]
            show(panel, picture, f"{title}\n{about}" if panel is line[0] else about, view.sides, mm)
    head_lines(figure, heading)
    save_figure(figure, path)


def _grey(image: Image) -> Image:
    """Return the image from 0 (dark) to 1 (bright); 0 where it holds nothing."""
    seen = np.isfinite(image)
    low, high = grey_window(image[seen]) if seen.any() else (0.0, 1.0)
    grey: Image = np.clip((np.where(seen, image, low) - low) / (high - low), 0, 1).astype(np.float32)
    return grey


def _squares(shape: tuple[int, ...], spacing_mm: Sequence[float]) -> NDArray[np.bool_]:
    rows, columns = ((np.arange(n) * mm // SQUARE_MM).astype(int) for n, mm in zip(shape, spacing_mm, strict=True))
    board: NDArray[np.bool_] = (rows[:, None] + columns[None]) % 2 == 1
    return board
