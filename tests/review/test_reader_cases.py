"""A fair second read: who reads blind sees nothing of others, and no reader's mask takes another's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reports import GRID
from reviewing import cases_of, drawn, framed, given, predicted_of, predictions, put_map, served
from workspaces import cohort

from vmseg_auto.cli.review import main
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.data.mask_folders import masks_below
from vmseg_auto.data.reads import Hidden, Reads
from vmseg_auto.data.reviews import Decision
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.report.reads import reads_table
from vmseg_auto.report.render import NONE
from vmseg_auto.report.write import write_report
from vmseg_auto.review.cases import TO_DO
from vmseg_auto.review.reader_cases import ReaderCases
from vmseg_auto.review.training_cases import TrainingCases
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.make_dataset import make_dataset

NAMES = ("anna", "bertha", "carolina")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = predictions(tmp_path, *NAMES)
    put_map(made, "anna", np.zeros(GRID.shape, np.float32))
    return made


def reader(folder: Path, name: str = "Dr Ada", share: float = 1.0) -> ReaderCases:
    return ReaderCases(cases_of(folder), name, share)


def key_of(cases: ReaderCases, case: str) -> int:
    return [entry.case for entry in cases.entries].index(case)


def read(cases: ReaderCases, case: str, decision: Decision, mask: NDArray[np.uint8], **other: Any) -> None:
    key = key_of(cases, case)
    cases.save(key, given(cases.open(key), decision, **({"reader": cases.reader} | other)), mask)


def some() -> NDArray[np.uint8]:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[2:7, 10:20, 8:18] = 1
    return mask


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_who_reads_blind_sees_nothing_of_others_until_a_mask_is_saved(folder: Path) -> None:
    inner = cases_of(folder)
    opened = inner.open(0)
    inner.save(0, given(opened, "corrected", reader="Dr Bell"), drawn(opened.mask))
    cases = reader(folder)
    assert {(entry.state, entry.hint, entry.volumes_ml, entry.reader) for entry in cases.entries} == {
        (TO_DO, "", None, "")
    }
    key = key_of(cases, "anna")
    blind = cases.open(key)
    assert not blind.mask.any()
    assert (blind.reference, blind.predicted, blind.reviews, blind.overlays, blind.start) == (None, None, (), (), None)
    assert (blind.decisions, blind.may_be_added) == (("corrected", "no lesion", "unsure"), False)
    assert len(blind.notes) == 1
    before = bytes_of(folder)
    read(cases, "anna", "unsure", blind.mask)
    assert not cases.open(key).mask.any()
    assert cases.open(key).predicted is None
    (unsure,) = cases.open(key).reviews
    assert (unsure.voxels_changed, unsure.dice) == (None, None)  # they would tell how much others have drawn
    read(cases, "anna", "corrected", some(), minutes=7.0)
    assert bytes_of(folder) == before
    now = cases.open(key)
    np.testing.assert_array_equal(now.mask, some())
    assert now.predicted is not None
    assert now.decisions == ()
    assert len(now.overlays) == 1
    (entry,) = [entry for entry in cases.entries if entry.case == "anna"]
    assert (entry.state, entry.reader, entry.hint) == ("corrected", "Dr Ada", "read blind")
    with pytest.raises(InputError, match="can't be saved as"):
        read(cases, "anna", "corrected", drawn(some()))
    record = Reads.of(folder, "Dr Ada").read("anna")
    assert record is not None
    assert (record.blind, record.reader) == (True, "Dr Ada")
    assert [review.decision for review in record.reviews] == ["unsure", "corrected"]
    assert record.reviews[0].voxels_changed
    assert record.reviews[-1].dice == pytest.approx(mean_dice(some(), opened.mask, {"lesion": 1}))
    assert cases.conclusion() == f"Dr Ada has read 1 of 3 cases; the masks lie in {folder / 'readers' / 'Dr Ada'}."


def test_who_sees_the_prediction_begins_with_it_and_may_change_the_mask(folder: Path) -> None:
    inner = cases_of(folder)
    opened = inner.open(0)
    inner.save(0, given(opened, "corrected", reader="Dr Bell"), drawn(opened.mask))
    cases = reader(folder, share=1e-9)
    seen = cases.open(key_of(cases, "anna"))
    np.testing.assert_array_equal(seen.mask, opened.mask)  # as predicted, and not as the other reader left it
    read(cases, "anna", "accepted", seen.mask)
    read(cases, "anna", "corrected", some())
    np.testing.assert_array_equal(cases.open(key_of(cases, "anna")).mask, some())
    record = Reads.of(folder, "Dr Ada").read("anna")
    assert record is not None
    assert not record.blind
    assert record.reviews[0].dice == 1


def test_nobody_begins_with_a_mask_that_another_program_has_changed(folder: Path) -> None:
    write_mask(folder / "anna.nii.gz", some(), GRID)
    with pytest.raises(InputError, match="no longer there as it was predicted"):
        (seen := reader(folder, share=1e-9)).open(key_of(seen, "anna"))
    blind = reader(folder, "A/B")
    read(blind, "anna", "no lesion", some())
    record = Reads(folder / "readers" / "A_B").read("anna")
    assert record is not None
    assert record.saved is not None
    assert record.saved.dice is None


def test_a_damaged_record_is_named_and_costs_its_case_alone(folder: Path) -> None:
    cases = reader(folder)
    read(cases, "anna", "no lesion", some())
    (folder / "readers/Dr Ada/anna.json").write_text("{")
    entries = {entry.case: entry for entry in cases.entries}
    assert "anna.json" in entries["anna"].problem
    assert entries["bertha"].state == TO_DO
    with pytest.raises(InputError, match=r"anna\.json.*which cases were read blind"):
        cases.open(key_of(cases, "anna"))


def test_two_readers_masks_are_both_kept(folder: Path) -> None:
    one, other = reader(folder), reader(folder, "Dr Bell")
    read(one, "anna", "corrected", some())
    read(other, "anna", "no lesion", some())
    np.testing.assert_array_equal(read_mask(folder / "readers/Dr Ada/anna.nii.gz")[0], some())
    assert not read_mask(folder / "readers/Dr Bell/anna.nii.gz")[0].any()
    with pytest.raises(InputError, match="these are the masks of Dr Ada"):
        read(one, "bertha", "no lesion", some(), reader="Dr Bell")


def test_cases_are_hidden_by_chance_and_the_same_ones_each_time(folder: Path) -> None:
    cases = reader(folder, share=0.5)
    hidden = [cases.open(key).predicted is None for key in range(3)]
    order = [entry.case for entry in cases.entries]
    again = reader(folder, share=0.5)
    assert [again.open(key).predicted is None for key in range(3)] == hidden
    assert [entry.case for entry in again.entries] == order
    with pytest.raises(InputError, match=r"began with a share of 0\.5"):
        reader(folder, share=0.9)
    seeds = {json.loads((folder / "readers/Dr Ada/blind.json").read_text())["seed"]}
    reader(folder, "Dr Bell", share=0.5)
    seeds.add(json.loads((folder / "readers/Dr Bell/blind.json").read_text())["seed"])
    assert len(seeds) == 2
    share = np.mean([Hidden("ada", 0.2, "seed").hides(f"case_{number}") for number in range(4000)])
    assert share == pytest.approx(0.2, abs=0.03)
    with pytest.raises(InputError, match="the folder is that of Dr Ada"):
        Reads.of(folder, "Dr Ada").begin("Dr  Ada", 0.5)


def test_training_cases_are_read_blind_too(tmp_path: Path) -> None:
    made = cohort(tmp_path / "data")
    cases = ReaderCases(TrainingCases(tmp_path / "data", made.space, Inventory(), Silent()), "Dr Ada", 1.0)
    before = (tmp_path / "data/labelsTr/a.nii.gz").read_bytes()
    blind = cases.open(key_of(cases, "a"))
    assert not blind.mask.any()
    mask = blind.mask.copy()
    mask[4, 4, 2:9] = 1
    read(cases, "a", "corrected", mask)
    assert (tmp_path / "data/labelsTr/a.nii.gz").read_bytes() == before
    record = Reads.of(tmp_path / "data_reviews", "Dr Ada").read("a")
    assert record is not None
    assert record.saved is not None
    assert record.saved.dice == pytest.approx(14 / 17)


def test_readers_masks_are_no_masks_of_the_folder_and_no_scans(folder: Path, tmp_path: Path) -> None:
    cases = reader(folder)
    read(cases, "anna", "corrected", some())
    left = Inventory()
    masks, others = masks_below(folder, [], left)
    assert [path.name for path in masks] == [f"{name}.nii.gz" for name in NAMES]
    assert others == []
    assert not left.unwanted
    make_dataset(tmp_path, folder, tmp_path / "cohort", label="venous_malformation", left=Inventory(strict=True))
    assert len(list((tmp_path / "cohort/labelsTr").iterdir())) == 3


def test_a_report_tells_how_blind_reads_agree(folder: Path) -> None:
    records = {one.record.case: one.record for one in predicted_of(folder)}
    assert reads_table(folder, records).rows == ()
    predicted = cases_of(folder).open(0).mask
    ada, bell = reader(folder), reader(folder, "Dr Bell", share=1e-9)
    for case in NAMES[:2]:
        read(ada, case, "corrected", some(), minutes=8.0)
        read(bell, case, "accepted", predicted, minutes=2.0)
    dice = f"{mean_dice(some(), predicted, {'lesion': 1}):.2f}"
    assert reads_table(folder, records).rows == (
        ("blind, with the prediction", "2", dice, "8.0"),
        ("prediction shown, with it", "2", "1.00", "2.0"),
        ("two readers, one of them blind", "2", dice, NONE),
    )
    write_mask(folder / "readers/Dr Ada/anna.nii.gz", predicted, GRID)
    rows = reads_table(folder, records).rows
    assert rows[0][1] == "1"
    assert rows[-1][:2] == ("changed since it was read, or damaged, and left out", "1")
    words = write_report(folder).read_text()
    assert "Masks that readers have drawn apart from each other" in words
    assert "Dr Bell" not in words


def test_the_server_tells_nothing_of_a_case_that_is_read_blind(folder: Path) -> None:
    with served(reader(folder), reader="Dr Ada") as server:
        told = server.json("/api/queue")
        assert told["only_reader"] == "Dr Ada"
        assert {(case["state"], case["hint"], case["volumes_ml"]) for case in told["cases"]} == {(TO_DO, "", None)}
        about = server.json("/api/cases/0")
        assert (about["has_prediction"], about["reference"], about["overlays"], about["review"]) == (
            False,
            None,
            [],
            None,
        )
        assert not any(server.ask("GET", "/api/cases/0/mask")[1])
        assert server.ask("GET", "/api/cases/0/predicted")[0] == 422
        assert server.ask("GET", "/api/cases/0/reference")[0] == 404
        assert server.ask("GET", "/api/cases/0/overlays/0")[0] == 404
        sent = {"reader": "Dr Ada", "comment": "", "minutes": 1.0, "draft": 0, "decision": "corrected"}
        sent |= {name: about[name] for name in ("version", "base")}
        mask = some().tobytes()
        assert server.ask("POST", "/api/cases/0/decision", framed(sent | {"decision": "accepted"}, mask))[0] == 422
        assert server.ask("POST", "/api/cases/0/decision", framed(sent, mask))[0] == 200
        about = server.json("/api/cases/0")
        assert (about["has_prediction"], about["reference"], about["decisions"]) == (True, "predicted", [])


def test_options_that_do_not_go_together_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, words in (
        (["--blind"], "Add --reader"),
        (["--blind", "--blind-share", "0.2", "--reader", "Ada"], "a share of 1"),
        (["--blind", "--reader", "Ada", "--add-to", "x"], "go into no dataset"),
        (["--blind-share", "1.5", "--reader", "Ada"], "is no share"),
        (["-d", "x"], "-i is for predictions"),
    ):
        assert main(["-i", str(folder), "--no-browser", *options]) == 2
        assert words in capsys.readouterr().err
    assert main(["-d", str(folder), "--add-to", "x", "--no-browser"]) == 2
    assert "--add-to goes with -i" in capsys.readouterr().err
    assert not (folder / "readers").exists()
    monkeypatch.chdir(folder.parent)
    assert main(["--add-to", "x", "--no-browser"]) == 2
    assert "Name a folder of predictions with -i" in capsys.readouterr().err
