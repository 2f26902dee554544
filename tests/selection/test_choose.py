"""The choice among runs and settings, and its nested estimate, on constructed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vmseg_auto.models.selection_record import THRESHOLDS
from vmseg_auto.selection.choose import (
    Setting,
    best_setting,
    choose,
    dice_of,
    estimate,
    gains_enough,
    nested_dice,
    nested_gain,
    plain,
    settle,
)

FOLDS = np.arange(10) // 2
PLAIN = Setting(0.5, (False,))
A, B, BOTH = ("p/a",), ("p/b",), ("p/a", "p/b")


def table(
    dice: NDArray[np.float64] | float = 0.6,
    at: dict[float, NDArray[np.float64] | float] | None = None,
    largest: NDArray[np.float64] | float | None = None,
    recall: dict[float, float] | None = None,
    largest_recall: float = 0.9,
) -> NDArray[np.float64]:
    """Scores of ten patients and one label: Dice at 0.5 (other thresholds 0.1 less unless in `at`), and with the
    largest component alone (the same unless given)."""
    scores = np.empty((10, len(THRESHOLDS), 1, 2, 2))
    for number, threshold in enumerate(THRESHOLDS):
        here = dice if threshold == 0.5 else (at or {}).get(threshold, np.asarray(dice) - 0.1)
        scores[:, number, 0, 0, 0] = here
        scores[:, number, 0, 0, 1] = here if largest is None else largest
        scores[:, number, 0, 1, 0] = (recall or {}).get(threshold, 0.9)
        scores[:, number, 0, 1, 1] = largest_recall
    return scores


def noise(mean: float, spread: float) -> NDArray[np.float64]:
    """Ten numbers of this mean and standard error."""
    numbers = np.tile([-1.0, 1.0], 5)
    return mean + spread * numbers * np.sqrt(10) / numbers.std(ddof=1)


def test_a_gain_gains_enough_beyond_its_standard_error_and_the_tolerance() -> None:
    assert gains_enough(noise(0.01, 0.009))
    assert not gains_enough(noise(0.01, 0.011))
    assert not gains_enough(noise(0.0009, 0.0))
    assert not gains_enough(np.array([0.5]))


def test_dice_of_a_setting_is_the_mean_over_labels() -> None:
    scores = np.zeros((1, len(THRESHOLDS), 2, 2, 2))
    scores[0, THRESHOLDS.index(0.4), :, 0] = [[0.2, 0.4], [0.6, 0.9]]
    assert dice_of(scores, Setting(0.4, (False, False))) == pytest.approx([0.4])
    assert dice_of(scores, Setting(0.4, (False, True))) == pytest.approx([0.55])


def test_the_plain_setting_stands_where_nothing_is_better() -> None:
    assert settle(table(), FOLDS) == PLAIN
    assert settle(table(at={0.4: noise(0.603, 0.01)}), FOLDS) == PLAIN


def test_a_better_threshold_is_taken() -> None:
    assert settle(table(at={0.4: noise(0.65, 0.001), 0.3: 0.64}), FOLDS) == Setting(0.4, (False,))


def test_a_threshold_that_loses_lesions_is_not() -> None:
    better = {0.6: 0.7, 0.4: 0.65}
    assert settle(table(at=better, recall={0.6: 0.89}), FOLDS) == Setting(0.4, (False,))


def test_a_threshold_that_other_patients_would_not_have_chosen_is_not_taken() -> None:
    """Two patients of one fold alone speak for 0.7: what the others choose without them is worth nothing."""
    one_fold = table(at={0.7: np.where(FOLDS == 0, 0.99, 0.6), 0.3: np.where(FOLDS == 0, 0.2, 0.602)})
    assert best_setting(one_fold) == Setting(0.7, (False,))
    gain = nested_gain(one_fold, FOLDS)
    assert gain is not None
    assert gain[FOLDS == 0] == pytest.approx([-0.4, -0.4])  # the others would have taken 0.3
    assert gain.mean() < 0
    assert settle(one_fold, FOLDS) == PLAIN


def test_a_single_fold_changes_nothing() -> None:
    alone = np.zeros(10, dtype=np.int64)
    assert settle(table(at={0.4: 0.7}), alone) == PLAIN
    assert nested_gain(table(), alone) is None
    assert nested_dice({A: table()}, alone) is None


def test_the_largest_component_alone_where_dice_rises_and_no_lesion_is_lost() -> None:
    assert settle(table(largest=0.62), FOLDS) == Setting(0.5, (True,))
    assert settle(table(largest=0.62, largest_recall=0.95), FOLDS) == Setting(0.5, (True,))
    assert settle(table(largest=0.62, largest_recall=0.89), FOLDS) == PLAIN
    assert settle(table(largest=0.6005), FOLDS) == PLAIN


def test_each_label_is_decided_alone() -> None:
    scores = np.concatenate([table(largest=0.7), table(largest=0.5)], axis=2)
    assert settle(scores, FOLDS) == Setting(0.5, (True, False))


def test_the_best_run_is_chosen_and_an_ensemble_only_beyond_noise() -> None:
    tie = choose({A: table(0.6), B: table(0.61), BOTH: table(noise(0.62, 0.02))}, FOLDS)
    assert tie.runs == tie.single == B
    assert [(step.runs, step.taken) for step in tie.steps] == [(BOTH, False)]
    better = choose({A: table(0.6), B: table(0.61), BOTH: table(noise(0.62, 0.002))}, FOLDS)
    assert better.runs == BOTH
    assert better.steps[0].gain == pytest.approx(0.01)
    assert better.steps[0].noise == pytest.approx(0.002)


def test_runs_compete_with_their_best_settings() -> None:
    chosen = choose({A: table(0.6), B: table(0.55, at={0.3: 0.65})}, FOLDS)
    assert (chosen.runs, chosen.setting) == (B, Setting(0.3, (False,)))


def test_a_third_run_must_beat_the_pair_that_stands() -> None:
    three = ("p/a", "p/b", "p/c")
    dice = {A: 0.6, B: 0.6, ("p/c",): 0.5, BOTH: 0.65, three: 0.6505}
    assert choose({runs: table(value) for runs, value in dice.items()}, FOLDS).runs == BOTH
    assert choose({runs: table(value) for runs, value in (dice | {three: 0.66}).items()}, FOLDS).runs == three


def test_the_nested_estimate_scores_each_fold_with_the_others_choice() -> None:
    """Without a fold, the run that is good on it alone is not chosen: the nested Dice is the other run's there."""
    a, b = table(0.6), table(np.where(FOLDS == 0, 0.9, 0.59))
    assert choose({A: a, B: b}, FOLDS).runs == B
    nested = nested_dice({A: a, B: b}, FOLDS)
    assert nested == pytest.approx(np.where(FOLDS == 0, 0.6, 0.59))
    assert nested is not None
    assert nested.mean() < dice_of(b, plain(b)).mean()


def test_the_nested_estimate_of_a_sure_choice_is_its_dice() -> None:
    clear = {A: table(0.4), B: table(0.6, at={0.4: noise(0.7, 0.0001)})}
    assert nested_dice(clear, FOLDS) == pytest.approx(noise(0.7, 0.0001))


def test_an_estimate_has_an_interval_from_five_patients_on() -> None:
    dice, names = np.array([0.4, 0.6, 0.4, 0.6, 0.5]), list("abcde")
    four, five = estimate(dice[:4], names[:4]), estimate(dice, names)
    assert (four.mean, four.low_95, four.high_95) == (pytest.approx(0.5), None, None)
    assert (five.mean, five.low_95, five.high_95) == pytest.approx((0.5, 0.35768, 0.64232), abs=1e-5)
