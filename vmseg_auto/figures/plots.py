"""Charts as PNG files, drawn by matplotlib, which is loaded when the first one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmseg_auto.figures.charts import Chart, Point
from vmseg_auto.figures.slices import BLUE, GREEN, ORANGE, SKY_BLUE, VERMILLION
from vmseg_auto.utils.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT, _FAINT = "#333333", "#666666", "#DDDDDD"
_WIDTH, _HEIGHT = 6.4, 4.2
"""Of a chart, in inches."""
STYLES: dict[str, dict[str, Any]] = {
    "band agreement": {"facecolor": BLUE, "alpha": 0.12},
    "band gap": {"facecolor": _SOFT, "alpha": 0.22},
    "line first": {"color": BLUE},
    "line second": {"color": ORANGE, "linestyle": (0, (4, 2))},
    "line third": {"color": GREEN, "linestyle": (0, (7, 2, 1, 2))},
    "line forecast": {"color": BLUE, "linestyle": (0, (4, 2))},
    "line limit": {"color": VERMILLION, "linestyle": (0, (1, 1.5)), "linewidth": 2.4},
    "line bar": {"color": SKY_BLUE, "linewidth": 3.5, "alpha": 0.5, "solid_capstyle": "butt"},
    "dot first": {"color": BLUE},
    "dot second": {"color": ORANGE},
    "dot third": {"color": GREEN},
    "dot reference": {"color": _INK},
    "dot odd": {"color": VERMILLION, "marker": "X", "markersize": 6.5},
}
"""Kind of what is drawn -> how it looks."""


def write_charts(charts: Sequence[Chart], path: Path) -> None:
    """Draw charts beside one another into a PNG, whole or not at all.

    Args:
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH * len(charts), _HEIGHT), dpi=110, layout="constrained")
    for panel, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        _draw(panel, chart)
    save_figure(figure, path)


def _draw(panel: Axes, chart: Chart) -> None:
    """Draw a chart, whose axes lay values out themselves: a panel goes from 0 to 1."""
    for mark in chart.marks:
        artist = _artist(mark.kind, mark.points)
        panel.add_artist(artist)
        artist.set_clip_on(False)
    panel.set(xlim=(0, 1), ylim=(0, 1))
    for axis, set_ticks in ((chart.x, panel.set_xticks), (chart.y, panel.set_yticks)):
        ticks = axis.ticks()
        set_ticks([axis.share(value) for value, _ in ticks], [text for _, text in ticks], color=_SOFT)
    panel.set_xlabel(chart.x.title, color=_INK)
    panel.set_ylabel(chart.y.title, color=_INK)
    panel.set_title(chart.title, loc="left", fontsize=10, color=_INK)
    panel.grid(axis="y", color=_FAINT, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    if chart.legend:
        handles = [_artist(kind, ((0, 0),)) for kind in chart.legend]
        panel.legend(
            handles,
            list(chart.legend.values()),
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=min(3, len(handles)),
            frameon=False,
            fontsize=8,
        )


def _artist(kind: str, points: Sequence[Point]) -> Artist:
    """Return what is drawn of a mark."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon

    words = kind.split()
    style = STYLES[" ".join(words[:2])]
    if words[0] == "band":
        return Polygon(points, **style)
    x, y = zip(*points, strict=True)
    if words[0] == "dot":
        return Line2D(x, y, **{"linestyle": "", "marker": "o", "markersize": 4.5, "zorder": 3, **style})
    return Line2D(x, y, **{"linewidth": 1.0 if "thin" in words else 1.8, **style})


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all.

    Raises:
        VmsegError: the file can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
