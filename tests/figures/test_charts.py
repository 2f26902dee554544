"""Where marks of a chart come to lie, and that page and picture know the same kinds."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise
from math import isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.figures.charts import Axis, Band, Chart, Dot, Line, axis_of
from vmseg_auto.figures.plots import STYLES

UNIT = Axis("Dice", 0.0, 1.0)


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (UNIT, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis("fold", -0.75, 4.75), ["0", "1", "2", "3", "4"]),
        (Axis("mL", -30.0, 22.0), ["\N{MINUS SIGN}30", "\N{MINUS SIGN}20", "\N{MINUS SIGN}10", "0", "10", "20"]),
        (Axis("mL", 0.4, 120.0, "log"), ["1", "3", "10", "30", "100"]),
        (Axis("mL", 0.01, 100.0, "log"), ["0.01", "0.1", "1", "10", "100"]),
        (Axis("mL", 2.1, 3.9, "log"), ["3"]),
        (Axis("mL", 2e-3, 3e7, "log"), ["0.01", "1", "100", "10,000", "1,000,000"]),
        (Axis("mL", 0.0, 60.0, "asinh"), ["0", "1", "3", "10", "30"]),
        (Axis("mL", 0.0, 1.2, "asinh"), ["0", "0.2", "0.4", "0.6", "0.8", "1", "1.2"]),
    ],
)  # fmt: skip
def test_ticks_are_round(axis: Axis, texts: list[str]) -> None:
    assert [text for _, text in axis.ticks()] == texts


@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), min_size=1), st.booleans())
def test_an_axis_holds_its_values_and_has_few_ticks(values: list[float], log: bool) -> None:
    axis = axis_of("x", values, log)
    assert axis.low < axis.high
    for value in values:
        if value > 0 or not log:
            assert 0 <= axis.share(value) <= 1
    ticks = axis.ticks()
    assert all(axis.low - 1e-6 <= value <= axis.high + 1e-6 for value, _ in ticks)
    assert len(ticks) <= 8
    assert not any("e" in text for value, text in ticks if value == 0 or abs(value) >= 1e-4)


def test_marks_lie_in_the_frame_and_values_that_are_missing_are_left_out() -> None:
    chart = Chart(
        "t", "w", UNIT, UNIT,
        bands=(Band(((0.0, 0.2, 0.4), (nan, 0.1, 0.2), (0.5, 0.1, nan), (1.0, 0.2, 0.4)), "gap"),),
        lines=(Line(((0.0, 0.0), (0.5, nan), (1.0, 1.0)), "first"), Line(((0.5, nan),), "second")),
        dots=(Dot(0.5, 0.5, "first", "P01"), Dot(0.5, 7.0, "first")),
    )  # fmt: skip
    left, top, right, bottom = chart.frame
    band, line, dot, beyond = chart.marks
    assert chart.path(line) == f"M{left:g} {bottom:g}L{right:g} {top:g}"
    assert band.points == ((0.0, 0.2), (1.0, 0.2), (1.0, 0.4), (0.0, 0.4))
    assert chart.path(band).endswith("Z")
    assert (dot.points, dot.words) == (((0.5, 0.5),), "P01")
    assert chart.place(dot.points[0]) == ((left + right) / 2, (top + bottom) / 2)
    assert top - 10 < chart.place(beyond.points[0])[1] < top
    assert all(isfinite(place) for place, _ in (*chart.columns, *chart.rows))


def test_volumes_near_0_lie_apart_and_0_has_a_place() -> None:
    axis = Axis("mL", 0.0, 100.0, "asinh")
    places = [axis.share(volume) for volume in (0.0, 0.5, 1.0, 10.0, 100.0)]
    assert places[0] == 0
    assert places[-1] == 1
    assert all(b - a > 0.05 for a, b in pairwise(places))


def test_a_line_of_one_point_is_a_dot_and_counts_have_whole_ticks() -> None:
    axis = axis_of("epoch", [2.0], whole=True)
    chart = Chart("", "", axis, Axis("Dice", 0, 1), lines=(Line(((2.0, 0.5), (3.0, nan)), "first"),))
    assert [text for _, text in axis.ticks()] == ["2"]
    assert [mark.kind for mark in chart.marks] == ["dot first"]


def test_page_and_picture_know_the_same_kinds() -> None:
    style_sheet = files("vmseg_auto.report.page").joinpath("report.css").read_text()
    named = {f"{shape} {kind}" for shape, kind in re.findall(r"^\.(band|line|dot)\.(\w+) \{", style_sheet, re.M)}
    assert named - {"line thin"} == set(STYLES)
