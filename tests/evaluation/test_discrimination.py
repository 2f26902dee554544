"""What a figure of certainty is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from vmseg_auto.evaluation.discrimination import area_under_risk, auroc, kept_dice, spearman

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=20)


@given(PAIRS)
def test_the_area_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    certainty, poor = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    pairs = [(a < b) + (a == b) / 2 for a in certainty[poor] for b in certainty[~poor]]
    assert auroc(certainty, poor) == pytest.approx(np.mean(pairs) if pairs else np.nan, nan_ok=True)


def test_spearman_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert np.isnan(spearman(np.ones(4), second[:4]))


def test_the_curve_ends_at_the_mean_and_equally_certain_scans_count_as_their_mean() -> None:
    certainty, dice = np.array([0.2, 0.9, 0.5, 0.5]), np.array([0.1, 0.9, 0.8, 0.4])
    assert kept_dice(certainty, dice).tolist() == pytest.approx([0.9, 0.75, 0.7, 0.55])
    assert area_under_risk(certainty, dice) == pytest.approx(1 - np.mean([0.9, 0.75, 0.7, 0.55]))
    assert kept_dice(np.ones(4), dice).tolist() == pytest.approx([0.55] * 4)
