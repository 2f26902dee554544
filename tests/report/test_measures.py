"""What the report says of a scan in sentences."""

from __future__ import annotations

import pytest

from vmseg_auto.report.measures import confidence, summary
from vmseg_auto.workflows.run_tables import Row


def rows_based_on(patients: int) -> list[Row]:
    whole: Row = {
        "label": "lesion",
        "component": "all",
        "volume_ml": 6.0,
        "volume_low_ml": 4.0,
        "volume_high_ml": 9.0,
        "based_on_scans": 20,
        "based_on_patients": patients,
        "no_interval": "",
        "left_out": 0,
        "left_out_ml": 0.0,
        "left_out_p_lesion": float("nan"),
        "traffic_light": "amber",
        "expected_dice": 0.7,
        "expected_dice_low": 0.5,
        "expected_dice_high": 0.9,
        "expected_dice_scans": 20,
        "expected_dice_patients": patients,
        "fold_agreement": float("nan"),
    }
    return [whole, {**whole, "component": "1"}]


def test_intervals_of_ten_patients_speak_of_scans_as_uncertain_as_this_one() -> None:
    rows = rows_based_on(10)
    assert "nine such volumes in ten are truly 4.00 to 9.00 mL, by 20 validation scans of 10 patients" in summary(rows)
    assert "four such scans in five lie between 0.50 and 0.90" in confidence(rows)[0]


@pytest.mark.parametrize("patients", [5, 9])
def test_intervals_of_fewer_patients_speak_of_all_scans(patients: int) -> None:
    rows = rows_based_on(patients)
    assert "4.00 to 9.00 mL; such intervals hold nine true volumes in ten, over all scans, by" in summary(rows)
    assert "over all scans, four in five lie in such an interval, here between 0.50 and 0.90" in confidence(rows)[0]
