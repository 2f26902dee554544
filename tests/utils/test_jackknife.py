"""Intervals by leaving out each patient."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from vmseg_auto.utils.jackknife import (
    CORRELATION,
    PLAIN,
    SHARE,
    Definition,
    Scale,
    jackknife_figure,
    jackknife_interval,
)

VALUES = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
"""Student's extra hours of sleep (Biometrika 1908, 6:1): a mean of 2.33."""


def mean(known: np.ndarray) -> float:
    return float(VALUES[known].mean())


def test_of_a_mean_it_is_students_interval_a_little_wider() -> None:
    low, high = jackknife_interval(mean, list("abcdefghij"))
    half = student.ppf(0.975, 9) * VALUES.std(ddof=1) / np.sqrt(10) * np.sqrt(10 / 9)
    assert (low, high) == pytest.approx((VALUES.mean() - half, VALUES.mean() + half))
    assert (low, high) == pytest.approx((0.82, 3.84), abs=0.005)


def test_scans_of_one_patient_are_left_out_together() -> None:
    pairs = jackknife_interval(mean, list("aabbccddee"))
    alone = jackknife_interval(mean, list("abcdefghij"))
    assert pairs[1] - pairs[0] != pytest.approx(alone[1] - alone[0])


def test_few_patients_have_no_interval() -> None:
    assert np.isnan(jackknife_interval(mean, ["a", "b", "c", "d", "d", "d", "d", "d", "d", "d"])).all()


@pytest.mark.parametrize(("scale", "value"), [(PLAIN, 3.0), (CORRELATION, -0.5), (SHARE, 0.2)])
def test_scales_lead_there_and_back(scale: Scale, value: float) -> None:
    assert scale.back(scale.there(value)) == pytest.approx(value)


def test_a_figure_says_why_it_has_no_interval_or_no_value() -> None:
    definition = Definition("Mean", "of all", SHARE, "nothing is known")
    told = jackknife_figure(definition, lambda known: 1.0, list("abcdef"))  # all the same: on the logit without end
    assert (told.value, told.low_95, told.why) == (1.0, None, "no interval: a few scans alone decide it")
    assert jackknife_figure(definition, lambda known: np.nan, list("abcdef")).why == "nothing is known"
    assert jackknife_figure(definition, lambda known: 0.5, ["a"]).text() == (
        "Mean 0.500 (no interval: it takes 5 patients, and here are 1)"
    )


def test_a_figure_may_take_more_patients_than_others() -> None:
    few = Definition("Area", "of all", PLAIN, "nothing is known", fewest=11)
    assert jackknife_figure(few, mean, list("abcdefghij")).why == "no interval: it takes 11 patients, and here are 10"
    assert jackknife_figure(Definition("Area", "of all", PLAIN, ""), mean, list("abcdefghij")).low_95 == pytest.approx(
        0.82, abs=0.01
    )
