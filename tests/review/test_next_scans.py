"""The order in which scans are worth annotating: uncertain ones first, and none after its like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from consoles import Heard
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from reports import GRID
from reviewing import by_hand, predictions

from vmseg_auto.data.images.images import read_image, write_image
from vmseg_auto.data.scans import find_scans
from vmseg_auto.report.predictions import read_prediction_record
from vmseg_auto.review.next_scans import most_worth_first, order_scans
from vmseg_auto.review.predicted_cases import AddTo, PredictedCases
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.left_out import Inventory


def vectors(*angles: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), np.sin(angle)] for angle in angles]).reshape(-1, 2)


def order(uncertainty: Sequence[float], new: Sequence[float], known: Sequence[float] = ()) -> list[int]:
    return most_worth_first(np.array(uncertainty), vectors(*new), vectors(*known))


def test_of_equal_uncertainty_the_unlike_come_first() -> None:
    assert order([1, 1, 1], [0.1, 1.0, 0.5], known=[0.0]) == [1, 2, 0]


def test_of_equal_distance_the_uncertain_come_first() -> None:
    assert order([0.2, 0.9, 0.5], [0.5, 0.5, -0.5], known=[0.0]) == [1, 2, 0]


def test_after_a_scan_its_like_is_worth_little() -> None:
    """By uncertainty alone the second would be the twin of the first."""
    assert order([0.9, 0.8, 0.3], [1.0, 1.0, -0.6], known=[0.0]) == [0, 2, 1]


def test_where_nothing_is_known_the_most_typical_is_the_first() -> None:
    assert order([1, 1, 1, 1], [0.0, 0.1, 0.2, 1.5])[:2] == [2, 3]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-3, 3)), min_size=1, max_size=8),
    st.lists(st.floats(-3, 3), max_size=3),
)
def test_each_scan_is_named_once(new: list[tuple[float, float]], known: list[float]) -> None:
    found = order([one[0] for one in new], [one[1] for one in new], known)
    assert sorted(found) == list(range(len(new)))


def test_scans_that_are_annotated_or_unreadable_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("anna", "bert", "carl"):
        write_image(tmp_path / "new" / f"{name}.nii.gz", rng.normal(size=GRID.shape).astype(np.float32), GRID)
    image, _ = read_image(tmp_path / "new" / "bert.nii.gz")
    write_image(tmp_path / "known" / "case_1.nii.gz", image, GRID)
    data = bytearray((tmp_path / "new" / "carl.nii.gz").read_bytes())
    (tmp_path / "new" / "carl.nii.gz").write_bytes(data[: len(data) // 2])
    (tmp_path / "known" / "case_2.nii.gz").write_bytes(data[: len(data) // 2])
    scans, known = (find_scans(tmp_path / name, ("T2",)) for name in ("new", "known"))
    ordered = order_scans(scans, known, (), {}, heard := Heard())
    assert [("case_2" in words, "scan of the dataset can't be read" in words) for words in heard.warned] == [
        (True, True)
    ]
    assert ordered.cases == ("anna",)
    assert ordered.there == {"bert": "case_1"}
    assert [error.case for error in ordered.failed] == ["carl"]


def test_predictions_come_in_this_order_when_asked_for(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", "bertram", "cornelius")
    for case, uncertainty in (("anna", 0.1), ("bertram", 0.9), ("cornelius", 0.3)):
        set_uncertainty(folder, case, uncertainty)
    dataset = by_hand(tmp_path, "dora")
    add_to, scans = AddTo(dataset), tmp_path / "scans"
    cases = PredictedCases(folder, scans, Inventory(), add_to, by_learning=True, console=Heard())
    first, *others = [entry.case for entry in cases.entries]
    assert first == "bertram"
    assert sorted(others) == ["anna", "cornelius"]


def set_uncertainty(folder: Path, case: str, uncertainty: float) -> None:
    record = read_prediction_record(folder, case)
    confidence = replace(record.judgement.confidence, uncertainty=uncertainty)
    judgement = replace(record.judgement, confidence=confidence)
    write_sealed(folder / f"{case}.json", replace(record, judgement=judgement).to_json())
