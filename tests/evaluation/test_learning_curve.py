"""The fit finds a curve that is known, and its interval is open where the scores leave it open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vmseg_auto.evaluation.learning_curve import Curves, fit_curves

SIZES = (10, 20, 40)
MANY = (5, 10, 20, 40, 80)


def scores(
    sizes: tuple[int, ...], a: float, b: float, c: float, patients: int = 12, noise: float = 0.02, seed: int = 0
) -> NDArray[np.float64]:
    """Dice [patients, sizes] around the curve: easy and hard patients, each with some noise at every size."""
    rng = np.random.default_rng(seed)
    curve = a - b * np.array(sizes, dtype=float) ** -c
    difficulty = rng.normal(0, 0.05, (patients, 1))
    values: NDArray[np.float64] = curve + difficulty - difficulty.mean() + rng.normal(0, noise, (patients, len(sizes)))
    return values


@pytest.mark.parametrize(("a", "b", "c"), [(0.85, 1.2, 0.6), (0.7, 2.0, 1.0), (0.95, 0.9, 0.31)])
def test_a_curve_without_noise_is_found_exactly(a: float, b: float, c: float) -> None:
    exact = np.tile(a - b * np.array(SIZES, dtype=float) ** -c, (4, 1))
    curves = fit_curves(SIZES, [exact])
    assert curves.plateau().value == pytest.approx(a, abs=1e-6)
    assert curves.shape() == pytest.approx((b, c), abs=1e-6)
    target = a - b * 100**-c
    assert curves.wanted(target, 53).patients in (100, 101)


def test_a_known_curve_lies_within_the_interval() -> None:
    """Of 20 cohorts, nearly all; the number of patients asked for likewise."""
    a, b, c = 0.85, 1.2, 0.6
    hits = np.zeros(3)
    for seed in range(20):
        curves = fit_curves(MANY, [scores(MANY, a, b, c, noise=0.03, seed=seed)])
        forecast, plateau, wanted = curves.forecast(160).dice, curves.plateau(), curves.wanted(0.75, 53)
        needed = (b / (a - 0.75)) ** (1 / c)
        assert forecast.low is not None
        assert forecast.high is not None
        assert plateau.low is not None
        assert plateau.high is not None
        hits += [
            forecast.low <= a - b * 160**-c <= forecast.high,
            plateau.low <= a <= plateau.high,
            (wanted.low or np.inf) <= np.ceil(needed) <= (wanted.high or np.inf),
        ]
    assert hits.min() >= 16


def test_a_plateau_below_the_target_is_never_reached() -> None:
    wanted = fit_curves(MANY, [scores(MANY, 0.6, 2.0, 1.5, noise=0.005)]).wanted(0.8, 53)
    assert (wanted.patients, wanted.low, wanted.high) == (None, None, None)


def test_noisy_scores_leave_the_interval_open() -> None:
    folds = [scores(SIZES, 0.85, 1.2, 0.6, patients=5, noise=0.08, seed=seed) for seed in range(2)]
    wanted = fit_curves(SIZES, folds).wanted(0.82, 53)
    assert wanted.low is not None
    assert wanted.high is None


def test_scores_that_do_not_rise_give_a_flat_curve() -> None:
    falling = np.tile([0.7, 0.6, 0.5], (4, 1))
    curves = fit_curves(SIZES, [falling])
    assert curves.shape()[0] == 0
    assert curves.forecast(500).dice.value == pytest.approx(0.6)
    assert curves.wanted(0.65, 53).patients is None
    assert curves.wanted(0.55, 53).patients == SIZES[0]


def test_no_curve_rises_above_1() -> None:
    folds = [scores(SIZES, 1.1, 2.0, 0.5, patients=6, seed=seed) for seed in range(2)]
    assert fit_curves(SIZES, folds).plateau().high == 1


def test_how_hard_patients_are_widens_each_size_and_not_the_rise() -> None:
    """Patients stay the same over the sizes: they shift the whole curve."""
    folds = [scores(SIZES, 0.8, 1.5, 0.8, noise=0, seed=seed) for seed in range(2)]
    curves = fit_curves(SIZES, folds)
    last = curves.measured[-1].dice
    assert last.low is not None
    assert last.high is not None
    assert last.high - last.low > 0.02
    rises = curves.dice(curves.sizes)[:, -1] - curves.dice(curves.sizes)[:, 0]
    assert np.ptp(rises) < 1e-3


def test_trainings_that_went_well_or_badly_widen_the_interval() -> None:
    """Two folds whose trainings differ at one size, by patients alike in all else."""
    even = np.tile([0.5, 0.6, 0.65], (6, 1)) + np.linspace(-0.05, 0.05, 6)[:, None]
    lucky = even + np.array([0.0, 0.04, 0.0])
    alike, unlike = (fit_curves(SIZES, [even, other]).forecast(53).dice for other in (even, lucky))
    assert alike.low is not None
    assert alike.high is not None
    assert unlike.low is not None
    assert unlike.high is not None
    assert unlike.high - unlike.low > alike.high - alike.low + 0.05


def test_folds_of_unlike_levels_widen_the_interval() -> None:
    low, high = np.full((6, 3), [0.4, 0.5, 0.55]), np.full((6, 3), [0.6, 0.7, 0.75])
    together = fit_curves(SIZES, [low, high]).forecast(53).dice
    assert together.low is not None
    assert together.high is not None
    assert together.high - together.low > 0.19


@pytest.mark.parametrize(
    ("sizes", "patients", "folds", "words"),
    [
        (SIZES, 12, 1, "a second fold, or a fourth size, tells it"),
        (MANY, 9, 1, "it takes 10 validation patients, and here are 9"),
        (SIZES, 4, 2, "it takes 10 validation patients, and here are 8"),
    ],
)
def test_what_does_not_tell_the_luck_of_training_has_no_interval(
    sizes: tuple[int, ...], patients: int, folds: int, words: str
) -> None:
    curves = fit_curves(sizes, [scores(sizes, 0.8, 1.0, 0.5, patients=patients, seed=fold) for fold in range(folds)])
    assert words in curves.reason
    assert (curves.plateau().low, curves.forecast(53).dice.high) == (None, None)
    assert curves.wanted(0.7, 53).low is None
    assert curves.measured[0].dice.low is not None


def test_one_patient_a_fold_has_an_interval() -> None:
    folds = [scores(MANY, 0.8, 1.0, 0.5, patients=12)[[row]] for row in range(12)]
    measured = fit_curves(MANY, folds).measured[0].dice
    assert measured.low is not None
    assert measured.low < measured.value


def test_the_order_of_patients_and_folds_changes_nothing() -> None:
    folds = [scores(SIZES, 0.8, 1.0, 0.5, seed=seed) for seed in range(3)]
    turned = [fold[::-1] for fold in folds[::-1]]
    one, two = (fit_curves(SIZES, given).forecast(80).dice for given in (folds, turned))
    assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), abs=1e-9)


@settings(max_examples=25)
@given(arrays(np.float64, st.tuples(st.integers(5, 9), st.just(3)), elements=st.floats(0, 1)), st.floats(0.05, 0.95))
def test_bands_never_fall_and_hold_the_answer(values: NDArray[np.float64], target: float) -> None:
    curves: Curves = fit_curves(SIZES, [values, values[::-1, ::-1]])
    assert (curves.a <= 1).all()
    assert (curves.b >= 0).all()
    band = curves.band(np.linspace(10, 600, 60))
    assert (np.diff(band, axis=1) >= -1e-9).all()
    assert (band[1] <= band[2]).all()
    assert ((band >= 0) & (band <= 1 + 1e-9)).all()
    wanted = curves.wanted(target, 53)
    if wanted.patients is not None:
        assert SIZES[0] <= wanted.patients <= 530
        reached, before = curves.dice(np.array([wanted.patients, max(wanted.patients - 1, 10)], dtype=float))[0]
        assert reached >= target - 1e-9
        assert before <= target + 1e-9 or wanted.patients == SIZES[0]


@settings(max_examples=50)
@given(arrays(np.float64, 3, elements=st.floats(0, 1)))
def test_no_curve_within_the_bounds_is_nearer(values: NDArray[np.float64]) -> None:
    """Beside a grid of other curves."""
    curves = fit_curves(SIZES, [np.tile(values, (2, 1))])
    ours = ((curves.dice(curves.sizes)[0] - values) ** 2).sum()
    for c in (0.05, 0.3, 0.8, 1.5, 2.0):
        for a in np.linspace(0, 1, 11):
            for b in np.linspace(0, 2, 9):
                assert ours <= ((a - b * (curves.sizes / 10) ** -c - values) ** 2).sum() + 1e-9
