from __future__ import annotations

from pathlib import Path

import pytest
from dicom import slices

from vmseg_auto.data.dicom.series import Acquisition, Series
from vmseg_auto.data.dicom.weighting import suppresses_fat, unlike, weighting


def series(tr: float | None, te: float | None, ti: float | None = None, description: str = "") -> Series:
    acquisition = Acquisition(repetition_ms=tr, inversion_ms=ti, description=description)
    return Series("x", Path("x"), tuple(slices(echo_ms=te)), acquisition=acquisition)


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (series(4000, 90), "T2"),
        (series(500, 10), "T1"),
        (series(4000, 40, 160), "T2"),
        (series(2000, 3, 900), "T1"),
        (series(3000, 20), "PD"),
        (series(5, 2), "T1"),
        (series(500, 10, description="t2_tse"), "T1"),
        (series(None, None, description="t2_tse_fs"), "T2"),
        (series(None, 90, description="COR T1 FS"), "T1"),
        (series(None, None, description="Hals"), None),
        (series(None, None, description="at15"), None),
    ],
)
def test_times_count_and_then_the_description(one: Series, kind: str | None) -> None:
    assert weighting(one) == kind


def test_fat_suppression_is_told_by_the_description() -> None:
    assert suppresses_fat(series(1, 1, description="t2_tse_fs_cor"))
    assert suppresses_fat(series(1, 1, description="STIR tra"))
    assert not suppresses_fat(series(1, 1, description="t2_tse_offset"))


def test_a_t1_among_t2_is_told_by_the_channel_or_by_the_others() -> None:
    one, two, three = series(500, 10), series(4000, 90), series(4000, 100)
    assert unlike([one, two, three], "T2 TSE") == [(one, "T1", "T2")]
    assert unlike([one, two, three], "MR") == [(one, "T1", "T2")]
    assert [found for found, *_ in unlike([one, two], "T1")] == [two]
    assert unlike([], "MR") == []
