"""Pictures with words: slices through the lesions of a scan, with outlines.

Shown is what lies within a margin of the lesions (`slices.near_lesions`), and black beyond; the demo's phantoms, which
are nobody, are shown whole (`draw_outlines`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from vmseg_auto.figures.plots import save_figure
from vmseg_auto.figures.slices import (
    MARGIN_MM,
    SKY_BLUE,
    VERMILLION,
    Frame,
    Picture,
    View,
    draw_slice,
    frame_around,
    grey_window,
    label_colours,
    near_lesions,
    slices_through,
)
from vmseg_auto.utils.components import Components
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.label_masks import mask_of

ROWS, ACROSS = 3, 3
"""Components shown, and slices of each."""

OutlineCase = tuple[str, NDArray[np.float32], Spacing, NDArray[np.uint8] | None, NDArray[np.uint8] | None]
"""Title, image (Z, Y, X), spacing (Z, Y, X) in mm, reference and prediction (Z, Y, X) where there are any."""


@dataclass(frozen=True)
class Shown:
    """A lesion in a picture.

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
) -> tuple[list[Shown], int]:
    """Return the largest lesions of a mask (Z, Y, X), `most` at most, and how many more there are."""
    found = {name: Components.of(mask_of(mask, labels, name), geometry) for name, value in labels.items() if value}
    ranked = [(one.volume_ml((n,)), name, n) for name, one in found.items() for n in range(1, one.count + 1)]
    ranked.sort(key=lambda lesion: -lesion[0])
    shown = [Shown(name, n, found[name].numbered == n, volume) for volume, name, n in ranked[:most]]
    return shown, len(ranked) - len(shown)


def draw_overlay(
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    path: Path,
    name: str,
) -> None:
    """Draw slices through the largest lesions, a row each, into a PNG; of a scan without a lesion only that it is so.

    Args:
        image: (Z, Y, X).
        mask: label values (Z, Y, X).
        geometry: their grid.
        labels: label name -> value.
        path: ends with .png.
        name: of the case, as it stands in the picture.

    Raises:
        VmsegError: the file can't be written.
    """
    save_figure(overlay_figure(image, mask, geometry, labels, name), path)


def overlay_figure(
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    heading: str,
    inches: tuple[float, float] | None = None,
) -> Figure:
    """Return the picture that `draw_overlay` writes.

    Args:
        image, mask, geometry, labels: as there.
        heading: stands above the slices.
        inches: width and height; as the rows need unless given.
    """
    lesions, more = lesions_of(mask, geometry, labels)
    size = inches or (3.2 * ACROSS, 3.3 * max(1, len(lesions)) + 0.5)
    figure = Figure(figsize=size, dpi=110, facecolor="black")
    figure.set_layout_engine("constrained")
    panels = figure.subplots(max(1, len(lesions)), ACROSS, squeeze=False)
    for panel in panels.ravel():
        panel.set_axis_off()
    view = View.of(geometry)
    colours = label_colours(labels)
    masks = [(view(mask_of(mask, labels, name)), colour) for name, colour in colours.items()]
    for row, lesion in zip(panels, lesions, strict=False):
        for panel, (index, picture, mm) in zip(row, _slices(view, image, lesion, masks), strict=False):
            title = f"{view.plane} slice {view.number(index)}"
            if panel is row[0]:
                title = f"{lesion.label} {lesion.number}: {lesion.volume_ml:.2f} mL\n{title}"
            show(panel, picture, title, view.sides, mm)
    if lesions:
        draw_legend(figure, colours, f"and {more} smaller ones that are not shown" if more else None)
    else:
        figure.text(0.5, 0.5, "Nothing was found in this scan.", color="white", ha="center", va="center")
    head_lines(figure, heading)
    return figure


def show(panel: Axes, picture: Picture, title: str, sides: Sequence[str], pixel_mm: float) -> None:
    """Put a picture into a panel, with a title, the letters of its borders and a bar of 10 mm."""
    height, width, _ = picture.shape
    panel.imshow(picture, interpolation="nearest", origin="upper")  # whatever a matplotlibrc says
    panel.set_title(title, color="white", fontsize=9, loc="left", parse_math=False)
    for x, letter in ((0.02, sides[0]), (0.98, sides[1])):
        align = "left" if x < 0.5 else "right"
        panel.text(x, 0.5, letter, color="white", fontsize=9, ha=align, va="center", transform=panel.transAxes)
    bar = 10 / pixel_mm
    panel.plot([0.04 * width, 0.04 * width + bar], [0.96 * height] * 2, color="white", linewidth=2)
    panel.text(0.04 * width, 0.945 * height, "10 mm", color="white", fontsize=7, va="bottom")


def head_lines(figure: Figure, name: str) -> None:
    """Write the case's name, or several lines, above all panels."""
    lines = "\n".join(shown(line, lines=False) for line in name.split("\n"))
    figure.suptitle(lines, color="white", fontsize=11, ha="left", x=0.01, parse_math=False)


def draw_legend(figure: Figure, colours: Mapping[str, str], heading: str | None) -> None:
    handles = [Line2D([], [], color=colour, linewidth=2) for colour in colours.values()]
    names = [" " * name.startswith("_") + name for name in colours]  # matplotlib leaves out what begins with _
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=4, frameon=False, labelcolor="white", title=heading
    )
    legend.get_title().set_color("white")
    for text in legend.get_texts():
        text.set_parse_math(False)


