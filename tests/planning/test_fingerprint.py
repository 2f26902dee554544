"""What sets a scan apart from a cohort."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cohorts import cohort

from vmseg_auto.planning.fingerprint import Fingerprint, Profile
from vmseg_auto.utils.geometry import Geometry

DARK, BRIGHT = (0.0, 0.1, 0.3, 0.5, 0.7), (0.1, 0.2, 0.5, 0.7, 0.9)


def of_profiles(*profiles: Profile) -> Fingerprint:
    """A case of one channel for each; spacings 3 to 5 mm, fields of view 72 to 120 mm along z and 96 mm in-plane."""
    spacings = [(3.0 + 2 * n / (len(profiles) - 1), 1.0, 1.0) for n in range(len(profiles))]
    plain = cohort(spacings, [(24, 96, 96)] * len(profiles))
    cases = {
        name: replace(case, profiles=(profile,))
        for (name, case), profile in zip(plain.cases.items(), profiles, strict=True)
    }
    return replace(plain, cases=cases)


SCANS = of_profiles(DARK, BRIGHT).scans
ALIKE = Geometry((24, 96, 96), (4.0, 1.0, 1.0))


def test_the_cohorts_own_kind_is_alike_up_to_the_margins() -> None:
    assert SCANS.unlike(ALIKE, [DARK]) == []
    assert SCANS.unlike(ALIKE, [tuple(value + 0.09 for value in BRIGHT)]) == []
    assert SCANS.unlike(replace(ALIKE, spacing_mm=(6.2, 1.0, 1.0)), [DARK]) == []


def test_a_scan_whose_axes_are_stored_in_another_order_is_alike() -> None:
    """Sagittal: its last axis runs along the patient's height."""
    sagittal = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    scan = Geometry((96, 96, 24), (1.0, 1.0, 4.0), direction=sagittal)
    assert scan.patient_axes == (0, 1, 2)
    assert SCANS.unlike(scan, [DARK]) == []
    assert len(replace(SCANS, patient_axes=None).unlike(scan, [DARK])) == 2


def test_cases_are_turned_as_nine_in_ten_are_stored() -> None:
    """Of 20, two; where three differ, nobody is turned."""
    plain = cohort([(4.0, 1.0, 1.0)] * 20, [(24, 96, 90)] * 20)
    other = [name for name in plain.cases][:3]
    stored = {name: case.along((0, 2, 1)) if name in other[:2] else case for name, case in plain.cases.items()}
    assert stored[other[0]].spacing_mm == (1.0, 4.0, 1.0)
    assert replace(plain, cases=stored).turned_cases == plain.cases
    more = {**stored, other[2]: plain.cases[other[2]].along((0, 2, 1))}
    assert replace(plain, cases=more).patient_axes is None
    assert replace(plain, cases=more).turned_cases == more


@pytest.mark.parametrize(
    ("scan", "profile", "words"),
    [
        (Geometry((24, 96, 96), (7.0, 1.0, 1.0)), DARK, ["spacing along z 7 mm, in the cohort 3 to 5 mm", "field of"]),
        (Geometry((24, 96, 40), (4.0, 1.0, 1.0)), DARK, ["field of view along x 40 mm, in the cohort 96 to 96 mm"]),
        (
            ALIKE,
            (0.0, 0.1, 0.95, 0.97, 0.99),
            ["intensities of channel 1: 50 % of the voxels lie below 95 % of the way from dark to bright, in the "
             "cohort below 30 to 50 %"],
        ),
        (ALIKE, (0.0, 0.0, 0.1, 0.5, 0.7), ["intensities of channel 1: 50 % of the voxels lie below 10 %"]),
    ],
)  # fmt: skip
def test_what_lies_beyond_is_named_with_the_cohorts_range(scan: Geometry, profile: Profile, words: list[str]) -> None:
    found = SCANS.unlike(scan, [profile])
    assert len(found) == len(words)
    assert all(text.startswith(start) for text, start in zip(found, words, strict=True))


def test_a_cohort_whose_profiles_are_not_known_judges_by_the_grid_alone() -> None:
    known = of_profiles(DARK, BRIGHT)
    first, *others = known.cases
    unknown = replace(known, cases={**known.cases, first: replace(known.cases[first], profiles=())})
    assert unknown.scans.profiles == ()
    assert unknown.scans.unlike(ALIKE, [(1.0,) * 5]) == []
    assert others
