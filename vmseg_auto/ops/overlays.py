"""Pictures with words: slices through the lesions of a scan, with outlines.

Shown are crops around lesions, never a whole head: a preview should not tell whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from vmseg_auto.core.geometry import Geometry
from vmseg_auto.ops.components import label_components
from vmseg_auto.ops.pictures import (
    LABEL_COLOURS,
    Frame,
    Picture,
    View,
    draw_slice,
    frame_around,
    grey_window,
    slices_through,
)
from vmseg_auto.ops.plots import save_figure

MARGIN_MM = 15.0
"""What is shown around a lesion."""
ROWS, ACROSS = 3, 3
"""Lesions shown, and slices of each."""


@dataclass(frozen=True)
class Lesion:
    """A connected component of a label.

    Args:
        label, number: its name in volumes.csv, the largest of a label being 1.
        mask: bool (Z, Y, X).
        volume_ml: in mL.
    """

    label: str
    number: int
    mask: NDArray[np.bool_]
    volume_ml: float


def lesions_of(
    mask: NDArray[np.uint8], geometry: Geometry, labels: Mapping[str, int], most: int = ROWS
) -> tuple[list[Lesion], int]:
    """The largest lesions of a mask (Z, Y, X), `most` at most, and how many more there are."""
    found: list[tuple[int, str, int, int]] = []
    numbered = {name: label_components(mask == value)[0] for name, value in labels.items() if value}
    for name, components in numbered.items():
        voxels = np.bincount(components.ravel())[1:]
        by_size = np.argsort(-voxels, kind="stable")
        found += [(int(voxels[at]), name, rank, int(at) + 1) for rank, at in enumerate(by_size, 1)]
    found.sort(key=lambda one: -one[0])
    shown = [
        Lesion(name, rank, numbered[name] == component, voxels * geometry.voxel_ml)
        for voxels, name, rank, component in found[:most]
    ]
    return shown, len(found) - len(shown)


def draw_overlay(
    image: NDArray[np.float32], mask: NDArray[np.uint8], geometry: Geometry, labels: Mapping[str, int], path: Path
) -> None:
    """Draw slices through the largest lesions, a row each, into a PNG; of a scan without a lesion only that it is so.

    Args:
        image: (Z, Y, X).
        mask: label values (Z, Y, X).
        geometry: their grid.
        labels: label name -> value.
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    lesions, more = lesions_of(mask, geometry, labels)
    figure = Figure(figsize=(3.2 * ACROSS, 3.3 * max(1, len(lesions)) + 0.5), dpi=110, facecolor="black")
    figure.set_layout_engine("constrained")
    panels = figure.subplots(max(1, len(lesions)), ACROSS, squeeze=False)
    for panel in panels.ravel():
        panel.set_axis_off()
    view = View.of(geometry)
    colours = {name: LABEL_COLOURS[(value - 1) % len(LABEL_COLOURS)] for name, value in labels.items() if value}
    masks = [(view(mask == labels[name]), colour) for name, colour in colours.items()]
    for row, lesion in zip(panels, lesions, strict=False):
        for panel, (index, picture, mm) in zip(row, _slices(view, image, lesion, masks), strict=False):
            title = f"{view.plane} slice {view.number(index)}"
            if panel is row[0]:
                title = f"{lesion.label} {lesion.number}: {lesion.volume_ml:.2f} mL\n{title}"
            show(panel, picture, title, view.sides, mm)
    if lesions:
        _legend(figure, colours, f"and {more} smaller ones that are not shown" if more else None)
    else:
        figure.text(0.5, 0.5, "Nothing was found in this scan.", color="white", ha="center", va="center")
    save_figure(figure, path)


def show(panel: Axes, picture: Picture, title: str, sides: Sequence[str], pixel_mm: float) -> None:
    """Put a picture into a panel, with a title, the letters of its borders and a bar of 10 mm."""
    height, width, _ = picture.shape
    panel.imshow(picture, interpolation="nearest")
    panel.set_title(title, color="white", fontsize=9, loc="left", parse_math=False)
    for x, letter in ((0.02, sides[0]), (0.98, sides[1])):
        align = "left" if x < 0.5 else "right"
        panel.text(x, 0.5, letter, color="white", fontsize=9, ha=align, va="center", transform=panel.transAxes)
    bar = 10 / pixel_mm
    panel.plot([0.04 * width, 0.04 * width + bar], [0.96 * height] * 2, color="white", linewidth=2)
    panel.text(0.04 * width, 0.945 * height, "10 mm", color="white", fontsize=7, va="bottom")


def _legend(figure: Figure, colours: Mapping[str, str], heading: str | None) -> None:
    handles = [Line2D([], [], color=colour, linewidth=2) for colour in colours.values()]
    names = [" " * name.startswith("_") + name for name in colours]  # matplotlib leaves out what begins with _
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=4, frameon=False, labelcolor="white", title=heading
    )
    legend.get_title().set_color("white")
    for text in legend.get_texts():
        text.set_parse_math(False)


def _slices(
    view: View, image: NDArray[np.float32], lesion: Lesion, masks: Sequence[tuple[NDArray[np.bool_], str]]
) -> Iterator[tuple[int, Picture, float]]:
    """Index, picture and size of its pixels in mm, for each slice shown of a lesion."""
    seen, scan = view(lesion.mask), view(image)
    frame: Frame = frame_around(seen, view.spacing_mm[1:], MARGIN_MM)
    chosen = slices_through(seen, ACROSS)
    window = grey_window(scan[chosen][:, *frame])
    for index in chosen:
        outlines = [(each[index][frame], colour) for each, colour in masks]
        crop = scan[index][frame]
        picture = draw_slice(crop, view.spacing_mm[1:], window, outlines)
        yield index, picture, crop.shape[0] * view.spacing_mm[1] / picture.shape[0]
