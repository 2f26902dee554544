"""What a reader's decision leaves in a folder of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_made import write_series
from numpy.typing import NDArray
from reports import GRID, LABELS, deliver
from reviewing import by_hand, cases_of, drawn, given, predicted_of, predictions

from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.data.images.segmentations import read_labels, write_segmentation
from vmseg_auto.data.mask_files import decision_on, is_corrected, mask_sha256
from vmseg_auto.data.mask_folders import find_masks, masks_below, require_counting
from vmseg_auto.data.reviews import Decision
from vmseg_auto.evaluation.expected_quality import CORRECTED
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.evaluation.volumetry import measure
from vmseg_auto.report.decisions import decisions_table
from vmseg_auto.report.write import write_report
from vmseg_auto.review import save
from vmseg_auto.review.drafts import ChangedMeanwhileError
from vmseg_auto.review.predicted_case import predicted_file
from vmseg_auto.review.predicted_cases import AddTo, PredictedCases
from vmseg_auto.review.save import bring_up_to_date, save_decision
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.prediction_record import PredictionRecord


def decide(
    folder: Path, decision: Decision, mask: NDArray[np.uint8] | None = None, key: int = 0, **other: Any
) -> PredictionRecord:
    """Open a case and save a decision, on the mask as it stands unless one is given."""
    case = cases_of(folder).read(key)
    drawn_mask = case.opened.mask if mask is None else mask
    return save_decision(folder, case, given(case.opened, decision, **other), drawn_mask)


def rows(folder: Path, case: str) -> list[dict[str, str]]:
    return [row for row in read_csv(folder / "volumes.csv") if row["case"] == case]


def test_a_corrected_mask_is_what_was_drawn_and_is_measured(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", "bert")
    before, (predicted, grid), others = rows(folder, "anna"), read_mask(folder / "anna.nii.gz"), rows(folder, "bert")
    mask = drawn(predicted)
    decide(folder, "corrected", mask, comment="the small one is a vessel")
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], mask)
    assert read_mask(folder / "anna.nii.gz")[1] == grid
    record = read_stored(PredictionRecord, folder / "anna.json")
    (review,) = record.reviews
    assert (record.mask_sha256, review.mask_sha256) == (mask_sha256(predicted), mask_sha256(mask))
    assert (review.decision, review.reader, review.comment) == ("corrected", "Dr Ada", "the small one is a vessel")
    assert (review.minutes, review.voxels_changed) == (2.5, 32 + 12)
    assert review.dice == pytest.approx(mean_dice(mask, predicted, {"lesion": 1}))
    assert review.volumes_ml == {"venous_malformation": pytest.approx(612 * grid.voxel_ml)}
    whole, pieces = measure(mask == 1, grid)
    total, *components = rows(folder, "anna")
    assert (total["voxels"], total["components"]) == ("612", "1")
    assert float(total["volume_ml"]) == pytest.approx(whole.volume_ml)
    assert float(components[0]["longest_diameter_mm"]) == pytest.approx(pieces[0].size.longest_diameter_mm, rel=1e-5)
    assert before[0]["volume_low_ml"] != ""
    assert (total["volume_low_ml"], total["expected_dice"], total["traffic_light"]) == ("", "", "")
    assert total["no_interval"] == CORRECTED
    assert total["remark"] == f"{CORRECTED}; a reader's decision: corrected"
    assert rows(folder, "bert") == others
    assert is_corrected(folder / "anna.nii.gz")
    np.testing.assert_array_equal(read_mask(predicted_file(folder, "anna"))[0], predicted)


def test_an_accepted_mask_stays_byte_for_byte_with_its_interval(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    before, bytes_before = rows(folder, "anna"), (folder / "anna.nii.gz").read_bytes()
    record = decide(folder, "accepted")
    assert (folder / "anna.nii.gz").read_bytes() == bytes_before
    assert (record.reviews[0].voxels_changed, record.reviews[0].dice) == (0, 1.0)
    total, *components = rows(folder, "anna")
    assert {**total, "remark": ""} == before[0]
    assert total["remark"] == "a reader's decision: accepted"
    assert components == before[1:]
    assert not is_corrected(folder / "anna.nii.gz")
    assert not predicted_file(folder, "anna").exists()


@pytest.mark.parametrize("decision", ["rejected", "unsure"])
def test_what_is_rejected_or_unsure_leaves_the_mask_and_says_so(tmp_path: Path, decision: Decision) -> None:
    folder = predictions(tmp_path, "anna")
    predicted = read_mask(folder / "anna.nii.gz")[0]
    decide(folder, decision, drawn(predicted))
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], predicted)
    assert rows(folder, "anna")[0]["remark"] == f"a reader's decision: {decision}"
    assert cases_of(folder).entries[0].state == decision
    words = write_report(folder).read_text()
    assert ("must not be used" in words) == (decision == "rejected")


def test_a_rejected_mask_is_taken_into_no_dataset_until_it_is_corrected(tmp_path: Path) -> None:
    folder, errors = predictions(tmp_path, "anna", "bert"), list[VmsegError]()
    decide(folder, "rejected")
    assert decision_on(folder / "anna.nii.gz") == "rejected"
    assert masks_below(folder, errors, Inventory())[0] == [folder / "bert.nii.gz"]
    assert "a reader has rejected this mask" in str(errors[0])
    write_mask(folder / "anna.nii.gz", drawn(read_mask(folder / "anna.nii.gz")[0]), GRID)
    assert decision_on(folder / "anna.nii.gz") is None
    assert len(masks_below(folder, errors, Inventory())[0]) == 2


def test_a_prediction_that_another_file_still_holds_is_kept(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", formats=("nifti", "seg.nrrd"))
    predicted, grid = read_mask(folder / "anna.nii.gz")
    mask = drawn(predicted)
    write_segmentation(folder / "anna.seg.nrrd", mask, grid, LABELS, {"venous_malformation": "#ff0000"})
    opened = cases_of(folder).open(0)
    assert opened.predicted is not None
    np.testing.assert_array_equal(opened.predicted, predicted)
    mask[3, 21, 8:20] = 1
    record = decide(folder, "corrected", mask)
    assert record.reviews[0].voxels_changed == 32 + 12 + 12
    np.testing.assert_array_equal(read_mask(predicted_file(folder, "anna"))[0], predicted)
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], mask)


def test_no_lesion_leaves_an_empty_mask(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    decide(folder, "no lesion")
    assert not read_mask(folder / "anna.nii.gz")[0].any()
    (total,) = rows(folder, "anna")
    assert (total["voxels"], total["volume_ml"]) == ("0", "0")


def test_going_back_to_the_prediction_brings_its_interval_back(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    before, predicted = rows(folder, "anna"), read_mask(folder / "anna.nii.gz")[0]
    decide(folder, "corrected", drawn(predicted))
    opened = cases_of(folder).open(0)
    assert opened.predicted is not None
    np.testing.assert_array_equal(opened.predicted, predicted)
    record = decide(folder, "accepted", opened.predicted)
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], predicted)
    assert [{**row, "remark": ""} for row in rows(folder, "anna")] == before
    assert record.standing(folder).state == "as written"
    assert [review.decision for review in record.reviews] == ["corrected", "accepted"]


def test_decisions_that_do_not_fit_the_mask_are_refused(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    predicted = read_mask(folder / "anna.nii.gz")[0]
    with pytest.raises(InputError, match="can't be accepted as it is"):
        decide(folder, "accepted", drawn(predicted))
    with pytest.raises(InputError, match="nothing is corrected"):
        decide(folder, "corrected")
    with pytest.raises(InputError, match=r"the mask is empty\. Save it as no lesion"):
        decide(folder, "corrected", np.zeros_like(predicted))
    with pytest.raises(InputError, match="holds 7, which is no label"):
        decide(folder, "corrected", np.where(predicted, 7, predicted).astype(np.uint8))
    assert read_stored(PredictionRecord, folder / "anna.json").reviews == ()


def test_the_second_reader_is_told_and_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    seen = cases_of(folder).open(0)
    decide(folder, "corrected", drawn(seen.mask), reader="Dr Bell")
    written = (folder / "anna.nii.gz").read_bytes()
    cases = cases_of(folder)
    again = cases.open(0)
    with pytest.raises(ChangedMeanwhileError, match="Dr Bell has saved this case meanwhile"):
        cases.save(0, given(seen, "no lesion"), seen.mask)
    elsewhere = again.mask.copy()
    elsewhere[0, 0, 0] = 1
    write_mask(folder / "anna.nii.gz", elsewhere, again.geometry)
    with pytest.raises(ChangedMeanwhileError, match="was changed meanwhile"):
        cases.save(0, given(again, "no lesion"), again.mask)
    assert written != (folder / "anna.nii.gz").read_bytes()
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], elsewhere)


def test_a_mask_that_another_program_changes_later_is_to_do_again(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    opened = cases_of(folder).open(0)
    decide(folder, "corrected", drawn(opened.mask))
    assert cases_of(folder).entries[0].state == "corrected"
    other = opened.mask.copy()
    other[9] = 1
    write_mask(folder / "anna.nii.gz", other, opened.geometry)
    entry = cases_of(folder).entries[0]
    assert (entry.state, entry.reader) == ("to do", "")
    decide(folder, "corrected", drawn(other))
    assert [review.decision for review in cases_of(folder).open(0).reviews] == ["corrected", "corrected"]


def test_every_format_of_the_mask_is_written_again(tmp_path: Path) -> None:
    write_series(
        tmp_path / "scans" / "anna", np.full((4, 12, 12), 100, np.uint16), Geometry((4, 12, 12), (3.0, 1.0, 1.0))
    )
    mask = np.zeros((4, 12, 12), np.uint8)
    mask[1:3, 2:8, 2:8] = 1
    folder = deliver(tmp_path / "scans", tmp_path / "masks", {"anna": mask}, formats=("dicom-seg", "seg.nrrd", "nifti"))
    new = mask.copy()
    new[1, 8, 2:8] = 1
    record = decide(folder, "corrected", new)
    assert {path.name for path in record.standing(folder).counting} == {"anna.dcm", "anna.seg.nrrd", "anna.nii.gz"}
    for name in ("anna.seg.nrrd", "anna.nii.gz"):
        np.testing.assert_array_equal(read_labels(folder / name, {"venous_malformation": 1})[0], new)
        assert is_corrected(folder / name)
        require_counting(folder / name)
    written = pydicom.dcmread(folder / "anna.dcm")
    assert int(np.count_nonzero(written.pixel_array)) == np.count_nonzero(new)
    assert written.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert [path.name for path in find_masks(folder, []).values()] == ["anna.seg.nrrd"]
    record = decide(folder, "accepted", mask)
    assert record.standing(folder).state == "as written"
    assert pydicom.dcmread(folder / "anna.dcm").SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert len(record.standing(folder).sound) == 3


@pytest.mark.parametrize("files", [0, 1, 2])
def test_saving_that_is_cut_short_leaves_every_file_known(
    tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many of two files have got their names."""
    folder = predictions(tmp_path, "anna", formats=("nifti", "seg.nrrd"))
    first = cases_of(folder).open(0).mask
    decide(folder, "corrected", drawn(first))
    case = cases_of(folder).read(0)
    opened = case.opened
    second = opened.mask.copy()
    second[0, :5, :5] = 1
    put, done = save.put_in_place, []

    def until(made: Path, path: Path) -> None:
        if len(done) == files:
            raise KeyboardInterrupt
        put(made, path)
        done.append(path)

    monkeypatch.setattr(save, "put_in_place", until)
    if files < 2:
        with pytest.raises(KeyboardInterrupt):
            save_decision(folder, case, given(opened, "corrected"), second)
    else:
        save_decision(folder, case, given(opened, "corrected"), second)
    monkeypatch.undo()
    again = cases_of(folder).read(0)
    now = again.opened
    np.testing.assert_array_equal(now.mask, second if files else drawn(first))
    assert now.version == (2 if files == 2 else 1)
    assert (now.review is None) == (files == 1)
    assert again.there.state == "edited"
    np.testing.assert_array_equal(now.predicted, first)
    third = now.mask.copy()
    third[9] = 1
    decide(folder, "corrected", third)
    assert len(cases_of(folder).read(0).there.counting) == 2
    assert sorted(path.name for path in folder.glob("*")) == [
        "anna.json", "anna.nii.gz", "anna.seg.nrrd", "predicted", "volumes.csv",
    ]  # fmt: skip


