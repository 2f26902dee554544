"""What charts of trainings show."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from vmseg_auto.evaluation.learning_curve import fit_curves
from vmseg_auto.evaluation.learning_curve_record import LearningCurve
from vmseg_auto.figures.charts import Chart
from vmseg_auto.figures.training_charts import dice_chart, learning_curve_chart, loss_chart


def history(epochs: int, every: int = 0) -> list[dict[str, float]]:
    """Every so many epochs whole cases are looked at, the first too."""
    rows = [
        {"epoch": e, "train_loss": 1 / e, "val_loss": nan if e == 2 else 1.2 / e, "val_dice": 1 - 1 / e, "lr": 0.01}
        for e in range(1, epochs + 1)
    ]
    whole = {"gap_train_dice": 0.95, "gap_val_dice": 0.6}
    return [{**row, **whole} if every and row["epoch"] % every == 1 else row for row in rows]


def kinds(chart: Chart) -> list[str]:
    return [mark.kind for mark in chart.marks]


def test_the_gap_is_shaded() -> None:
    chart = dice_chart(0, history(30, every=3))
    assert kinds(chart) == ["band gap", "line first", "line second", "line third"]
    assert chart.title == "Fold 0: gap +0.35 at the end; best validation Dice 0.60 in epoch 1"
    assert chart.legend["band gap"] == "gap"
    x, y = zip(*chart.marks[0].points, strict=True)
    assert (min(y), max(y)) == (0.6, 0.95)
    assert max(x) < 1


def test_without_a_check_patches_stand_alone() -> None:
    chart = dice_chart("all", history(30))
    assert kinds(chart) == ["line third"]
    assert chart.title == "Fold all: Dice of validation patches; best 0.97 in epoch 30"
    assert list(chart.legend) == ["line third"]


@pytest.mark.parametrize("rows", [[], [{"epoch": 1.0, "train_loss": 0.5}]])
def test_nothing_is_known_yet(rows: list[dict[str, float]]) -> None:
    assert dice_chart(1, rows).title == "Fold 1: no Dice yet"
    assert dice_chart(1, rows).marks == []
    assert kinds(loss_chart([rows])) == ["dot first"] * len(rows)


def test_a_loss_that_was_not_measured_has_no_place_in_the_legend() -> None:
    rows = [{**row, "val_loss": nan} for row in history(5)]
    assert loss_chart([rows]).legend == {"line first": "training"}
    assert loss_chart([history(5)]).legend == {"line first": "training", "line second": "validation"}


def test_losses_of_several_folds_are_thin() -> None:
    assert kinds(loss_chart([history(5)])) == ["line first", "line second"]
    several = loss_chart([history(5), history(9)])
    assert kinds(several) == ["line first thin", "line second thin"] * 2
    assert several.words == "Loss of 2 folds in training and validation over 9 epochs."


@pytest.mark.parametrize("patients", [3, 13])
@pytest.mark.parametrize("target", [None, 0.8])
def test_learning_curve(target: float | None, patients: int) -> None:
    sizes = (10, 20, 40)
    near = np.random.default_rng(0).normal(0, 0.02, (patients, 3))
    curves = fit_curves(sizes, [np.array([0.4, 0.52, 0.58]) + near])
    b, c = curves.shape()
    curve = LearningCurve(
        model="default/quick",
        folds=(0,),
        cohort=53,
        tested=patients,
        measured=curves.measured,
        plateau=curves.plateau(),
        b=b,
        c=c,
        forecasts=(curves.forecast(53),),
        without_interval=curves.reason,
        wanted=curves.wanted(target, 53) if target else None,
    )
    at = np.linspace(10, 106, 50)
    chart = learning_curve_chart(curve, at, curves.band(at))
    told = kinds(chart)
    assert told.count("dot reference") == 3
    assert ("line limit" in told) == (target is not None)
    assert ("band agreement" in told) == (not curve.without_interval)
    assert {"line forecast", "line second"} <= set(told) <= set(chart.legend)
    assert chart.legend["line second"] == "this cohort: 53 patients"