def _slices(
    view: View, image: NDArray[np.float32], lesion: Shown, masks: Sequence[tuple[NDArray[np.bool_], str]]
) -> Iterator[tuple[int, Picture, float]]:
    """Yield index, picture and size of its pixels in mm, for each slice shown of a lesion."""
    seen, scan = view(lesion.mask), view(image)
    frame: Frame = frame_around(seen, view.spacing_mm[1:], MARGIN_MM)
    chosen = slices_through(seen, ACROSS)
    near = _near(seen, frame, view)
    window = grey_window(scan[:, *frame][near])
    for index in chosen:
        outlines = [(each[index][frame] & near[index], colour) for each, colour in masks]
        crop = np.where(near[index], scan[index][frame], window[0])
        picture = draw_slice(crop, view.spacing_mm[1:], window, outlines)
        yield index, picture, crop.shape[0] * view.spacing_mm[1] / picture.shape[0]


def _near(lesion: NDArray[np.bool_], frame: Frame, view: View) -> NDArray[np.bool_]:
    """Return what may be shown around a lesion, within a frame of each slice."""
    return near_lesions(lesion[:, *frame], view.spacing_mm)


@dataclass(frozen=True)
class Compared:
    """Two times on one grid.

    Args:
        before, after: the scans (Z, Y, X); NaN where the second holds nothing.
        outlines: all lesions at each time (Z, Y, X).
        lesions: titles, and where each lies at either time (Z, Y, X); the largest first.
    """

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    outlines: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    lesions: tuple[tuple[str, NDArray[np.bool_]], ...]

    MOST: ClassVar[int] = 3


def draw_followup(compared: Compared, geometry: Geometry, path: Path, name: str, words: Sequence[str] = ()) -> None:
    """Draw both times side by side into a PNG: a row a lesion, in two slices where there are two.

    The first time's outline stands in both pictures.

    Args:
        geometry: the grid.
        path: ends with .png.
        name: of the pair, as it stands in the picture.
        words: lines that stand under it.

    Raises:
        VmsegError: the file can't be written.
    """
    lesions = [(title, place) for title, place in compared.lesions if place.any()]
    rows = max(1, len(lesions))
    height = 3.4 * rows + 0.5 + 0.2 * len(words)
    figure = Figure(figsize=(12.8, height), dpi=110, layout="constrained", facecolor="black")
    panels = figure.subplots(rows, 4, squeeze=False)
    for panel in panels.ravel():
        panel.set_axis_off()
    view = View.of(geometry)
    for row, (title, place) in zip(panels, lesions, strict=False):
        _draw_times(row, view, compared, view(place), title)
    if not lesions:
        figure.text(0.5, 0.5, "Nothing was found at either time.", color="white", ha="center", va="center")
    draw_legend(figure, {"first scan": SKY_BLUE, "second scan": VERMILLION}, None)
    head_lines(figure, "\n".join([name, *words]))
    save_figure(figure, path)


def _draw_times(row: Sequence[Axes], view: View, compared: Compared, place: NDArray[np.bool_], title: str) -> None:
    before, after = view(compared.before), view(compared.after)
    first, second = (view(mask) for mask in compared.outlines)
    frame = frame_around(place, view.spacing_mm[1:], MARGIN_MM)
    spacing = view.spacing_mm[1:]
    near = _near(place, frame, view)
    for number, index in enumerate(slices_through(place, 2)):
        old, new = (first[index][frame] & near[index], SKY_BLUE), (second[index][frame] & near[index], VERMILLION)
        for panel, scan, outlines, when in (
            (row[2 * number], before, [old], "first"),
            (row[2 * number + 1], after, [old, new], "second"),
        ):
            whole = np.nan_to_num(scan[index][frame], nan=float(np.nanmin(scan)))
            window = grey_window(whole[near[index]])
            crop = np.where(near[index], whole, window[0])
            picture = draw_slice(crop, spacing, window, outlines)
            about = f"{view.plane} slice {view.number(index)}, {when} scan"
            heading = f"{title}\n{about}" if panel is row[0] else about
            show(panel, picture, heading, view.sides, crop.shape[0] * spacing[0] / picture.shape[0])


def draw_outlines(cases: Sequence[OutlineCase], path: Path) -> None:
    """Draw one panel a case into a PNG: the slice with the largest lesion, with both masks' outlines.

    Args:
        cases: at least one.
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    across = len(cases) if len(cases) <= 4 else min((5, 4, 3), key=lambda n: -len(cases) % n)
    down = -(-len(cases) // across)
    figure = Figure(figsize=(3.2 * across, 3.45 * down + 0.45), dpi=130, layout="constrained", facecolor="black")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel, case in zip(panels, cases, strict=False):
        _draw_case(panel, case)
    for panel in panels:
        panel.set_axis_off()
    handles = [
        Line2D([], [], color=SKY_BLUE, linewidth=2.4, label="reference"),
        Line2D([], [], color=VERMILLION, linewidth=1.6, label="prediction"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, labelcolor="white")
    save_figure(figure, path)


def _draw_case(panel: Axes, case: OutlineCase) -> None:
    title, image, (_, dy, dx), reference, prediction = case
    z = _slice_to_show([mask for mask in (reference, prediction) if mask is not None], len(image))
    outlines = [
        (mask[z] != 0, colour) for mask, colour in ((reference, SKY_BLUE), (prediction, VERMILLION)) if mask is not None
    ]
    panel.imshow(draw_slice(image[z], (dy, dx), grey_window(image[z]), outlines, pixels=400), origin="upper")
    panel.set_title(title, color="white", fontsize=9)


def _slice_to_show(masks: Sequence[NDArray[np.uint8]], slices: int) -> int:
    """Return the slice in which the reference (else the prediction) is largest; the middle one where both are empty."""
    for mask in masks:
        areas = np.count_nonzero(mask, axis=(1, 2))
        if areas.any():
            return int(np.argmax(areas))
    return slices // 2
