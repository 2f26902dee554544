"""Limits of agreement."""

from __future__ import annotations

import pytest

from vmseg_auto.ops.bland_altman import agreement


def test_figures_of_the_original_paper() -> None:
    """Peak flow by two meters in 17 people, Bland and Altman 1986: bias -2.1, SD 38.8, limits -79.7 to 75.5 l/min
    (they take 2 standard deviations, not 1.96), standard error of the bias 9.4, of a limit 16.3.
    """
    large = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    found = agreement([float(v) for v in mini], [float(v) for v in large])
    assert found is not None
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert (found.high - found.bias) / 1.96 == pytest.approx(38.8, abs=0.05)
    assert found.bias - found.low == pytest.approx(found.high - found.bias)
    assert found.bias_error / 1.96 == pytest.approx(9.4, abs=0.05)
    assert found.limit_error / 1.96 == pytest.approx(16.3, abs=0.05)


def test_two_pairs_tell_nothing() -> None:
    assert agreement([1.0, 2.0], [1.0, 3.0]) is None
