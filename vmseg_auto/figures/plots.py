"""Plots: the course of a training, a learning curve, outlines on slices, Dice by uncertainty, volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from vmseg_auto.evaluation.learning_curve_record import LearningCurve
from vmseg_auto.figures.slices import BLUE, GREEN, ORANGE, SKY_BLUE, VERMILLION, draw_slice, grey_window
from vmseg_auto.training.overfitting import OverfittingCheck, best_check, overfitting_checks
from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.geometry import Spacing

_INK, _FAINT, _SHADE = "#333333", "#DDDDDD", "#CCCCCC"

OutlineCase = tuple[str, NDArray[np.float32], Spacing, NDArray[np.uint8] | None, NDArray[np.uint8] | None]
"""Title, image (Z, Y, X), spacing (Z, Y, X) in mm, reference and prediction (Z, Y, X) where there are any."""


def draw_curve(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw losses (left) and Dice (right) over epochs into a PNG, whole or not at all.

    The area between the Dice of training and of validation cases is shaded: it is the gap.

    Args:
        history: rows with epoch, train_loss, val_loss, val_dice, gap_train_dice and gap_val_dice; what is NaN is left
            out.
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
    patches = _column(history, "val_dice")
    _line(right, epochs, patches, GREEN, "validation patches")
    right.set_ylim(0, 1)
    if checks := overfitting_checks(history):
        title = _draw_overfitting(right, checks)
    else:
        title = "Dice of validation patches"
        if np.isfinite(patches).any():
            best = int(np.nanargmax(patches))
            title += f"; best {patches[best]:.3f} in epoch {epochs[best]:.0f}"
    _finish(right, title)
    save_figure(figure, path)


def _draw_overfitting(panel: Axes, checks: Sequence[OverfittingCheck]) -> str:
    """Draw the Dice of whole cases, and return a title that names the last and the best."""
    epochs = np.array([check.epoch for check in checks], dtype=float)
    train, val = np.array([check.train for check in checks]), np.array([check.val for check in checks])
    panel.fill_between(epochs, train, val, color=_SHADE, alpha=0.6, linewidth=0)
    _line(panel, epochs, train, BLUE, "training cases")
    _line(panel, epochs, val, ORANGE, "validation cases")
    best = best_check(checks)
    return f"Dice; gap {checks[-1].gap:.2f} (shaded); best validation {best.val:.2f} in epoch {best.epoch}"


def draw_learning_curve(
    curve: LearningCurve, patients: NDArray[np.float64], band: NDArray[np.float64], path: Path
) -> None:
    """Draw measured Dice with intervals, the fitted curve (dashed where it foretells) and its band into a PNG.

    Args:
        curve: the measured points, the cohort's size and the Dice asked for.
        patients: numbers of patients [N] at which the band is known, ascending.
        band: the curve and the lower and upper end of its interval [3, N].
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    figure = Figure(figsize=(7.2, 4.2), dpi=110, layout="constrained")
    panel = figure.subplots()
    sizes = np.array([point.patients for point in curve.measured], dtype=float)
    dice = [point.dice for point in curve.measured]
    ends = np.array([(d.low, d.high) for d in dice], dtype=float).T  # NaN where there is no interval
    values = np.array([d.value for d in dice])
    if not curve.without_interval:
        panel.fill_between(patients, band[1], band[2], color=SKY_BLUE, alpha=0.25, linewidth=0, label="95 % interval")
    for part, style, label in ((patients <= sizes[-1], "-", "curve"), (patients >= sizes[-1], "--", "forecast")):
        panel.plot(patients[part], band[0][part], style, color=BLUE, linewidth=1.8, label=label)
    bars = np.nan_to_num(np.abs(ends - values))
    panel.errorbar(sizes, values, bars, fmt="o", color=_INK, capsize=3, label="measured, 95 % interval")
    panel.axvline(curve.cohort, color=_FAINT, linewidth=1.2, label=f"this cohort: {curve.cohort} patients")
    if curve.wanted:
        panel.axhline(curve.wanted.dice, color=VERMILLION, linewidth=2, label=f"Dice asked for: {curve.wanted.dice:g}")
    panel.set_ylim(0, 1)
    _finish(panel, f"Mean Dice of {curve.tested} patients of no training set", "patients trained on")
    panel.legend(frameon=False, loc="lower right")
    save_figure(figure, path)


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


