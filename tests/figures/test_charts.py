"""Where marks of a chart come to lie."""

from __future__ import annotations

from math import isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.figures.charts import Axis, Band, Chart, Dot, Line, axis_of

UNIT = Axis("Dice", 0.0, 1.0)


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (UNIT, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis("fold", -0.75, 4.75), ["0", "1", "2", "3", "4"]),
        (Axis("mL", -30.0, 22.0), ["\N{MINUS SIGN}30", "\N{MINUS SIGN}20", "\N{MINUS SIGN}10", "0", "10", "20"]),
        (Axis("mL", 0.4, 120.0, log=True), ["1", "3", "10", "30", "100"]),
        (Axis("mL", 0.01, 100.0, log=True), ["0.01", "0.1", "1", "10", "100"]),
        (Axis("mL", 2.1, 3.9, log=True), ["3"]),
        (Axis("mL", 2e-3, 3e7, log=True), ["0.01", "1", "100", "10,000", "1,000,000"]),
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
        bands=(Band(((0.0, 0.2, 0.4), (nan, 0.1, 0.2), (1.0, 0.2, 0.4)), "gap"),),
        lines=(Line(((0.0, 0.0), (0.5, nan), (1.0, 1.0)), "first"), Line(((0.5, nan),), "second")),
        dots=(Dot(0.5, 0.5, "first", "P01"), Dot(0.5, 7.0, "first")),
    )  # fmt: skip
    left, top, right, bottom = chart.frame
    band, line, empty, dot, beyond = chart.marks
    assert line.path == f"M{left:g} {bottom:g}L{right:g} {top:g}"
    assert band.path.count("L") == 3
    assert band.path.endswith("Z")
    assert empty.path == ""
    assert (dot.x, dot.y, dot.words) == ((left + right) / 2, (top + bottom) / 2, "P01")
    assert top - 10 < beyond.y < top
    assert all(isfinite(place) for place, _ in (*chart.columns, *chart.rows))


def test_a_line_of_one_point_is_a_dot_and_counts_have_whole_ticks() -> None:
    axis = axis_of("epoch", [2.0], whole=True)
    chart = Chart("", "", axis, Axis("Dice", 0, 1), lines=(Line(((2.0, 0.5), (3.0, nan)), "first"),))
    assert [text for _, text in axis.ticks()] == ["2"]
    assert [mark.kind for mark in chart.marks] == ["dot first"]
