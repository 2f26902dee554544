"""What charts of validation cases show."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.figures.validation_charts import expected_dice_chart, volume_chart


@pytest.mark.parametrize(("count", "worst", "shaded"), [(3, 0, False), (10, 2, True), (53, 10, True)])
def test_the_worst_and_the_least_certain_are_marked(count: int, worst: int, shaded: bool) -> None:
    expected = np.linspace(0.1, 0.7, count)
    chart = expected_dice_chart(np.array([expected, expected - 0.1, expected + 0.2, expected**2]))
    kinds = [mark.kind for mark in chart.marks]
    assert kinds.count("dot odd") == worst
    assert kinds.count("dot odd") + kinds.count("dot reference") == kinds.count("line bar") == count
    assert ("band gap" in kinds) == ("band gap" in chart.legend) == shaded
    assert set(kinds) == set(chart.legend)
    if shaded:
        assert max(x for x, _ in chart.marks[0].points) == pytest.approx(expected[3 * count // 10 - 1])


def test_words_stand_with_their_case() -> None:
    told = np.array([[0.5, 0.2], [0.4, 0.1], [0.6, 0.3], [0.55, 0.9]])
    chart = expected_dice_chart(told, ["anna", "bert"])
    assert [(dot.y, dot.words) for dot in chart.dots] == [(0.55, "anna"), (0.9, "bert")]
    assert chart.words == "1 of 2 lie in the interval estimated from the other patients."


@pytest.mark.parametrize(("high", "outside"), [(40.0, 0), (20.0, 1)])
def test_volumes_outside_their_interval_are_marked(high: float, outside: int) -> None:
    table = np.array([[5.0, 0.0, 30.0], [6.0, 1.0, 20.0], [1.0, 0.0, 5.0], [12.0, 3.0, high]])
    chart = volume_chart(table, ["anna", "bert", "cora"])
    assert [(dot.x, dot.y, dot.words) for dot in chart.dots] == [(1, 0, "bert"), (2, 5, "anna"), (3, 30, "cora")]
    kinds = [mark.kind for mark in chart.marks]
    assert kinds.count("dot odd") == outside
    assert ("dot odd" in chart.legend) == bool(outside)
    assert chart.title.startswith(f"{3 - outside} of 3 outlined volumes lie in the interval")
    assert all(0 <= y <= 1 for mark in chart.marks for _, y in mark.points)