def draw_confidence(told: NDArray[np.float64], path: Path) -> None:
    """Draw validation cases, their Dice over the one that was to be expected, and the interval around it, into a PNG.

    Args:
        told: expected Dice, lower and upper end of its interval, and Dice [4, N]. The fifth with the lowest Dice is
            marked, and the least certain three tenths.
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    figure = Figure(figsize=(6.4, 4.4), dpi=110, layout="constrained")
    panel = figure.subplots()
    expected, low, high, dice = told
    panel.vlines(expected, low, high, color=SKY_BLUE, linewidth=3, alpha=0.4, label="interval of four in five")
    panel.plot((0, 1), (0, 1), color=BLUE, linewidth=1.4, label="as expected")
    worst = np.zeros(len(dice), dtype=bool)
    worst[np.argsort(dice, kind="stable")[: len(dice) // 5]] = True
    for chosen, colour, label in ((~worst, _INK, "validation case"), (worst, VERMILLION, "lowest fifth by Dice")):
        panel.scatter(expected[chosen], dice[chosen], s=22, color=colour, label=label, zorder=3)
    if least := 3 * len(dice) // 10:
        edge = float(np.sort(expected)[least - 1])
        panel.axvspan(0, edge, color=_FAINT, alpha=0.6, zorder=0, label="least certain three tenths")
    panel.set(xlim=(-0.02, 1), ylim=(-0.02, 1))
    panel.set_xlabel("expected Dice, told by other patients' cases", color=_INK)
    panel.set_title(f"Dice of {len(dice)} validation cases", loc="left", fontsize=10, color=_INK)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, loc="upper left")
    save_figure(figure, path)


def draw_volumes(volumes_ml: NDArray[np.float64], path: Path) -> None:
    """Draw validation cases, ordered by the volume measured, with interval and true volume, into a PNG.

    Args:
        volumes_ml: true, measured, lower and upper end of the interval [4, N]. True volumes outside their interval are
            marked by colour and shape.
        path: ends with .png.

    Raises:
        VmsegError: the file can't be written.
    """
    reference, measured, low, high = volumes_ml[:, np.argsort(volumes_ml[1], kind="stable")]
    inside, at = (low <= reference) & (reference <= high), np.arange(len(reference))
    figure = Figure(figsize=(9, 4.4), dpi=110, layout="constrained")
    panel = figure.subplots()
    panel.vlines(at, low, high, color=SKY_BLUE, linewidth=4, alpha=0.6, label="interval of nine in ten")
    panel.scatter(at, measured, marker="_", s=50, color=BLUE, label="measured", zorder=3)
    panel.scatter(at[inside], reference[inside], s=20, color=_INK, label="true volume", zorder=4)
    panel.scatter(
        at[~inside], reference[~inside], marker="X", s=42, color=VERMILLION, label="true volume outside", zorder=4
    )
    panel.set_yscale("symlog", linthresh=1, linscale=0.5)
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xticks([])
    panel.set_ylabel("volume (mL)", color=_INK)
    panel.set_xlabel("validation cases, by the volume measured", color=_INK)
    title = f"{inside.sum()} of {len(at)} true volumes lie in the interval that other patients' cases told"
    panel.set_title(title, loc="left", fontsize=10, color=_INK)
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
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


def _column(history: Sequence[Mapping[str, float]], name: str) -> NDArray[np.float64]:
    return np.array([row.get(name, np.nan) for row in history], dtype=float)


def _line(panel: Axes, x: NDArray[np.float64], y: NDArray[np.float64], colour: str, label: str) -> None:
    if not np.isfinite(y).any():
        return
    marker = "o" if len(x) < 3 else None
    panel.plot(x, y, color=colour, label=label, linewidth=1.8, marker=marker, markersize=4)


def _finish(panel: Axes, title: str, across: str = "epoch") -> None:
    panel.set_title(title, loc="left", fontsize=10, color=_INK)
    panel.set_xlabel(across, color=_INK)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(axis="y", color=_FAINT, linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
    if len(panel.lines) > 1:
        panel.legend(frameon=False)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all.

    Raises:
        VmsegError: the file can't be written.
    """
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
