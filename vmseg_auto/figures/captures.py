"""Pages for archives that show nothing but pictures: one that sums up, then slices with outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vmseg_auto.figures.overlays import draw_legend, overlay_figure, show
from vmseg_auto.figures.slices import Picture, View, draw_slice, grey_window, label_colours, slices_through
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.label_masks import mask_of

MOST_SLICES = 24
PIXELS = 768
"""Of a page's rows and columns."""
_DPI = 96


def draw_pages(
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    words: Sequence[str],
) -> NDArray[np.uint8]:
    """Draw the pages of a scan: `words` above slices through the largest lesions, then whole slices with outlines.

    Shown are all slices in which there is a lesion, or MOST_SLICES of them, spread evenly over its volume.

    Args:
        image: (Z, Y, X).
        mask: label values (Z, Y, X).
        geometry: their grid.
        labels: label name -> value.
        words: lines of the first page.

    Returns:
        uint8 [pages, PIXELS, PIXELS, 3].
    """
    inches = PIXELS / _DPI, PIXELS / _DPI
    pages = [_picture(overlay_figure(image, mask, geometry, labels, "\n".join(words), inches))]
    view = View.of(geometry)
    scan, found = view(image), view(mask)
    window = grey_window(image)
    colours = label_colours(labels)
    lesions = np.flatnonzero((found > 0).any(axis=(1, 2))).tolist()
    for index in lesions if len(lesions) <= MOST_SLICES else slices_through(found > 0, MOST_SLICES):
        outlines = [(mask_of(found[index], labels, name), colour) for name, colour in colours.items()]
        picture = draw_slice(scan[index], view.spacing_mm[1:], window, outlines, pixels=PIXELS)
        figure = Figure(figsize=inches, facecolor="black")
        figure.set_layout_engine("constrained")
        panel = figure.subplots()
        panel.set_axis_off()
        pixel_mm = scan.shape[1] * view.spacing_mm[1] / picture.shape[0]
        show(panel, picture, f"{words[0]}\n{view.plane} slice {view.number(index)}", view.sides, pixel_mm)
        draw_legend(figure, colours, None)
        pages.append(_picture(figure))
    return np.stack(pages)


def _picture(figure: Figure) -> Picture:
    FigureCanvasAgg(figure)
    pixels = BytesIO()
    figure.savefig(pixels, format="raw", dpi=_DPI, facecolor="black")
    return np.frombuffer(pixels.getvalue(), np.uint8).reshape(PIXELS, PIXELS, 4)[..., :3]
