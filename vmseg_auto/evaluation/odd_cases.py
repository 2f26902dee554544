"""Cases that stand apart from their cohort."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median, quantiles

from vmseg_auto.planning.fingerprint import CaseSummary, Fingerprint

FENCE = 1.5
"""Quartile distances beyond the quartiles from which a value is odd (Tukey, Exploratory Data Analysis, 1977)."""
AT_LEAST = 0.25
"""Share by which it must also differ from the median: in an even cohort the quartiles lie close together."""


def odd_cases(fingerprint: Fingerprint) -> dict[str, list[str]]:
    """Return case id -> what is odd of it, in words; cases of which nothing is are left out.

    Spacing, field of view and lesion volume are compared as ratios, by Tukey's fences on their logarithms.
    """
    found: dict[str, list[str]] = {}
    cases = fingerprint.turned_cases
    measures: dict[str, dict[str, float]] = {"lesion volume (mL)": {i: c.volume_ml for i, c in cases.items()}}
    for place, axis in enumerate("zyx"):
        measures[f"spacing along {axis} (mm)"] = {i: c.spacing_mm[place] for i, c in cases.items()}
        measures[f"field of view along {axis} (mm)"] = {i: _extent(c, place) for i, c in cases.items()}
    for name, values in measures.items():
        for case, words in _outside(name, values).items():
            found.setdefault(case, []).append(words)
    for case, summary in cases.items():
        if summary.volume_ml == 0:
            found.setdefault(case, []).append("nothing is outlined")
    return {case: found[case] for case in cases if case in found}


def _extent(case: CaseSummary, axis: int) -> float:
    return case.shape[axis] * case.spacing_mm[axis]


def _outside(name: str, values: dict[str, float]) -> dict[str, str]:
    known = {case: math.log(value) for case, value in values.items() if value > 0}
    if len(known) < 4:
        return {}
    low, high = _fences(list(known.values()))
    middle = median(known.values())
    return {
        case: f"{name} {values[case]:.3g}, the median is {math.exp(middle):.3g}"
        for case, value in known.items()
        if not low <= value <= high and abs(value - middle) > math.log1p(AT_LEAST)
    }


def _fences(values: Sequence[float]) -> tuple[float, float]:
    first, _, third = quantiles(values, n=4, method="inclusive")
    reach = FENCE * (third - first)
    return first - reach, third + reach
