"""Intraclass correlation and concordance, against the tables of their authors."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.evaluation.concordance import concordance, intraclass_correlation, volume_concordance

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7.0]])
"""Six targets, four judges; ICC(2,1) is 0.29 (Psychological Bulletin 1979, 86:420, tables 2 and 4)."""


def test_six_targets_and_four_judges() -> None:
    assert intraclass_correlation(SHROUT_FLEISS) == pytest.approx(0.28976, abs=1e-5)


def test_absolute_agreement_counts_what_one_always_measures_more() -> None:
    first = np.array([1.0, 2.0, 4.0, 8.0])
    assert intraclass_correlation(np.stack([first, first], axis=1)) == pytest.approx(1)
    assert intraclass_correlation(np.stack([first, first + 3], axis=1)) < 0.8
    assert concordance(np.stack([first, first], axis=1)) == pytest.approx(1)


def test_lins_coefficient_is_the_correlation_times_the_bias() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=50)
    second = 1.3 * first + 0.4 + 0.2 * rng.normal(size=50)
    scale, shift = second.std() / first.std(), (first.mean() - second.mean()) ** 2 / (first.std() * second.std())
    expected = np.corrcoef(first, second)[0, 1] * 2 / (scale + 1 / scale + shift)
    assert concordance(np.stack([first, second], axis=1)) == pytest.approx(expected)


@pytest.mark.parametrize("coefficient", [intraclass_correlation, concordance])
def test_where_nothing_differs_there_is_no_coefficient(coefficient) -> None:
    assert np.isnan(coefficient(np.full((4, 2), 3.0)))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Skewed volumes, relative errors of 30 %, ten patients with four scans each."""

    def drawn(rng: np.random.Generator, patients: int, scans: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        owner = np.repeat(np.arange(patients), scans)

        def normal(share: float) -> np.ndarray:
            own = rng.normal(size=len(owner))
            return np.asarray(np.sqrt(share) * rng.normal(size=patients)[owner] + np.sqrt(1 - share) * own)

        true = np.exp(np.log(6) + 1.1 * normal(0.9))
        return true, true * np.exp(0.3 * normal(0.5)), [f"p{n}" for n in owner]

    first, second, _ = drawn(np.random.default_rng(0), 50_000, 1)
    truth = intraclass_correlation(np.log1p(np.stack([first, second], axis=1)))
    held = []
    for seed in range(200):
        icc, ccc, plain = volume_concordance(*drawn(np.random.default_rng([1, seed]), 10, 4))
        assert icc.low_95 is not None
        assert icc.high_95 is not None
        held.append(icc.low_95 <= truth <= icc.high_95)
        assert ccc.value == pytest.approx(icc.value, abs=0.02)
        assert (plain.low_95, "large lesions" in plain.why) == (None, True)
    assert 0.88 <= np.mean(held) <= 0.99


def test_of_few_patients_the_reason_is_told_and_scans_of_nothing_are_left_out() -> None:
    first = np.array([0.0, 1.0, 5.0, 20.0])
    icc, *_ = volume_concordance(first, first * 1.1, ["a", "b", "c", "d"])
    assert (icc.scans, icc.patients, icc.low_95) == (3, 3, None)
    assert icc.text().endswith("(no interval: it takes 5 patients, and here are 3)")
    lone, *_ = volume_concordance(first[:2], first[:2], ["a", "b"])
    assert (lone.value, lone.why) == (None, "it takes two scans, and volumes that differ")
