"""Choosing among runs, thresholds and post-processings by cross-validated scores, and what the choosing is worth.

Scores are arrays [patients, THRESHOLDS, labels, 3, 2] as `selection.settings.score_settings` makes them, of each
patient the mean over its cases. What is simpler stands until something else gains enough: its mean gain over patients
must exceed both TOLERANCE and its own standard error. Source: the one-standard-error rule of Breiman et al.,
Classification and Regression Trees, 1984, here with paired differences. This is no test: where nothing differs, chance
alone exceeds one standard error in one comparison of six (one of five with five patients).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.models.selection_record import PLAIN_THRESHOLD, THRESHOLDS, Estimate
from vmseg_auto.selection.settings import DICE, RECALL
from vmseg_auto.utils.statistics import Bounds, summarise

Values = NDArray[np.float64]
Runs = tuple[str, ...]

SHARE: Bounds = (0.0, 1.0)
"""Ends of a Dice."""
CHANGE: Bounds = (-1.0, 1.0)
"""Ends of a change of Dice."""
TOLERANCE = 0.001
"""Least mean gain in Dice that counts."""
RULE = (
    "A gain counts where it exceeds one standard error; where nothing differs, chance alone does that in about one "
    "comparison of six."
)
"""What is to be told beside every choice."""
_PLAIN = THRESHOLDS.index(PLAIN_THRESHOLD)


@dataclass(frozen=True)
class Setting:
    """What turns probabilities into a mask.

    Args:
        threshold: one of THRESHOLDS.
        keep_largest: for each label, whether only its largest component is kept.
    """

    threshold: float
    keep_largest: tuple[bool, ...]


@dataclass(frozen=True)
class Step:
    """A larger ensemble beside what stood until then.

    Args:
        runs: of the ensemble.
        gain: change of the mean Dice.
        noise: its standard error.
        taken: whether it gains more than that.
    """

    runs: Runs
    gain: float
    noise: float
    taken: bool


@dataclass(frozen=True)
class Choice:
    """What predicts.

    Args:
        runs: whose probabilities are averaged.
        setting: theirs.
        single: the best single run.
        steps: from there, by the best of each larger size.
    """

    runs: Runs
    setting: Setting
    single: Runs
    steps: tuple[Step, ...]


def plain(scores: Values) -> Setting:
    """Return the setting without choices: the argmax class wins, and all components are kept."""
    return Setting(PLAIN_THRESHOLD, (False,) * scores.shape[2])


def dice_of(scores: Values, setting: Setting) -> Values:
    """Return each patient's Dice under a setting, mean over the labels: [patients]."""
    at = scores[:, THRESHOLDS.index(setting.threshold), :, DICE]
    dice: Values = np.where(setting.keep_largest, at[..., 1], at[..., 0]).mean(axis=1)
    return dice


def standard_error(gain: Values) -> float:
    """Return the standard error of the mean of a gain [patients]; infinite for a single patient.

    >>> round(standard_error(np.array([0.02, 0.04, 0.03])), 4)
    0.0058
    """
    return float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else np.inf


def gains_enough(gain: Values) -> bool:
    """Return whether the mean of a gain [patients] is beyond TOLERANCE and its own standard error.

    >>> gains_enough(np.array([0.02, 0.04, 0.03])), gains_enough(np.array([0.04, -0.04, 0.01]))
    (True, False)
    """
    return bool(gain.mean() > max(TOLERANCE, standard_error(gain)))


def best_setting(scores: Values) -> Setting:
    """Choose the setting that these patients speak for.

    The threshold of the highest mean Dice, and then, label by label, the largest component alone: each where the gain
    is real and the mean lesion recall does not fall. Labels are decided alone, as what is removed becomes background.
    """
    before = dice_of(scores, plain(scores))
    recall = scores[:, :, :, RECALL, 0].mean(axis=(0, 2))
    gains = [dice_of(scores, Setting(threshold, plain(scores).keep_largest)) - before for threshold in THRESHOLDS]
    allowed = [n for n in range(len(THRESHOLDS)) if recall[n] >= recall[_PLAIN] and gains_enough(gains[n])]
    chosen = max(allowed, key=lambda n: gains[n].mean(), default=_PLAIN)
    at = scores[:, chosen]
    keep = [
        gains_enough(label[:, DICE, 1] - label[:, DICE, 0]) and label[:, RECALL, 1].mean() >= label[:, RECALL, 0].mean()
        for label in np.moveaxis(at, 1, 0)
    ]
    return Setting(THRESHOLDS[chosen], tuple(bool(k) for k in keep))


def nested_gain(scores: Values, folds: NDArray[np.int64]) -> Values | None:
    """Return each patient's Dice under the setting that the other folds' patients speak for, minus that under the plain
    one.

    Args:
        folds: of each patient.

    Returns:
        [patients]; None with a single fold.
    """
    if len(set(folds.tolist())) < 2:
        return None
    gain = np.empty(len(folds))
    for fold in np.unique(folds):
        left_out = folds == fold
        setting = best_setting(scores[~left_out])
        gain[left_out] = dice_of(scores[left_out], setting) - dice_of(scores[left_out], plain(scores))
    return gain


def settle(scores: Values, folds: NDArray[np.int64]) -> Setting:
    """Choose the best setting, or the plain one where choosing does not pay on patients left out of it."""
    setting = best_setting(scores)
    if setting == plain(scores):
        return setting
    gain = nested_gain(scores, folds)
    return setting if gain is not None and gain.mean() > 0 else plain(scores)


def choose(candidates: Mapping[Runs, Values], folds: NDArray[np.int64]) -> Choice:
    """Choose the best single run, unless an ensemble gains enough; more runs only where fewer are not as good.

    Args:
        candidates: runs -> scores of all patients; single runs among them.
        folds: of each patient.
    """
    settings = {runs: settle(scores, folds) for runs, scores in candidates.items()}
    dice = {runs: dice_of(scores, settings[runs]) for runs, scores in candidates.items()}
    sizes = sorted({len(runs) for runs in candidates})
    best = [max((runs for runs in candidates if len(runs) == size), key=lambda r: dice[r].mean()) for size in sizes]
    chosen, steps = best[0], []
    for runs in best[1:]:
        gain = dice[runs] - dice[chosen]
        taken = gains_enough(gain)
        steps.append(Step(runs, float(gain.mean()), standard_error(gain), taken))
        chosen = runs if taken else chosen
    return Choice(chosen, settings[chosen], best[0], tuple(steps))


def nested_dice(candidates: Mapping[Runs, Values], folds: NDArray[np.int64]) -> Values | None:
    """Return each patient's Dice by what the other folds' patients would have chosen: [patients]; None with a single
    fold.
    """
    if len(set(folds.tolist())) < 2:
        return None
    dice = np.empty(len(folds))
    for fold in np.unique(folds):
        left_out = folds == fold
        choice = choose({runs: scores[~left_out] for runs, scores in candidates.items()}, folds[~left_out])
        dice[left_out] = dice_of(candidates[choice.runs][left_out], choice.setting)
    return dice


def estimate(values: Values, patients: Sequence[str], bounds: Bounds = SHARE) -> Estimate:
    """Estimate the mean over patients with its interval, within the bounds of what each value can be."""
    found = summarise(values, patients, bounds)
    if np.isnan(found.low_95):
        return Estimate(found.mean, None, None, found.patients)
    return Estimate(found.mean, found.low_95, found.high_95, found.patients)
