"""What speaks against comparing two scans, by their headers and grids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dicom import slices

from vmseg_auto.data.dicom.series import Series
from vmseg_auto.followup.comparability import Word, check_headers, doubts, other_slices
from vmseg_auto.followup.records import Alignment
from vmseg_auto.followup.rigid import RigidTransform
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

THIN = Geometry((40, 20, 20), (2.0, 2.0, 2.0))
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Slices lie from right to left."""


def scan(patient: tuple[str, ...] = ("a", "b"), days: tuple[str, ...] = ("20200101", "", "")) -> Series:
    return Series("anna", Path("anna"), tuple(slices(patient=patient, days=days)))


def test_two_patients_are_refused_unless_the_user_says_otherwise() -> None:
    for other in (("x", "b"), ("a", "x"), ("x", "")):
        with pytest.raises(InputError, match="two patients") as refused:
            check_headers("anna", scan(), scan(other), Word())
        assert "--same-patient" in str(refused.value)
        check_headers("anna", scan(), scan(other), Word(same_patient=True))
    for same in (("a", "b"), ("", "b"), ("", ""), ()):
        check_headers("anna", scan(), scan(same), Word())


def test_times_in_the_wrong_order_are_refused_unless_the_user_says_otherwise() -> None:
    with pytest.raises(InputError, match="earlier day") as refused:
        check_headers("anna", scan(days=("20240105", "", "")), scan(days=("20191231", "", "")), Word())
    told = str(refused.value)
    assert "--order-as-given" in told
    assert "2024" not in told
    assert "20191231" not in told
    check_headers("anna", scan(days=("20240105",)), scan(days=("20191231",)), Word(order_as_given=True))
    check_headers("anna", scan(days=("20191231",)), scan(days=("20240105",)), Word())
    with pytest.raises(InputError, match="earlier day"):  # the same study, another day of the scan
        check_headers("anna", scan(days=("20240105", "", "20240107")), scan(days=("20240105", "", "20240105")), Word())


def test_image_files_and_headers_without_a_day_tell_nothing() -> None:
    check_headers("anna", Path("a.nii.gz"), scan(), Word())
    check_headers("anna", scan(days=("", "", "")), scan(days=("20191231",)), Word())


def test_what_a_header_tells_of_a_patient_is_never_shown() -> None:
    assert "20200101" not in repr(scan())
    assert "patient" not in repr(scan())


def test_doubts() -> None:
    sound = Alignment.judged(RigidTransform(), 1.0, 0.9, 0.8)
    assert doubts(sound, False, False) == ()
    assert "same image" in doubts(sound, True, True)[0]
    assert "same mask" in doubts(sound, False, True)[0]
    assert "alike" in doubts(Alignment.judged(RigidTransform(), 1.0, 0.9, 0.1), False, False)[0]


def test_slices_of_another_thickness() -> None:
    thick = replace(THIN, shape=(16, 20, 20), spacing_mm=(5.0, 2.0, 2.0))
    found = other_slices(THIN, thick)
    assert found is not None
    assert (found.axis, found.before_mm, found.after_mm) == (2, 2, 5)
    assert "2 mm apart before, 5 mm after" in found.text({"vm": 1.12})
    assert "vm by up to 12 %" in found.text({"vm": 1.12})
    back = other_slices(thick, replace(THIN, direction=SAGITTAL))
    assert back is not None
    assert (back.before_mm, back.after_mm) == (5, 2)
    assert other_slices(thick, thick) is None
    assert other_slices(THIN, replace(THIN, spacing_mm=(2.2, 2.0, 2.0))) is None
