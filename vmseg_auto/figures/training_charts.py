"""Charts of trainings: loss, Dice and the gap over epochs, and Dice by the number of patients trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.learning_curve_record import LearningCurve
from vmseg_auto.figures.charts import Axis, Band, Chart, Dot, Line, axis_of
from vmseg_auto.training.overfitting import OverfittingCheck, best_check, overfitting_checks
from vmseg_auto.utils.text import counted, decimal, minus_signs

History = Sequence[Mapping[str, float]]
"""Rows of history.csv: epoch, train_loss, val_loss, val_dice, gap_train_dice, gap_val_dice; any but the first may be
missing or NaN."""


_LOSSES = {"first": "training", "second": "validation"}


def loss_chart(histories: Sequence[History]) -> Chart:
    """Chart the loss in training and validation over epochs, of one fold or of several."""
    columns, thin = (("train_loss", "first"), ("val_loss", "second")), " thin" if len(histories) > 1 else ""
    lines = [
        Line(tuple((row["epoch"], row.get(column, nan)) for row in history), kind + thin)
        for history in histories
        for column, kind in columns
    ]
    drawn = {line.kind.split()[0] for line in lines if any(isfinite(loss) for _, loss in line.points)}
    epochs = [row["epoch"] for history in histories for row in history]
    over = f"{max(epochs, default=0):.0f} epochs"
    return Chart(
        "Loss in every fold; lower is better" if thin else "Loss; lower is better",
        f"Loss of {counted(len(histories), 'fold')} in training and validation over {over}.",
        axis_of("epoch", epochs, whole=True),
        axis_of("loss", [y for line in lines for _, y in line.points]),
        lines=tuple(lines),
        legend={f"line {kind}": _LOSSES[kind] for kind in _LOSSES if kind in drawn},
    )


def dice_chart(fold: int | str, history: History) -> Chart:
    """Chart a fold's Dice over epochs: of validation patches, and of the whole cases that the overfitting monitor
    predicted; the area between training and validation cases is the gap.
    """
    patches = [(row["epoch"], row.get("val_dice", nan)) for row in history]
    checks = overfitting_checks(history)
    drawn = [
        (kind, words, points)
        for kind, words, points in (
            ("first", "training cases", [(check.epoch, check.train) for check in checks]),
            ("second", "validation cases", [(check.epoch, check.val) for check in checks]),
            ("third", "validation patches", patches),
        )
        if any(isfinite(dice) for _, dice in points)
    ]
    return Chart(
        f"Fold {fold}: {_dice_title(checks, patches)}",
        _dice_words(checks),
        axis_of("epoch", [epoch for epoch, _ in patches], whole=True),
        Axis("Dice", 0.0, 1.0),
        bands=(Band(tuple((check.epoch, check.train, check.val) for check in checks), "gap"),),
        lines=tuple(Line(tuple(points), kind) for kind, _, points in drawn),
        legend={f"line {kind}": words for kind, words, _ in drawn} | ({"band gap": "gap"} if checks else {}),
    )


def _dice_title(checks: Sequence[OverfittingCheck], patches: Sequence[tuple[float, float]]) -> str:
    if checks:
        best = best_check(checks)
        gap = minus_signs(decimal(checks[-1].gap, 2, sign=True))
        return f"gap {gap} at the end; best validation Dice {best.val:.2f} in epoch {best.epoch}"
    if known := [(dice, -epoch) for epoch, dice in patches if isfinite(dice)]:
        dice, epoch = max(known)
        return f"Dice of validation patches; best {dice:.2f} in epoch {-epoch:.0f}"
    return "no Dice yet"


def _dice_words(checks: Sequence[OverfittingCheck]) -> str:
    if not checks:
        return "Dice of validation patches over epochs."
    last = checks[-1]
    return f"Dice over epochs; of whole cases at the end, training {last.train:.2f}, validation {last.val:.2f}."


def learning_curve_chart(curve: LearningCurve, patients: NDArray[np.float64], band: NDArray[np.float64]) -> Chart:
    """Chart measured Dice with intervals, the fitted curve (dashed where it foretells) and its band.

    Args:
        curve: the measured points, the cohort's size and the Dice asked for.
        patients: numbers of patients [N] at which the band is known, ascending.
        band: the curve and the lower and upper end of its interval [3, N].
    """
    most = curve.measured[-1].patients
    fitted = list(zip(patients.tolist(), band[0].tolist(), strict=True))
    x = axis_of("patients trained on", [*patients.tolist(), curve.cohort], whole=True)
    lines = [
        Line(((point.patients, point.dice.low), (point.patients, point.dice.high)), "bar")
        for point in curve.measured
        if point.dice.low is not None and point.dice.high is not None
    ]
    lines += [
        Line(tuple(point for point in fitted if point[0] <= most), "first"),
        Line(tuple(point for point in fitted if point[0] >= most), "forecast"),
        Line(((curve.cohort, 0.0), (curve.cohort, 1.0)), "second"),
    ]
    legend = {"line first": "curve", "line forecast": "forecast", "dot reference": "measured"}
    legend |= {"line bar": "95 % interval of it"} if lines[0].kind == "bar" else {}
    bands = []
    if not curve.without_interval:
        bands.append(Band(tuple(map(tuple, np.stack([patients, *band[1:]], axis=1).tolist())), "agreement"))
        legend["band agreement"] = "95 % interval of the curve"
    legend["line second"] = f"this cohort: {counted(curve.cohort, 'patient')}"
    if curve.wanted:
        lines.append(Line(((x.low, curve.wanted.dice), (x.high, curve.wanted.dice)), "limit"))
        legend["line limit"] = f"Dice asked for: {curve.wanted.dice:g}"
    return Chart(
        f"Mean Dice of {curve.tested} patients of no training set",
        "Dice by the number of patients trained on.",
        x,
        Axis("Dice", 0.0, 1.0),
        bands=tuple(bands),
        lines=tuple(lines),
        dots=tuple(Dot(point.patients, point.dice.value, "reference") for point in curve.measured),
        legend=legend,
    )