def test_previews_that_are_there_are_drawn_again(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    picture = folder / "previews" / "anna_overlay.png"
    picture.parent.mkdir()
    picture.write_bytes(b"old")
    decide(folder, "no lesion")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_masks_kept_as_predicted_are_no_masks_of_the_folder(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna")
    decide(folder, "corrected", drawn(cases_of(folder).open(0).mask))
    (folder / "drafts").mkdir()
    (folder / "drafts" / "anna.draft").write_bytes(b"")
    left = Inventory()
    masks, others = masks_below(folder, [], left)
    assert [path.name for path in masks] == ["anna.nii.gz"]
    assert others == []
    assert not left.unwanted


def test_rows_that_another_program_or_a_kill_left_behind_are_measured_again(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", "bert")
    opened = cases_of(folder).open(0)
    assert bring_up_to_date(folder, predicted_of(folder)) == []
    write_mask(folder / "anna.nii.gz", drawn(opened.mask), opened.geometry)
    others = rows(folder, "bert")
    assert bring_up_to_date(folder, predicted_of(folder)) == ["anna"]
    assert (rows(folder, "anna")[0]["voxels"], rows(folder, "anna")[0]["remark"]) == ("612", CORRECTED)
    assert rows(folder, "bert") == others
    assert bring_up_to_date(folder, predicted_of(folder)) == []


def test_a_report_counts_decisions_by_month(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", "bert", "carl")
    assert decisions_table([one.record for one in predicted_of(folder)]).rows == ()
    decide(folder, "accepted", minutes=1.0)
    decide(folder, "unsure", key=1)
    decide(folder, "corrected", drawn(cases_of(folder).open(1).mask), key=1, minutes=4.0)
    table = decisions_table([one.record for one in predicted_of(folder)])
    record = read_stored(PredictionRecord, folder / "bert.json")
    month, dice = record.reviews[1].when[:7], record.reviews[1].dice
    assert table.rows == ((month, "2", "1", "1", "0", "0", "0", f"{dice:.2f}", "2.5"),)
    words = write_report(folder).read_text()
    assert "Decisions of readers by month" in words
    assert "Dr Ada" not in words


def test_the_queue_begins_with_what_is_least_certain(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", "bert", "carl")
    table = folder / "volumes.csv"
    table.write_text("\n".join(_less(line, "bert", "0.31") for line in table.read_text().splitlines()) + "\n")
    entries = cases_of(folder).entries
    assert [entry.case for entry in entries] == ["bert", "anna", "carl"]
    assert entries[0].hint.startswith("expected Dice 0.31")


def _less(line: str, case: str, dice: str) -> str:
    return line.replace("0.78,", f"{dice},", 1) if line.startswith(case) else line


def test_a_case_that_vanished_is_named(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", "bert")
    cases = cases_of(folder)
    (tmp_path / "scans" / "bert.nii.gz").unlink()
    with pytest.raises(InputError, match="bert"):
        cases.open(1)
    (folder / "anna.nii.gz").unlink()
    with pytest.raises(InputError, match="the mask is missing"):
        cases.open(0)
    with pytest.raises(InputError, match="no such case"):
        cases.open(2)
    (tmp_path / "scans" / "carl.nii.gz").write_bytes(b"")
    last = cases_of(predictions(tmp_path / "more", "dora")).entries[-1]
    assert last.problem == ""


def test_a_saved_case_stands_in_the_queue_as_when_it_is_opened_again(tmp_path: Path) -> None:
    folder = predictions(tmp_path, "anna", "bert")
    cases = PredictedCases(folder, None, Inventory(), AddTo(by_hand(tmp_path, "cornelius")))
    predicted = read_mask(folder / "anna.nii.gz")[0]
    sequence: tuple[tuple[Decision, Any], ...] = (
        ("corrected", drawn(predicted)), ("rejected", predicted), ("no lesion", predicted), ("accepted", predicted),
        ("unsure", predicted),
    )  # fmt: skip
    for decision, mask in sequence:
        may_be_added = cases.save(0, given(cases.open(0), decision), mask)
        entry = cases.entries[0]
        assert may_be_added == cases.open(0).may_be_added == (decision in ("corrected", "accepted"))
        again = cases.entries[0]
        assert (entry.state, entry.hint, entry.when) == (again.state, again.hint, again.when)
        assert entry.volumes_ml == pytest.approx(again.volumes_ml)
