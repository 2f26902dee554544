"""Lesions found against false ones, at every threshold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.lesion_matching import Lesions
from vmseg_auto.evaluation.metrics.lesions import overlapping_lesions
from vmseg_auto.selection.froc import FALSE, FOUND, FROC_THRESHOLDS, LESIONS, Froc, count_lesions
from vmseg_auto.utils.statistics import summarise
from vmseg_auto.workflows.run_tables import read_froc

AT_HALF = FROC_THRESHOLDS.index(0.5)
LABELS = {"background": 0, "lesion": 1}


def row(text: str) -> NDArray[np.uint8]:
    """One row of voxels; a digit d is the probability d / 10."""
    return np.array([[[[round(int(digit) * 25.5) for digit in text]]]], dtype=np.uint8)


def reference(text: str) -> NDArray[np.uint8]:
    return np.array([[[int(digit) for digit in text]]], dtype=np.uint8)


def test_by_hand() -> None:
    """Of two lesions one has 0.9 and one 0.4; a false one has 0.7."""
    (counts,) = count_lesions(row("0990004400070"), reference("1110001100000"), {"a": 1})
    assert counts.shape == (len(FROC_THRESHOLDS), 3)
    assert counts[:, LESIONS].tolist() == [2] * 9
    assert counts[:, FOUND].tolist() == [2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert counts[:, FALSE].tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_a_scan_without_any_lesion_counts_as_a_scan() -> None:
    (counts,) = count_lesions(row("000000"), reference("000000"), {"a": 1})
    assert not counts.any()


def test_each_label_has_its_own_lesions() -> None:
    """Where two labels compete, the stronger one counts."""
    foreground = np.concatenate([row("880030"), row("100060")])
    first, second = count_lesions(foreground, reference("110020"), {"a": 1, "b": 2})
    assert first[AT_HALF].tolist() == [1, 1, 0]
    assert second[AT_HALF].tolist() == [1, 1, 0]


@given(st.integers(0, 10_000))
def test_at_one_half_it_is_what_the_scores_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    soft, truth = rng.integers(0, 256, (1, 3, 6, 6), dtype=np.uint8), rng.integers(0, 2, (3, 6, 6), dtype=np.uint8)
    counts = count_lesions(soft, truth, {"a": 1})[0]
    scores = overlapping_lesions(Lesions.of(soft[0] > 127, truth == 1), 1.0)
    names = ("reference_lesions", "lesions_found", "false_positive_lesions")
    assert counts[AT_HALF].tolist() == [scores[name] for name in names]
    assert (np.diff(counts[:, FOUND]) <= 0).all()  # a higher threshold finds no more


def made(patients: int) -> Froc:
    """Scans with two lesions and a false one each; the second lesion is found in every other scan."""
    counts = np.zeros((1, len(FROC_THRESHOLDS), 3), dtype=np.int64)
    counts[..., LESIONS], counts[..., FALSE] = 2, 1
    cases = {f"case_{n}": counts.copy() for n in range(2 * patients)}
    for number, one in enumerate(cases.values()):
        one[..., FOUND] = 1 + number // 2 % 2
        one[..., FALSE] += number % 3 == 0
    return Froc.of(LABELS, cases, {case: f"patient_{n // 2}" for n, case in enumerate(cases)})


def test_the_table_tells_intervals_over_patients(tmp_path: Path) -> None:
    run, froc = Run(tmp_path), made(10)
    froc.save(run)
    rows = read_froc(run)
    assert [one["threshold"] for one in rows] == list(FROC_THRESHOLDS)
    one = rows[AT_HALF]
    assert (one["label"], one["lesions"], one["found"], one["scans"], one["patients"]) == ("lesion", 40, 30, 20, 10)
    touched = np.array([1, 0, 1, 0, 1, 1, 1, 1] * 5, dtype=float)
    expected = summarise(touched, [f"{n // 4}" for n in range(40)], (0.0, 1.0))
    told = one["sensitivity"], one["sensitivity_low"], one["sensitivity_high"]
    assert told == pytest.approx((expected.mean, expected.low_95, expected.high_95), rel=1e-4)
    assert one["false_positives_per_scan"] == pytest.approx(27 / 20)
    assert one["false_positives_per_scan_low"] < 27 / 20 < one["false_positives_per_scan_high"]
    assert one["no_sensitivity_interval"] == ""


def test_few_patients_have_a_reason_and_no_interval(tmp_path: Path) -> None:
    run = Run(tmp_path)
    made(3).save(run)
    one = read_froc(run)[AT_HALF]
    assert math.isnan(one["sensitivity_low"])
    assert one["no_sensitivity_interval"] == one["no_false_positives_interval"] == "none: 3 patients"


def test_without_a_lesion_there_is_no_sensitivity(tmp_path: Path) -> None:
    run = Run(tmp_path)
    Froc.of(LABELS, {"a": np.zeros((1, len(FROC_THRESHOLDS), 3), dtype=np.int64)}, {}).save(run)
    one = read_froc(run)[0]
    assert (one["lesions"], one["patients"]) == (0, 1)
    assert math.isnan(one["sensitivity"])
