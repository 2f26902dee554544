"""Cases that stand apart."""

from __future__ import annotations

from dataclasses import replace

from vmseg_auto.evaluation.odd_cases import odd_cases
from vmseg_auto.planning.fingerprint import CaseSummary, ChannelStats, Fingerprint

USUAL = CaseSummary((20, 100, 100), (20, 100, 100), (3.0, 1.0, 1.0), {1: 1000}, "0")


def fingerprint(cases: list[CaseSummary]) -> Fingerprint:
    named = {f"c{number}": case for number, case in enumerate(cases)}
    return Fingerprint("x", ("T2",), {"lesion": 1}, named, (ChannelStats(1, 1, 1, 1, 1, 1, 1),), 1.0, "0")


def test_an_even_cohort_has_no_odd_case() -> None:
    cases = [replace(USUAL, spacing_mm=(3.0 + n / 100, 1.0, 1.0)) for n in range(12)]
    assert odd_cases(fingerprint(cases)) == {}


def test_odd_spacing_volume_and_empty_outlines_are_named() -> None:
    cases = [replace(USUAL, class_voxels={1: 1000 + 10 * n}) for n in range(12)]
    cases[3] = replace(cases[3], spacing_mm=(6.0, 1.0, 1.0))
    cases[5] = replace(cases[5], class_voxels={1: 90_000})
    cases[7] = replace(cases[7], class_voxels={1: 0})
    found = odd_cases(fingerprint(cases))
    assert list(found) == ["c3", "c5", "c7"]
    assert "spacing along z (mm) 6, the median is 3" in found["c3"]
    assert found["c5"] == ["lesion volume (mL) 270, the median is 3.24"]
    assert found["c7"] == ["nothing is outlined"]


def test_too_few_to_compare() -> None:
    assert odd_cases(fingerprint([USUAL, replace(USUAL, spacing_mm=(9.0, 1.0, 1.0))])) == {}
