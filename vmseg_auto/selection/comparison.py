"""The comparison of runs in words: why each thing was chosen, and a table for the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.models.selection_record import PLAIN_THRESHOLD, THRESHOLDS, Estimate, Selection, name_of
from vmseg_auto.selection.choose import (
    RULE,
    TOLERANCE,
    Choice,
    Setting,
    Values,
    best_setting,
    dice_of,
    gains_enough,
    nested_gain,
    plain,
    standard_error,
)
from vmseg_auto.selection.settings import DICE, RECALL
from vmseg_auto.utils.statistics import no_interval, without_interval
from vmseg_auto.utils.text import with_interval


def threshold_reason(scores: Values, folds: NDArray[np.int64], setting: Setting) -> str:
    """Describe why the foreground counts from this probability on."""
    before, keep = dice_of(scores, plain(scores)), plain(scores).keep_largest
    gains = {t: dice_of(scores, Setting(t, keep)) - before for t in THRESHOLDS if t != PLAIN_THRESHOLD}
    best = max(gains, key=lambda t: gains[t].mean())
    nested = nested_gain(scores, folds)
    unseen = "" if nested is None else f"{nested.mean():+.4f}"
    if setting.threshold != PLAIN_THRESHOLD:
        gain = gains[setting.threshold].mean()
        return (
            f"threshold {setting.threshold:g} rather than 0.5: mean Dice changes by {gain:+.4f}; threshold and "
            f"post-processing chosen without each fold in turn change its patients' Dice by {unseen}"
        )
    kept = f"threshold 0.5; {best:g}, the best other one, changes mean Dice by {gains[best].mean():+.4f}"
    wanted = best_setting(scores).threshold
    if wanted != PLAIN_THRESHOLD:
        gain = gains[wanted].mean()
        why = f"chosen without each fold in turn, it changes its patients' Dice by {unseen}"
        why = why if unseen else "a single fold can't confirm it"
        return f"threshold 0.5; {wanted:g} changes mean Dice by {gain:+.4f}, but {why}"
    if gains_enough(gains[best]):
        return f"{kept}, but finds a smaller share of the lesions"
    return f"{kept}, {_too_little(standard_error(gains[best]))}"


def label_reasons(scores: Values, setting: Setting, labels: Sequence[str]) -> Iterator[str]:
    """Yield for each label why all its components are kept, or the largest alone."""
    at = scores[:, THRESHOLDS.index(setting.threshold)].mean(axis=0)
    promising = best_setting(scores).keep_largest
    for label, keep, hoped, values in zip(labels, setting.keep_largest, promising, at, strict=True):
        yield (
            f"{label}: {'only the largest component is kept' if keep else 'all components are kept'}; with the largest "
            f"alone, mean Dice goes from {values[DICE, 0]:.4f} to {values[DICE, 1]:.4f} and lesion recall from "
            f"{values[RECALL, 0]:.4f} to {values[RECALL, 1]:.4f}"
            + (", but patients left out of the choice do not bear it out" if hoped and not keep else "")
        )


def choice_reasons(choice: Choice, runs: int) -> Iterator[str]:
    """Yield the reasons for this run or ensemble, of so many runs."""
    yield f"{name_of(choice.single)} is " + ("the only run" if runs == 1 else f"the best of {runs} runs by mean Dice")
    for step in choice.steps:
        change = f"{name_of(step.runs)} changes that by {step.gain:+.4f}"
        if step.taken:
            yield f"{change}, more than one standard error ({step.noise:.4f}): it is taken"
        elif step.gain > 0:
            yield f"{change}, {_too_little(step.noise)}, and fewer runs predict sooner"
        else:
            yield f"{change}: it is no better"


def _too_little(error: float) -> str:
    return f"too little: it must exceed both one standard error ({error:.4f}) and {TOLERANCE:g}"


def comparison_text(selection: Selection) -> str:
    """Describe the runs, their Dice, the choice and its worth."""
    rows = [("", "as predicted", "threshold", "largest only", "so predicted")]
    for candidate in selection.candidates:
        mark = "* " if candidate == selection.chosen else "  "
        largest = ", ".join(candidate.postprocessing.keep_largest) or "-"
        before, after = (_estimate(one) for one in (candidate.plain, candidate.dice))
        rows.append((mark + candidate.name, before, f"{candidate.threshold:g}", largest, after))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    table = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [
            f"\nCross-validated Dice, mean over {selection.patients} patients (95 % interval); * is chosen",
            *table,
            *without_interval(selection.patients),
            f"Chosen: {selection.chosen.name}",
            *(f"  - {reason}" for reason in selection.reasons),
            *(f"  - {reason}" for reason in selection.chosen.reasons),
            *(f"  - {reason}" for reason in selection.chosen.postprocessing.reasons),
            RULE,
            "What choosing is worth:",
            *(f"  - {line}" for line in _worth(selection)),
        ]
    )


def _worth(selection: Selection) -> Iterator[str]:
    worth = selection.worth
    yield f"without choosing: Dice {_estimate(worth.reference_dice)}, {worth.reference} as predicted"
    gain = f"{_estimate(selection.chosen.dice)}, a change of {_estimate(worth.chosen_gain, sign=True)}"
    yield f"on the patients that it was chosen by, which flatters it: Dice {gain}"
    if worth.nested_dice is None or worth.nested_gain is None:
        yield "on patients that it was not chosen by: not known, as there is a single fold"
    else:
        gain = f"{_estimate(worth.nested_dice)}, a change of {_estimate(worth.nested_gain, sign=True)}"
        yield f"on patients that it was not chosen by (each fold scored with the others' choice): Dice {gain}"


def _estimate(value: Estimate | None, sign: bool = False) -> str:
    if value is None:
        return "-"
    return with_interval(value.mean, value.low_95, value.high_95, no_interval(value.patients), sign=sign)
