"""Pictures: the course of a training, masks as outlines on slices, Dice by uncertainty.

Colours are Okabe and Ito's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vmseg_auto.core.geometry import Spacing
from vmseg_auto.core.trust import Calibration
from vmseg_auto.io.atomic import replacing

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
SKY_BLUE, VERMILLION = "#56B4E9", "#D55E00"
_INK, _FAINT = "#333333", "#DDDDDD"

OutlineCase = tuple[str, NDArray[np.float32], Spacing, NDArray[np.uint8] | None, NDArray[np.uint8] | None]
"""Title, image (Z, Y, X), spacing (Z, Y, X) in mm, reference and prediction (Z, Y, X) where there are any."""


def draw_curve(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw losses (left) and validation Dice (right) over epochs into a PNG, whole or not at all.

    Args:
        history: rows with epoch, train_loss, val_loss and val_dice; NaN leaves a gap.
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    epochs = _column(history, "epoch")
    figure = Figure(figsize=(10, 3.8), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    _line(left, epochs, _column(history, "train_loss"), BLUE, "training")
    _line(left, epochs, _column(history, "val_loss"), ORANGE, "validation")
    _finish(left, "Loss")
    dice = _column(history, "val_dice")
    _line(right, epochs, dice, GREEN, "validation")
    right.set_ylim(0, 1)
    title = "Dice of validation patches"
    if np.isfinite(dice).any():
        best = int(np.nanargmax(dice))
        title += f"; best {dice[best]:.3f} in epoch {epochs[best]:.0f}"
    _finish(right, title)
    _save(figure, path)


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
    _save(figure, path)


def draw_trust(expected: NDArray[np.float64], dice: NDArray[np.float64], calibration: Calibration, path: Path) -> None:
    """Draw held-out cases, their Dice over the one that was to be expected, and the interval around it, into a PNG.

    Args:
        expected, dice: one a case. The fifth with the lowest Dice is marked, and the least certain three tenths.
        calibration: whose interval is drawn.
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    figure = Figure(figsize=(6.4, 4.4), dpi=110, layout="constrained")
    panel = figure.subplots()
    grid = np.linspace(0, 1, 101)
    low, high = np.maximum(grid - calibration.below, 0), np.minimum(grid + calibration.above, 1)
    panel.fill_between(grid, low, high, color=SKY_BLUE, alpha=0.2, linewidth=0, label="interval of four in five")
    panel.plot(grid, grid, color=BLUE, linewidth=1.4, label="as expected")
    worst = np.zeros(len(dice), dtype=bool)
    worst[np.argsort(dice, kind="stable")[: len(dice) // 5]] = True
    for chosen, colour, label in ((~worst, _INK, "held-out case"), (worst, VERMILLION, "lowest fifth by Dice")):
        panel.scatter(expected[chosen], dice[chosen], s=22, color=colour, label=label, zorder=3)
    if least := 3 * len(dice) // 10:
        edge = float(np.sort(expected)[least - 1])
        panel.axvspan(0, edge, color=_FAINT, alpha=0.6, zorder=0, label="least certain three tenths")
    panel.set(xlim=(-0.02, 1), ylim=(-0.02, 1))
    panel.set_xlabel("expected Dice, told by other patients' cases", color=_INK)
    panel.set_title(f"Dice of {len(dice)} held-out cases", loc="left", fontsize=10, color=_INK)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, loc="upper left")
    _save(figure, path)


def _draw_case(panel: Axes, case: OutlineCase) -> None:
    title, image, (_, dy, dx), reference, prediction = case
    z = _slice_to_show([mask for mask in (reference, prediction) if mask is not None], len(image))
    low, high = np.percentile(image[z], (0.5, 99.5))
    panel.imshow(image[z], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=dy / dx, interpolation="bilinear")
    for mask, colour, width in ((reference, SKY_BLUE, 2.4), (prediction, VERMILLION, 1.6)):
        if mask is not None and mask[z].any():
            panel.contour(mask[z] != 0, levels=[0.5], colors=[colour], linewidths=width)
    panel.set_title(title, color="white", fontsize=9)


def _slice_to_show(masks: Sequence[NDArray[np.uint8]], slices: int) -> int:
    """The slice in which the reference (else the prediction) is largest; the middle one where both are empty."""
    for mask in masks:
        areas = np.count_nonzero(mask, axis=(1, 2))
        if areas.any():
            return int(np.argmax(areas))
    return slices // 2


def _column(history: Sequence[Mapping[str, float]], name: str) -> NDArray[np.float64]:
    return np.array([row.get(name, np.nan) for row in history], dtype=float)


def _line(panel: Axes, x: NDArray[np.float64], y: NDArray[np.float64], colour: str, label: str) -> None:
    if not np.isfinite(y).any():
        return
    marker = "o" if len(x) < 3 else None
    panel.plot(x, y, color=colour, label=label, linewidth=1.8, marker=marker, markersize=4)


def _finish(panel: Axes, title: str) -> None:
    panel.set_title(title, loc="left", fontsize=10, color=_INK)
    panel.set_xlabel("epoch", color=_INK)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(axis="y", color=_FAINT, linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
    if len(panel.lines) > 1:
        panel.legend(frameon=False)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
